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
            raise ConfigError(f"{path}: {names.count(column)} columns are named {column!r}: rename all but one")
    return names


def _read_row(
    record: Record, file: str, width: int, position: dict[str, int], data: Data
) -> Row | Quarantined:
    fields = record.fields

    def bad(reason: Reason, detail: str) -> Quarantined:
        return Quarantined(file, record.line, reason, detail, record.raw)

    if has_bad_bytes(record.raw):
        return bad(Reason.BAD_ENCODING, f"bytes that are not {data.encoding}")
    if fields is None:
        return bad(Reason.MALFORMED_QUOTES, "a quote that is never closed, or text behind a closing quote")
    if len(fields) < width or (len(fields) > width and data.extra_fields == "quarantine"):
        return bad(Reason.WRONG_COLUMN_COUNT, f"{len(fields)} fields, {width} columns")
    texts = []
    for key, column in ((TEXT_A, data.text_a), (TEXT_B, data.text_b)):
        text = fields[position[key]].strip()
        if not text:
            return bad(Reason.EMPTY_TEXT, f"column {column!r}")
        if len(text) > data.max_text_length:
            return bad(Reason.TEXT_TOO_LONG, f"column {column!r}: {len(text)} characters, {data.max_text_length} allowed")
        texts.append(text)
    written = fields[position[LABEL]].strip()
    try:
        label = float(written)
    except ValueError:
        return bad(Reason.BAD_LABEL, f"column {data.label.column!r}: {written[:40]!r} is no number")
    low, high = data.label.bounds
    if not math.isfinite(label) or (data.label.kind == "binary" and label not in (0.0, 1.0) and low <= label <= high):
        return bad(Reason.BAD_LABEL, f"column {data.label.column!r}: {written[:40]!r} is not a {data.label.kind} label")
    if not low <= label <= high:
        return bad(Reason.LABEL_OUT_OF_RANGE, f"column {data.label.column!r}: {written[:40]} is not within {low:g}..{high:g}")
    return Row(texts[0], texts[1], label)
