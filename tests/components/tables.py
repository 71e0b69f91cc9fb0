"""Tables of plain values in every format, by writers that are not Kembar's."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

FORMATS = ("csv", "tsv", "jsonl", "parquet", "tfrecord")
# What has columns of lists.
OF_LISTS = ("jsonl", "parquet", "tfrecord")


def write_table(kind: str, path: Path, columns: Mapping[str, Sequence[Any]]) -> Path:
    """Writes columns of equal length; in CSV and TSV values are what `str` makes of them, null is nothing."""
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    if kind in ("csv", "tsv"):
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, delimiter="," if kind == "csv" else "\t")
            writer.writerows([list(columns), *(row.values() for row in rows)])
    elif kind == "jsonl":
        path.write_text("".join(json.dumps(row, default=float) + "\n" for row in rows), encoding="utf-8")
    elif kind == "parquet":
        pq.write_table(pa.table({name: pa.array(values) for name, values in columns.items()}), path)
    else:
        import tensorflow as tf

        with tf.io.TFRecordWriter(str(path)) as records:
            for row in rows:
                features = {name: _feature(value) for name, value in row.items() if value is not None}
                records.write(
                    tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()
                )
    return path


def _feature(value: Any) -> Any:
    import tensorflow as tf

    values = value if isinstance(value, list) else [value]
    if any(isinstance(one, str) for one in values):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[one.encode() for one in values]))
    if all(isinstance(one, int) for one in values):  # bools are integers there
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[int(one) for one in values]))
    kinds = (int, float, Decimal)
    return tf.train.Feature(
        float_list=tf.train.FloatList(value=[float(one) for one in values if isinstance(one, kinds)])
    )
