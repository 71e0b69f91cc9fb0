"""The predictions that the metrics came from."""

from __future__ import annotations

import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

from components.tables import decode
from trainer import tables

PREDICTIONS = "predictions"
CANDIDATE, CHAMPION = "candidate", "champion"
SERIALIZED = "serialized"
# The column of each model's scores.
_SCORES = {CANDIDATE: "score", CHAMPION: CHAMPION}


def load_predictions(evaluation_uri: str, split: str) -> pa.Table:
    """One split: `serialized` (a tf.Example), `score`, `champion` (lists of numbers; empty without one)."""
    files = sorted(tf.io.gfile.glob(os.path.join(evaluation_uri, PREDICTIONS, f"{split}*.parquet")))
    return pa.concat_tables([pq.read_table(file) for file in files])


def labels_and_scores(evaluation_uri: str, split: str, model: str) -> tuple[np.ndarray, np.ndarray]:
    """Labels [rows, 1], or [rows, 0] of data without any, and what `model` said, [rows, numbers]."""
    predictions = load_predictions(evaluation_uri, split)
    score = np.array(predictions[_SCORES[model]].to_pylist(), np.float64).reshape(len(predictions), -1)
    label = tables.labels(decode(predictions[SERIALIZED].to_pylist()))
    return label.reshape(len(predictions), -1), score
