"""Facts about the files beside the counts: how they were read, and what looks like a mistake."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from components.example_gen.batch import Batch
from components.example_gen.check import UsableRows
from components.example_gen.data_config import DataSection
from components.example_gen.labels import MISSING
from components.example_gen.plan import Item
from components.example_gen.reader import EmptyFile, check_columns
from components.example_gen.records import MANY_LINES
from trainer.errors import KembarError

# As `UsableRows` has texts.
_MISSING = frozenset(word.encode() for word in MISSING)


class Doubts:
    """Rows that were kept and may be wrong, counted."""

    def __init__(self) -> None:
        self._long = 0
        self._first: list[tuple[str, int, int]] = []
        self._nothings: Counter[tuple[str, str]] = Counter()

    def add(self, path: Path, before: int, batch: Batch, rows: UsableRows, data: DataSection) -> None:
        """Takes in a batch, whose positions in the file are behind `before`, and its usable rows."""
        self._long += len(batch.many_lines)
        if not self._first:
            self._first = [(str(path), before + at, before + end) for at, end in batch.many_lines[:1]]
        for column, texts in ((data.text_a, rows.text_a), (data.text_b, rows.text_b)):
            if texts is None or column is None or _MISSING.isdisjoint(texts):
                continue
            counts = Counter(text.decode() for text in texts if text in _MISSING)
            self._nothings.update({(column, text): count for text, count in counts.items()})

    def merge(self, other: Doubts) -> None:
        """Takes in those of other rows."""
        self._long += other._long
        self._first += other._first
        self._nothings.update(other._nothings)

    def sentences(self) -> list[str]:
        """One for each kind of doubt."""
        lines = []
        if self._long:
            path, first, last = min(self._first)
            lines.append(
                f"{self._long} {'record has' if self._long == 1 else 'records have'} more than {MANY_LINES} "
                f"lines, the first {path} lines {first} to {last}: if they are rows, a quote in line {first} "
                "is never closed"
            )
        return lines + [
            f"column {column!r}: the text is {text!r} {count} times: if that stands for nothing, "
            "name it in [data] null"
            for (column, text), count in sorted(self._nothings.items())
        ]


def source_facts(data: DataSection, items: list[Item]) -> dict[str, Any]:
    """The dialects of each source, with the number of files of each, and remarks on some files."""
    dialects: dict[str, Counter[str]] = {}
    sizes = Counter(item.source for item in items for piece in item.pieces if piece.start == 0)
    remarks = data.aliases()
    for item in items:
        for piece in (piece for piece in item.pieces if piece.start == 0):
            if sizes[item.source] > 1 and _is_empty(piece.path, data):
                remarks.append(f"{piece.path} holds no row and is passed over")
            elif piece.dialect is not None:
                dialects.setdefault(item.source, Counter())[str(piece.dialect)] += 1
    return {"dialects": {source: dict(counts) for source, counts in dialects.items()}, "remarks": remarks}


def _is_empty(path: Path, data: DataSection) -> bool:
    try:
        check_columns(path, data)
    except KembarError as error:  # what else is wrong with it is reported by whoever reads it
        return isinstance(error, EmptyFile)
    return False
