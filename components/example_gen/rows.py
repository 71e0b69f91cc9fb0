"""Records into features, or into the quarantine with a reason. No Beam and no TFX in here."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from components.example_gen.config import Data, Vector
from components.example_gen.parquet import column_names, read_parquet
from components.example_gen.records import Record, has_bad_bytes, open_text, read_records
from trainer.errors import ConfigError, DataRejected, KembarError
from trainer.features import LABEL, TEXT_A, TEXT_B, VECTOR, Label

# So much of a value is shown in a reason, and of a vector in the quarantine.
_SHOWN, _SHOWN_NUMBERS = 40, 16


class Reason(StrEnum):
    """Why a row cannot be used."""

    MALFORMED_QUOTES = "malformed quotes"
    WRONG_COLUMN_COUNT = "wrong column count"
    BAD_ENCODING = "bad encoding"
    EMPTY_TEXT = "empty text"
    TEXT_TOO_LONG = "text too long"
    BAD_NUMBER = "bad number"
    WRONG_DIMENSION = "wrong dimension"
    VALUE_OUT_OF_RANGE = "value out of range"
    BAD_LABEL = "bad label"
    LABEL_OUT_OF_RANGE = "label out of range"


@dataclass(frozen=True)
class Row:
    """A usable row: two texts or a vector, and a label if the data has one."""

    text_a: str = ""
    text_b: str = ""
    label: float | None = None
    vector: np.ndarray | None = None


@dataclass(frozen=True)
class Quarantined:
    """A row that cannot be used, with all that is needed to find and mend it.

    `line` is the first line of the record in a text file, else the number of the row; both from 1.
    """

    file: str
    line: int
    reason: Reason
    detail: str
    raw: str


def read_rows(path: Path, data: Data) -> Iterator[Row | Quarantined]:
    """Yields one item for every record of the file behind its header: usable, or quarantined.

    Raises:
      ConfigError: when the file lacks a column that the configuration names.
      DataRejected: when the file cannot be read to its end.
    """
    if data.format == "parquet":
        names = _check_names(path, column_names(path), data)
        wanted = list(dict.fromkeys(data.wanted.values()))
        position = {key: wanted.index(column) for key, column in data.wanted.items()}
        for number, values in enumerate(read_parquet(path, wanted), 1):
            yield _read_row(Record(number, "", values), str(path), len(wanted), position, data)
        return
    with _readable(path, DataRejected, "cannot be read to its end"), open_text(path, data.encoding) as file:
        records = read_records(iter(file), data.delimiter, data.quoting)
        names = _column_names(path, records, data)
        position = {key: names.index(column) for key, column in data.wanted.items()}
        for record in records:
            yield _read_row(record, str(path), len(names), position, data)


def check_columns(path: Path, data: Data) -> None:
    """Reads just enough of the file to know that the configured columns are in it.

    Raises:
      ConfigError: for a missing column, with what was found, or a file without any row.
      DataRejected: when a Parquet file cannot be read.
    """
    if data.format == "parquet":
        _check_names(path, column_names(path), data)
        return
    with _readable(path, ConfigError, "cannot be read"), open_text(path, data.encoding) as file:
        records = read_records(iter(file), data.delimiter, data.quoting)
        _column_names(path, records, data)
        if next(records, None) is None:
            raise ConfigError(f"{path}: the file holds no row: give [data] a file with rows")


@contextmanager
def _readable(path: Path, kind: type[KembarError], said: str) -> Iterator[None]:
    """Turns what a file that is cut off, or in another encoding, ends with into one line."""
    try:
        yield
    except (EOFError, OSError, UnicodeError, zlib.error) as error:
        raise kind(f"{path}: {said}: {error}: write it again, or correct [data] encoding") from None


def _column_names(path: Path, records: Iterator[Record], data: Data) -> list[str]:
    if data.columns is not None:
        return list(data.columns)
    header = next(records, None)
    if header is None:
        raise ConfigError(f"{path}: the file is empty: give [data] a file with a header and rows")
    return _check_names(path, [str(name).strip() for name in header.fields or []], data)


def _check_names(path: Path, names: list[str], data: Data) -> list[str]:
    for key, column in data.wanted.items():
        if column not in names:
            raise ConfigError(
                f"{path}: no column {column!r}: set [data] {key} to one of {', '.join(names) or 'none'}, "
                f"or header = false with columns"
            )
        if names.count(column) > 1:
            raise ConfigError(
                f"{path}: {names.count(column)} columns are named {column!r}: rename all but one"
            )
    return names


class _Unusable(Exception):
    """Carries why a record cannot be used from where it is seen to where it is quarantined."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def _read_row(
    record: Record, file: str, width: int, position: dict[str, int], data: Data
) -> Row | Quarantined:
    try:
        fields = _check_fields(record, width, data)
        label = data.label
        found = None if label is None else _check_label(fields[position[f"{LABEL}.column"]], label)
        if data.vector is not None:
            return Row(label=found, vector=_check_vector(fields, position, data.vector))
        text_a, text_b = (
            _check_text(fields[position[key]], data.wanted[key], data) for key in (TEXT_A, TEXT_B)
        )
        return Row(text_a, text_b, found)
    except _Unusable as why:
        return Quarantined(file, record.line, why.reason, why.detail, record.raw or _shown(record.fields))


