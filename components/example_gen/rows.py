"""Records into features, or into the quarantine with a reason. No Beam and no TFX in here."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from components.example_gen.config import Data
from components.example_gen.records import Record, has_bad_bytes, open_text, read_records
from trainer.errors import ConfigError
from trainer.features import LABEL, TEXT_A, TEXT_B


class Reason(StrEnum):
    """Why a row cannot be used."""

    MALFORMED_QUOTES = "malformed quotes"
    WRONG_COLUMN_COUNT = "wrong column count"
    BAD_ENCODING = "bad encoding"
    EMPTY_TEXT = "empty text"
    TEXT_TOO_LONG = "text too long"
    BAD_LABEL = "bad label"
    LABEL_OUT_OF_RANGE = "label out of range"


@dataclass(frozen=True)
class Row:
    """A usable row."""

    text_a: str
    text_b: str
    label: float


@dataclass(frozen=True)
class Quarantined:
    """A row that cannot be used, with all that is needed to find and mend it."""

    file: str
    line: int
    reason: Reason
    detail: str
    raw: str


def read_rows(path: Path, data: Data) -> Iterator[Row | Quarantined]:
    """Yields one item for every record of the file behind its header: usable, or quarantined.

    Raises:
      ConfigError: when the header lacks a column that the configuration names.
    """
    with open_text(path, data.encoding) as file:
        records = read_records(iter(file), data.delimiter, data.quoting)
        names = _column_names(path, records, data)
        position = {feature: names.index(column) for feature, column in data.wanted.items()}
        for record in records:
            yield _read_row(record, str(path), len(names), position, data)


def check_columns(path: Path, data: Data) -> None:
    """Reads just enough of the file to know that the configured columns are in it.

    Raises:
      ConfigError: for an empty file or a missing column, with what was found.
    """
    with open_text(path, data.encoding) as file:
        records = read_records(iter(file), data.delimiter, data.quoting)
        _column_names(path, records, data)
        if next(records, None) is None:
            raise ConfigError(f"{path}: the file holds no row: give [data] a file with rows")


def _column_names(path: Path, records: Iterator[Record], data: Data) -> list[str]:
    if data.columns is not None:
        return list(data.columns)
    header = next(records, None)
    if header is None:
        raise ConfigError(f"{path}: the file is empty: give [data] a file with a header and rows")
    names = [name.strip() for name in header.fields or []]
    for key, column in data.wanted.items():
        setting = "label.column" if key == LABEL else key
        if column not in names:
            raise ConfigError(
                f"{path}: no column {column!r}: set [data] {setting} to one of {', '.join(names) or 'none'}, "
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
        text_a = _check_text(fields[position[TEXT_A]], data.text_a, data)
        text_b = _check_text(fields[position[TEXT_B]], data.text_b, data)
        return Row(text_a, text_b, _check_label(fields[position[LABEL]], data))
    except _Unusable as why:
        return Quarantined(file, record.line, why.reason, why.detail, record.raw)


def _check_fields(record: Record, width: int, data: Data) -> list[str]:
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


def _check_text(written: str, column: str, data: Data) -> str:
    text = written.strip()
    if not text:
        raise _Unusable(Reason.EMPTY_TEXT, f"column {column!r}")
    if len(text) > data.max_text_length:
        raise _Unusable(
            Reason.TEXT_TOO_LONG,
            f"column {column!r}: {len(text)} characters, {data.max_text_length} allowed",
        )
    return text


def _check_label(written: str, data: Data) -> float:
    place, kind = f"column {data.label.column!r}: {written.strip()[:40]!r}", data.label.kind
    low, high = data.label.bounds
    try:
        label = float(written)
    except ValueError:
        raise _Unusable(Reason.BAD_LABEL, f"{place} is no number") from None
    if not math.isfinite(label) or (kind == "binary" and low < label < high):
        raise _Unusable(Reason.BAD_LABEL, f"{place} is not a {kind} label")
    if not low <= label <= high:
        raise _Unusable(Reason.LABEL_OUT_OF_RANGE, f"{place} is not within {low:g}..{high:g}")
    return label
