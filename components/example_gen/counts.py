"""What became of the rows: `counts.json` beside the splits, and whether it is good enough to go on."""

from __future__ import annotations

import json
import os
from collections import Counter

from tfx.dsl.io import fileio

from components.example_gen.config import SPLITS, Data
from trainer.errors import DataRejected

QUARANTINE = "quarantine"
COUNTS = "counts.json"
# This stands before the name of the split that rows were kept for.
KEPT = "kept in "
# Nothing varies in fewer.
MIN_TRAIN_ROWS = 2


def check_counts(examples_uri: str, data: Data) -> None:
    """Raises unless every row is accounted for and enough of them can be used."""
    with fileio.open(os.path.join(examples_uri, COUNTS)) as file:
        by_source: dict[str, dict[str, int]] = json.loads(file.read())
    for source, counts in by_source.items():
        path = data.files()[source]
        reasons = {key: n for key, n in counts.items() if key != "read" and not key.startswith(KEPT)}
        kept = {key.removeprefix(KEPT): n for key, n in counts.items() if key.startswith(KEPT)}
        read, bad = counts.get("read", 0), sum(reasons.values())
        if read != sum(kept.values()) + bad:
            raise AssertionError(f"{path}: {read} rows read, but {kept} kept and {bad} quarantined")
        if not kept or bad > data.max_quarantined * read:
            common = ", ".join(f"{reason} ({n})" for reason, n in Counter(reasons).most_common(5))
            raise DataRejected(
                f"{path}: {bad} of {read} rows cannot be used, "
                f"[data] max_quarantined = {data.max_quarantined:g} allows "
                f"{int(data.max_quarantined * read)}: {common or 'no rows'}"
                f"{_first_quarantined(examples_uri, source)}"
            )
        if kept.get("train", MIN_TRAIN_ROWS) < MIN_TRAIN_ROWS:
            raise DataRejected(f"{path}: {kept['train']} row to train on: give more")
        empty = [split for split in SPLITS if source not in SPLITS and split not in kept]
        if empty:
            raise DataRejected(
                f"{path}: no row falls into the split {empty[0]}: {sum(kept.values())} rows "
                "in too few groups that share texts: give more rows, other [data] split, or one file a split"
            )


def _first_quarantined(examples_uri: str, source: str) -> str:
    for name in sorted(fileio.glob(os.path.join(examples_uri, QUARANTINE, f"{source}*.jsonl"))):
        with fileio.open(name) as file:
            line = file.readline()
        if line:
            row = json.loads(line)
            return f"; first: line {row['line']}: {row['reason']}, {row['detail']}"
    return ""
