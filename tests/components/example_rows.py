"""Rows of a file one by one, as tests want to compare them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from components.example_gen.check import check
from components.example_gen.data_config import DataSection
from components.example_gen.reader import pieces, read


@dataclass(frozen=True)
class Row:
    text_a: str = ""
    text_b: str = ""
    label: float | None = None
    vector: np.ndarray | None = None


@dataclass(frozen=True)
class Quarantined:
    file: str
    line: int
    reason: str
    detail: str
    raw: str


def read_rows(path: Path, data: DataSection) -> Iterator[Row | Quarantined]:
    """Usable and quarantined rows in the order of the file."""
    [piece] = pieces(path, data)
    for batch in read(piece, data):
        rows, faults = check(batch, data)
        good = iter(range(len(rows)))
        for at, line in enumerate(batch.positions):
            if at in faults:
                fault = faults[at]
                yield Quarantined(str(path), line, fault.reason, fault.detail, batch.raw(at))
                continue
            i = next(good)
            yield Row(
                rows.text_a[i].decode() if rows.text_a is not None else "",
                rows.text_b[i].decode() if rows.text_b is not None else "",
                None if rows.label is None else float(rows.label[i]),
                None if rows.vector is None else rows.vector[i],
            )
