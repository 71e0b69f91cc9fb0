"""What became of the rows: `counts.json` beside the splits, and whether it is good enough to go on."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable
from typing import Any

from tfx.dsl.io import fileio

from components.example_gen.batch import KEPT, NO_FAULT_OF_THE_ROW, READ
from components.example_gen.config import SPLITS, Data
from components.example_gen.numbers import Finding, warnings
from trainer.errors import DataRejected

QUARANTINE = "quarantine"
COUNTS = "counts.json"
# Nothing varies in fewer.
MIN_TRAIN_ROWS = 2
# Reasons that a message tells, with the first row of each.
_TOLD = 5
_LONGEST_DETAIL = 120


def merge(parts: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The counts of all items together."""
    sources: dict[str, Counter[str]] = {}
    shared: dict[str, int] = {}
    found: list[Finding] = []
    for part in parts:
        shared |= part["shared_texts"]
        found += part["numbers"]
        for source, counts in part["sources"].items():
            sources.setdefault(source, Counter()).update(counts)
    return {
        "sources": {source: dict(counts) for source, counts in sources.items()},
        "shared_texts": shared,
        "warnings": warnings(found),
    }


def check_counts(examples_uri: str, data: Data, alone: bool = True) -> None:
    """Raises unless every row is accounted for and enough of them can be used.

    Where the data is not `alone`, but trained on with other spans, a split may have no row.
    """
    with fileio.open(os.path.join(examples_uri, COUNTS)) as file:
        by_source: dict[str, dict[str, int]] = json.loads(file.read())["sources"]
    for source, names in data.sources().items():
        counts = by_source.get(source, {})
        path = ", ".join(map(str, names))
        kept = {key.removeprefix(KEPT): n for key, n in counts.items() if key.startswith(KEPT)}
        aside = {key: n for key, n in counts.items() if key != READ and not key.startswith(KEPT)}
        read = counts.get(READ, 0)
        if read != sum(kept.values()) + sum(aside.values()):
            raise AssertionError(f"{path}: {read} rows read, but {kept} kept and {aside} quarantined")
        bad = sum(n for reason, n in aside.items() if reason not in NO_FAULT_OF_THE_ROW)
        if not kept or bad > data.max_quarantined * read:
            told = [reason for reason, _ in Counter(aside).most_common(_TOLD)]
            common = ", ".join(f"{reason} ({aside[reason]})" for reason in told)
            raise DataRejected(
                f"{path}: {bad} of {read} rows cannot be used, "
                f"[data] max_quarantined = {data.max_quarantined:g} allows "
                f"{int(data.max_quarantined * read)}: {common or 'no rows'}"
                f"{_first_of_each(examples_uri, source, told)}"
            )
        if not alone:
            continue
        if kept.get("train", MIN_TRAIN_ROWS) < MIN_TRAIN_ROWS:
            raise DataRejected(f"{path}: {kept['train']} row to train on: give more")
        empty = [split for split in SPLITS if source not in SPLITS and split not in kept]
        if empty:
            raise DataRejected(
                f"{path}: no row falls into the split {empty[0]}: {sum(kept.values())} rows "
                "in too few groups that share texts: give more rows, other [data] split, or one file a split"
            )


def _first_of_each(examples_uri: str, source: str, reasons: list[str]) -> str:
    """The first row of every reason, its values cut short."""
    found: dict[str, str] = {}
    for name in sorted(fileio.glob(os.path.join(examples_uri, QUARANTINE, f"{source}-*.jsonl"))):
        with fileio.open(name) as file:
            for line in file:
                row = json.loads(line)
                if row["reason"] in reasons and row["reason"] not in found:
                    file_name = os.path.basename(row["file"])
                    detail = row["detail"][:_LONGEST_DETAIL]
                    found[row["reason"]] = f"{file_name} line {row['line']}: {row['reason']}, {detail}"
                if len(found) == len(reasons):
                    break
    return (
        f"; for example {'; '.join(found[reason] for reason in reasons if reason in found)}" if found else ""
    )
