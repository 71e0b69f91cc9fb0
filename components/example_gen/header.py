"""Whether a file has the columns that `[data]` names, and what else can be wrong where it has not."""

from __future__ import annotations

from pathlib import Path

from components.example_gen.config import Data
from components.example_gen.dialect import Dialect, dialect_of
from components.example_gen.encodings import bad_bytes
from components.example_gen.records import BAD_QUOTES, has_bad_bytes
from trainer.errors import ConfigError

_SHOWN_NAMES, _LONGEST_NAME = 40, 80


def check_names(path: Path, names: list[str], data: Data, dialect: Dialect | None = None) -> None:
    """Raises ConfigError unless each column that `data` names is there, and once; `dialect` is a table's."""
    if dialect is not None and not names:
        raise ConfigError(
            f"{path}: the header cannot be read: {BAD_QUOTES}: name by [data] delimiter what stands between "
            "the fields, or set quoting = false"
        )
    for key, column in data.wanted.items():
        if column not in names:
            known = ", ".join(_printable(name[:_LONGEST_NAME]) for name in names[:_SHOWN_NAMES]) or "none"
            more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
            raise ConfigError(
                f"{path}: no column {column!r}: set [data] {key} to one of {known}{more}"
                + (
                    ""
                    if dialect is None
                    else ", or header = false with columns" + _way_out(path, names, data, dialect)
                )
            )
        if names.count(column) > 1:
            raise ConfigError(
                f"{path}: {names.count(column)} columns are named {column!r}: rename all but one"
            )


def _way_out(path: Path, names: list[str], data: Data, dialect: Dialect) -> str:
    """What else can be wrong where a column is not in the header: how the file is written."""
    if has_bad_bytes("".join(names)):
        return f"; the header has {bad_bytes(' '.join(names), dialect.encoding)}"
    if data.delimiter is not None:
        other = dialect_of(path, data.model_copy(update={"delimiter": None}))
        if other.delimiter != dialect.delimiter:
            return f"; or remove [data] delimiter: without it the file is read as: {other}"
    if dialect.delimiter != ("\t" if data.format == "tsv" else ","):
        return f" (read as: {dialect})"
    if len(names) == 1 and dialect.delimiter in names[0]:
        return "; each line as a whole is between quotes: remove these, or quote each field by itself"
    only = len(names) == 1 and data.delimiter is None
    return "; or name by [data] delimiter what stands between the fields" if only else ""


def _printable(text: str) -> str:
    """A text in which nothing moves the cursor of a terminal."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)
