"""Batches of a file's rows, column by column, and the faults of rows that cannot be used."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

# Rows handled together: large enough to amortize a call, small against the memory of a worker.
BATCH_ROWS = 8_192

# In counts of rows: all of them, and what stands before the name of the split that rows were kept for.
READ, KEPT = "read", "kept in "


class FaultReason(StrEnum):
    """A reason why a row cannot be used."""

    BAD_ENCODING = "bad encoding"
    MALFORMED_QUOTES = "malformed quotes"
    BLANK_ROW = "blank row"
    WRONG_COLUMN_COUNT = "wrong column count"
    MALFORMED_JSON = "malformed JSON"
    MALFORMED_EXAMPLE = "malformed example"
    MISSING_KEY = "missing key"
    NOT_A_TEXT = "not a text"
    EMPTY_TEXT = "empty text"
    TEXT_TOO_LONG = "text too long"
    BAD_NUMBER = "bad number"
    WRONG_DIMENSION = "wrong dimension"
    VALUE_OUT_OF_RANGE = "value out of range"
    BAD_LABEL = "bad label"
    LABEL_OUT_OF_RANGE = "label out of range"
    CONFLICTING_LABEL = "conflicting label"
    JOINS_SPLITS = "joins two splits"


# The row itself is in order and only has no place in the splits, or there is no row: a spreadsheet writes
# delimiters for every line that it shows.
NO_FAULT_OF_THE_ROW = frozenset({FaultReason.JOINS_SPLITS, FaultReason.BLANK_ROW})


@dataclass(frozen=True)
class Fault:
    """The reason why a row cannot be used, with the values that show it."""

    reason: FaultReason
    detail: str
    number: float | None = None
    """a label that is beyond its range"""


@dataclass
class Batch:
    """Rows as the file has them.

    `columns` holds, under the keys of the configuration (`text_a`, `label.column`, ...), one value a row;
    a column of lists that all have one length is an array [rows, length]. Rows in `faults` may have None.
    """

    positions: Sequence[int]
    """The first line of each row in a text file, else its number; from 1, within the piece."""

    columns: Mapping[str, Sequence[Any]]
    raw: Callable[[int], str]
    """The row's text as it stands in the file; else its values as JSON."""

    faults: dict[int, Fault] = field(default_factory=dict)
    many_lines: Sequence[tuple[int, int]] = ()
    """The first and the last line of records that go on for suspiciously many lines."""
