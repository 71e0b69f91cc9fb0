"""The predictions that the metrics came from."""

from __future__ import annotations

import os

import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

PREDICTIONS = "predictions"


def load_predictions(evaluation_uri: str, split: str) -> pa.Table:
    """One split: `serialized` (a tf.Example), `score`, `champion` (lists of numbers; empty without one)."""
    files = sorted(tf.io.gfile.glob(os.path.join(evaluation_uri, PREDICTIONS, f"{split}*.parquet")))
    return pa.concat_tables([pq.read_table(file) for file in files])
