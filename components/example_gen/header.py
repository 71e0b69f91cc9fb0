"""Check of a file's column names, with advice where one that `[data]` names is missing."""

from __future__ import annotations

import codecs
from dataclasses import replace
from itertools import islice
from pathlib import Path

from components.example_gen.data_config import DataSection
from components.example_gen.dialect import DELIMITERS, Dialect, dialect_of
from components.example_gen.encodings import bad_bytes
from components.example_gen.records import BAD_QUOTES, has_bad_bytes
from components.example_gen.streams import lines_of, open_lines
from trainer.errors import ConfigError

_SHOWN_NAMES, _LONGEST_NAME = 40, 80
# Lines among which the one with the names is looked for.
_LINES_ABOVE = 40


def check_names(path: Path, names: list[str], data: DataSection, dialect: Dialect | None = None) -> None:
    """Raises ConfigError unless each column that `data` names is there, and once; `dialect` is a table's."""
    if dialect is not None and not names:
        raise ConfigError(
            f"{path}: the header cannot be read: {BAD_QUOTES}: correct its first line, such as by no spaces "
            "between a quote and a delimiter; or name by [data] delimiter what stands between the fields, or "
            "set quoting = false"
        )
    for key, column in data.wanted.items():
        if column not in names:
            line = None if dialect is None or not data.header else line_of_names(path, data, dialect)
            if line is not None:
                raise ConfigError(
                    f"{path}: no column {column!r} in the first line, and line {line} has the names: remove "
                    "the lines above it"
                )
            known = ", ".join(_printable(name[:_LONGEST_NAME]) for name in names[:_SHOWN_NAMES]) or "none"
            more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
            other = ""
            if dialect is not None:
                other = f", or header = false with columns{_way_out(path, names, data, dialect)}"
            raise ConfigError(
                f"{path}: no column {column!r}: set [data] {key} to one of {known}{more}{other}"
            )
        if (count := names.count(column)) > 1:
            raise ConfigError(f"{path}: {count} columns are named {column!r}: rename all but one")


def _way_out(path: Path, names: list[str], data: DataSection, dialect: Dialect) -> str:
    """Advice where a column is not in the header: how the file may be written instead."""
    if has_bad_bytes("".join(names)):
        return f"; the header has {bad_bytes(' '.join(names), dialect.encoding)}"
    for key in ("delimiter", "encoding"):
        if getattr(data, key) is None:
            continue
        other = dialect_of(path, data.model_copy(update={key: None}))
        if _sign(other, key) != _sign(dialect, key):
            return f"; or remove [data] {key}: without it the file is read as: {other}"
    for quote in ("'", "`"):
        if any(f"{quote}{column}{quote}" in names for column in data.wanted.values()):
            return f'; or set [data] quote = "{quote}"'
    if any("\0" in name for name in names):
        return "; or give a file of text: there are zero bytes in this one"
    if dialect.delimiter != ("\t" if data.format == "tsv" else ","):
        return f" (read as: {dialect})"
    if len(names) == 1 and dialect.delimiter in names[0]:
        return "; each line as a whole is between quotes: remove these, or quote each field by itself"
    only = len(names) == 1 and data.delimiter is None
    return "; or name by [data] delimiter what stands between the fields" if only else ""


def _sign(dialect: Dialect, key: str) -> str:
    return dialect.delimiter if key == "delimiter" else codecs.lookup(dialect.encoding).name


def line_of_names(path: Path, data: DataSection, dialect: Dialect) -> int | None:
    """The line, not the first, of the beginning that has all columns: titles or remarks stand above it."""
    wanted = set(data.wanted.values())
    if all(name.isdecimal() for name in wanted):  # rows of numbers may hold them by chance
        return None
    with open_lines(path, dialect.encoding, newline=dialect.newline, start=dialect.mark) as file:
        lines = list(islice(lines_of(file), _LINES_ABOVE))
    for delimiter in dict.fromkeys([dialect.delimiter, *DELIMITERS]):
        for record in replace(dialect, delimiter=delimiter, first_line=1).records(iter(lines)):
            if record.line > 1 and record.fields and wanted <= {name.strip() for name in record.fields}:
                return record.line
    return None


def _printable(text: str) -> str:
    """A text in which nothing moves the cursor of a terminal."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)
