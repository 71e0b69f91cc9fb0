"""Counts of kept and quarantined rows: `counts.json` beside the splits, and the check of them."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from tfx.dsl.io import fileio

from components.artifact_files import read_json
from components.example_gen.batch import KEPT, NO_FAULT_OF_THE_ROW, READ, FaultReason
from components.example_gen.data_config import SPLITS, DataSection
from components.example_gen.doubts import Doubts
from components.example_gen.labels import LabelCounts, advice
from components.example_gen.numbers import Finding, warnings
from components.nodes import COUNTS_FILE
from trainer.errors import DataRejected

QUARANTINE = "quarantine"
# Nothing varies in fewer.
MIN_TRAIN_ROWS = 2
# Reasons that a message tells, with the first row of each.
_SHOWN_REASONS = 5
_LONGEST_DETAIL = 120


def merge(parts: Iterable[dict[str, Any]], facts: Mapping[str, Any]) -> dict[str, Any]:
    """The counts of all items together, and what is known of the files: see `doubts.source_facts`.

    `shared` of a part is what splits with files of their own have in common.
    """
    sources: dict[str, Counter[str]] = {}
    labels: dict[str, LabelCounts] = {}
    shared: dict[str, Any] = {}
    findings: list[Finding] = []
    doubts = Doubts()
    for part in parts:
        doubts.merge(part["doubts"])
        shared |= part["shared"]
        findings += part["numbers"]
        for source, counts in part["sources"].items():
            sources.setdefault(source, Counter()).update(counts)
        for source, label_counts in part["labels"].items():
            labels.setdefault(source, LabelCounts()).add(label_counts)
    return {
        "sources": {source: dict(counts) for source, counts in sources.items()},
        "labels": {source: label_counts.to_json() for source, label_counts in labels.items()},
        "shared_texts": {},
        **shared,
        "dialects": facts["dialects"],
        "remarks": [*facts["remarks"], *doubts.sentences()],
        "warnings": warnings(findings),
    }


def check_counts(examples_uri: str, data: DataSection, alone: bool = True) -> None:
    """Raises unless every row is accounted for and enough of them can be used.

    Where the data is not `alone`, but trained on with other spans, a split may have no row.
    """
    merged = read_json(examples_uri, COUNTS_FILE)
    by_source: dict[str, dict[str, int]] = merged["sources"]
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
            commonest = [reason for reason, _ in Counter(aside).most_common(_SHOWN_REASONS)]
            common = ", ".join(f"{reason} ({aside[reason]})" for reason in commonest)
            raise DataRejected(
                f"{path}: {bad} of {read} rows cannot be used, "
                f"[data] max_quarantined = {data.max_quarantined:g} allows "
                f"{int(data.max_quarantined * read)}: {common or 'no rows'}"
                f"{_first_of_each(examples_uri, source, commonest)}"
                f"{_labels(merged, source, data, aside, bad)}"
            )
        if not alone:
            continue
        if kept.get("train", MIN_TRAIN_ROWS) < MIN_TRAIN_ROWS:
            raise DataRejected(f"{path}: {kept['train']} row to train on: give more")
        empty = [split for split in SPLITS if source not in SPLITS and split not in kept]
        if empty:
            groups, vectors = "in too few groups that share texts", "of too few vectors that differ"
            few = groups if data.vector is None else vectors
            raise DataRejected(
                f"{path}: no row falls into the split {empty[0]}: {sum(kept.values())} rows {few}: "
                "give more rows, other [data] split, or one file a split"
            )


def _labels(merged: dict[str, Any], source: str, data: DataSection, aside: dict[str, int], bad: int) -> str:
    """Advice on the labels, where most of the bad rows are bad for theirs."""
    for_label = aside.get(FaultReason.BAD_LABEL, 0) + aside.get(FaultReason.LABEL_OUT_OF_RANGE, 0)
    if data.label is None or not for_label or 2 * for_label < bad:
        return ""
    stored = merged.get("labels", {}).get(source)  # an older Kembar has not counted them
    has_decimal = data.format in ("csv", "tsv") and data.decimal is None
    return "" if stored is None else f"; {advice(LabelCounts.from_json(stored), data.label, has_decimal)}"


def _first_of_each(examples_uri: str, source: str, reasons: list[str]) -> str:
    """The first row of every reason, its values cut short."""
    first_rows: dict[str, str] = {}
    for name in sorted(fileio.glob(os.path.join(examples_uri, QUARANTINE, f"{source}-*.jsonl"))):
        with fileio.open(name) as file:
            for row in map(json.loads, file):
                if row["reason"] in reasons and row["reason"] not in first_rows:
                    file_name, detail = os.path.basename(row["file"]), row["detail"][:_LONGEST_DETAIL]
                    first_rows[row["reason"]] = f"{file_name} line {row['line']}: {row['reason']}, {detail}"
                if len(first_rows) == len(reasons):
                    break
    shown = "; ".join(first_rows[reason] for reason in reasons if reason in first_rows)
    return f"; for example {shown}" if shown else ""