def _check_fields(record: Record, width: int, data: Data) -> Sequence[Any]:
    if has_bad_bytes(record.raw):
        raise _Unusable(Reason.BAD_ENCODING, f"bytes that are not {data.encoding}")
    fields = record.fields
    if fields is None:
        raise _Unusable(
            Reason.MALFORMED_QUOTES, "a quote that is never closed, or text behind a closing quote"
        )
    if len(fields) < width or (len(fields) > width and data.extra_fields == "quarantine"):
        raise _Unusable(Reason.WRONG_COLUMN_COUNT, f"{len(fields)} fields, {width} columns")
    return fields


def _check_text(written: Any, column: str, data: Data) -> str:
    text = written.strip() if isinstance(written, str) else ""
    if not text:
        raise _Unusable(Reason.EMPTY_TEXT, f"column {column!r}")
    if len(text) > data.max_text_length:
        raise _Unusable(
            Reason.TEXT_TOO_LONG,
            f"column {column!r}: {len(text)} characters, {data.max_text_length} allowed",
        )
    return text


def _check_label(written: Any, label: Label) -> float:
    shown = str(written).strip()
    place = f"column {label.column!r}: {shown[:_SHOWN]!r}"
    if label.classes is not None:
        if shown not in label.classes:
            raise _Unusable(Reason.BAD_LABEL, f"{place} is none of the classes")
        return float(label.classes.index(shown))
    low, high = label.bounds
    try:
        value = float(written)
    except (TypeError, ValueError):
        raise _Unusable(Reason.BAD_LABEL, f"{place} is no number") from None
    if not math.isfinite(value) or (label.kind == "binary" and low < value < high):
        raise _Unusable(Reason.BAD_LABEL, f"{place} is not a {label.kind} label")
    if not low <= value <= high:
        raise _Unusable(Reason.LABEL_OUT_OF_RANGE, f"{place} is not within {low:g}..{high:g}")
    return value


def _check_vector(fields: Sequence[Any], position: dict[str, int], vector: Vector) -> np.ndarray:
    """The row's numbers, float32 [dimension]."""
    if vector.column is not None:
        values = fields[position[VECTOR]]
        if not isinstance(values, np.ndarray) or len(values) != vector.dimension:
            found = len(values) if isinstance(values, np.ndarray) else "no"
            raise _Unusable(
                Reason.WRONG_DIMENSION,
                f"column {vector.column!r}: {found} values, dimension = {vector.dimension}",
            )
        names: Sequence[str] = [f"{vector.column}[{at}]" for at in range(vector.dimension)]
    else:
        names = vector.columns or ()
        values = np.array([_number(fields[position[f"{VECTOR}.columns[{at}]"]]) for at in range(len(names))])
    numbers = values.astype(np.float32)
    finite = np.isfinite(numbers)
    if not finite.all():
        at = int(np.argmin(finite))
        raise _Unusable(Reason.BAD_NUMBER, f"column {names[at]!r}: not a finite number")
    if vector.range is not None:
        low, high = vector.range
        inside = (numbers >= low) & (numbers <= high)
        if not inside.all():
            at = int(np.argmin(inside))
            detail = f"column {names[at]!r}: {numbers[at]:g} is not within {low:g}..{high:g}"
            raise _Unusable(Reason.VALUE_OUT_OF_RANGE, detail)
    return numbers


def _number(written: Any) -> float:
    try:
        return float(written)
    except (TypeError, ValueError):
        return math.nan


def _shown(fields: Sequence[Any] | None) -> str:
    """A record that has no text of its own, as JSON; the beginning of its vectors."""
    plain = [list(map(float, f[:_SHOWN_NUMBERS])) if isinstance(f, np.ndarray) else f for f in fields or ()]
    return json.dumps(plain, default=str, ensure_ascii=False)
