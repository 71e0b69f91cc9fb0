"""The file that a command is given: its format, its dialect, its columns."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from components.example_gen.data_config import DataSection
from components.example_gen.header import line_of_names
from components.example_gen.reader import detect_dialect, names_of
from pipeline.batch.rows import DELIMITED, InputError, InputTable, first_rows, taken
from trainer.errors import KembarError

_COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
FORMATS = {
    ".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl",
    ".parquet": "parquet", ".pq": "parquet", ".tfrecord": "tfrecord",
}  # fmt: skip
# Files of which nobody can take rows here, and what to do with them.
OTHERS = {
    ".json": "is one JSON document: write one object a line, as .jsonl",
    ".xlsx": "is a workbook: save its sheet as .csv",
    ".xls": "is a workbook: save its sheet as .csv",
    ".zip": "is an archive: unpack it, and name the file inside",
}


def open_table(path: Path, data: DataSection, choices: Sequence[tuple[str, ...]]) -> InputTable:
    """A file as `[data]` says, or where that does not fit as its own name and content say.

    Args:
      path: Delimited text, JSON lines, Parquet or TFRecord.
      data: The section `[data]`.
      choices: Columns of the texts; the first of these that the file has are taken.

    Raises:
      InputError: the file is missing, of another kind, has none of the choices, or cannot be read.
    """
    kind = _format(path, data)
    try:
        table = (_delimited if kind in DELIMITED else _other)(path, data, kind, choices)
    except InputError:
        raise
    except KembarError as error:
        raise InputError(str(error)) from None
    return replace(table, nulls=tuple(getattr(data, "null", ())))


def _other(path: Path, data: DataSection, kind: str, choices: Sequence[tuple[str, ...]]) -> InputTable:
    """JSON lines, Parquet and TFRecord."""
    other = taken(data if kind == data.format else _plain(kind), format=kind, header=True, columns=None)
    known = True
    if kind == "jsonl":
        names_of(path, other)  # there are none, but it may be a file of another kind
        good, bad = first_rows(InputTable(path, other, (), ()).rows())
        names = tuple(dict.fromkeys(name for values in (*good, *bad) for name in values))
        known = bool(good)
    else:
        names = tuple(names_of(path, other))
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InputError(f"{path}: {names.count(twice[0])} columns are named {twice[0]!r}: rename one")
    fitting = [texts for texts in choices if not known or _are_there(texts, names)]
    if not fitting:
        raise _lacks(path, names, choices)
    return InputTable(path, other, names, fitting[0])


def unzipped(path: Path) -> Path:
    """The path without the suffix of a compression."""
    return path.with_suffix("") if path.suffix.lower() in _COMPRESSED else path


def _format(path: Path, data: DataSection) -> str:
    """By content where that tells, else by the name, else as `[data]` says."""
    if path.is_dir():
        raise InputError(f"{path}: is a folder: name a file in it")
    if not path.exists():
        raise InputError(f"{path}: no such file")
    if not path.is_file():
        raise InputError(f"{path}: is no regular file: save the rows in one")
    try:
        with path.open("rb") as file:
            begin = file.read(4)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    suffix = unzipped(path).suffix.lower()
    if begin == b"PAR1":
        return "parquet"
    if FORMATS.get(suffix) == "parquet" and unzipped(path) != path:
        raise InputError(f"{path}: Parquet cannot be read through {path.suffix}: unpack it")
    if suffix in OTHERS and data.format != "jsonl":
        raise InputError(f"{path}: {OTHERS[suffix]}")
    return FORMATS.get(suffix, data.format)


def _delimited(path: Path, data: DataSection, kind: str, choices: Sequence[tuple[str, ...]]) -> InputTable:
    """By the first dialect, of `[data]` or else of the file's name, in which one of the choices is there."""
    names: tuple[str, ...] = ()
    own: DataSection = data
    if kind != data.format:  # another delimiter than that of [data] would be found, and read by its quotes
        own = taken(data, delimiter=data.delimiter or ("\t" if data.format == "tsv" else ","))
    for dialect in [own] * (data.format in DELIMITED) + [_plain(kind)]:
        titled = taken(dialect, header=True, columns=None)
        for texts in choices:  # which a delimiter has to leave whole
            names = tuple(names_of(path, taken(titled, texts=texts)))
            if not names:
                return InputTable(path, titled, (), choices[0])  # no row, whatever the dialect is
            if not _are_there(texts, names):
                continue
            once = _once(names)
            if once == names:
                return InputTable(path, titled, names, texts)
            # The reader takes columns by their names, and here only the places tell them apart.
            return InputTable(path, taken(titled, header=False, columns=once), once, texts, titles=True)
        columns = None if dialect.header else _headless(data, len(names))
        texts_of = [texts for texts in choices if columns and _are_there(texts, columns)]
        if columns and texts_of:
            return InputTable(path, taken(dialect, columns=columns), columns, texts_of[0])
    for texts in choices:
        titled = taken(_plain(kind), texts=texts)
        if (line := line_of_names(path, titled, detect_dialect(path, titled))) is not None:
            raise InputError(f"{path}: line {line} has the names: remove the lines above it")
    raise _lacks(path, names, choices)


def _headless(data: DataSection, width: int) -> tuple[str, ...] | None:
    """The columns of a file without a header that has so many; the label's may be missing."""
    columns = data.columns or ()
    label = None if data.label is None else data.label.column
    if width == len(columns) or (width > len(columns) and data.extra_fields == "ignore"):
        return columns
    unlabelled = tuple(name for name in columns if name != label)
    return unlabelled if width == len(unlabelled) else None


def _once(names: Sequence[str]) -> tuple[str, ...]:
    """The names, with a number behind those that came before."""
    own: list[str] = []
    for name in names:
        again = (f"{name}_{number}" for number in itertools.count(2))
        own.append(name if name not in own else next(new for new in again if new not in (*own, *names)))
    return tuple(own)


def _are_there(texts: Sequence[str], names: Sequence[str]) -> bool:
    return all(names.count(name) == 1 for name in texts)


def _lacks(path: Path, names: Sequence[str], choices: Sequence[tuple[str, ...]]) -> InputError:
    missing = [next((name for name in texts if name not in names), texts[0]) for texts in choices]
    fault = f"no column {' nor '.join(map(repr, dict.fromkeys(missing)))}"
    twice = [name for texts in choices for name in texts if names.count(name) > 1]
    if twice and all(name in names for name in missing):
        fault = f"{names.count(twice[0])} columns are named {twice[0]!r}"
    return InputError(f"{path}: {fault}: there are {', '.join(names) or 'none'}")


def _plain(kind: str) -> DataSection:
    """A format as its files are, where nothing is said of them."""
    values: dict[str, Any] = {"format": kind}
    return DataSection.model_construct(**values)
