"""Rows without a label as tf.Examples, each with its place in the files.

One worker reads: inference behind it takes many times as long.
"""

from __future__ import annotations

import os
from collections import Counter

import pyarrow as pa
from tfx.dsl.io import fileio

from components.artifact_files import write_json
from components.bulk_inferrer.bulk_config import FILE, KEPT_ROWS, LINE, SPLIT
from components.example_gen.check import check
from components.example_gen.counts import READ
from components.example_gen.data_config import DataSection
from components.example_gen.executor import encode, quarantine_line
from components.example_gen.reader import read, whole
from components.nodes import BULK_QUARANTINE, COUNTS_FILE
from components.tfrecords import open_writer
from trainer.errors import KembarError
from trainer.files import hide


def write_rows(data: DataSection, uri: str) -> None:
    """Writes `Split-bulk/`, rows that cannot be used into `bulk_quarantine/`, and `counts.json`.

    Raises:
      KembarError: no row at all can be used, or a file cannot be read to its end.
    """
    folder, aside = os.path.join(uri, f"Split-{SPLIT}"), os.path.join(uri, BULK_QUARANTINE)
    for directory in (folder, aside):
        fileio.makedirs(directory)
    hide(aside)
    counts: Counter[str] = Counter()
    parts, first = 0, ""
    with fileio.open(os.path.join(aside, "rows.jsonl"), "w") as quarantine:
        for path in data.files()["path"]:
            for batch in read(whole(path, data), data):
                rows, faults = check(batch, data)
                lines = [line for at, line in enumerate(batch.positions) if at not in faults]
                locations = {
                    FILE: pa.array([str(path)] * len(lines), pa.binary()),
                    LINE: pa.array(lines, pa.int64()),
                }
                # A file a batch, so that workers can share them.
                with open_writer(os.path.join(folder, f"data_tfrecord-{parts:05d}.gz")) as writer:
                    for example in encode(rows, data, locations):
                        writer.write(example)
                parts += 1
                counts.update({READ: len(batch.positions), KEPT_ROWS: len(lines)})
                counts.update(fault.reason.value for fault in faults.values())
                for at in sorted(faults):
                    line = quarantine_line(str(path), batch.positions[at], faults[at], batch.raw(at))
                    first = first or f"{path} line {batch.positions[at]}: {faults[at].detail}"
                    quarantine.write(f"{line}\n")
    if not counts[KEPT_ROWS]:
        raise KembarError(f"[bulk] input: none of {counts[READ]} rows can be used; the first: {first}")
    write_json(counts, uri, COUNTS_FILE, sort_keys=True)
