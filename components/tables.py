"""Splits of Examples artifacts as Arrow tables."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import tensorflow as tf
from tfx.types import Artifact, artifact_utils
from tfx_bsl.coders import example_coder

from components.tfrecords import read_batches

Examples: TypeAlias = Artifact | Sequence[Artifact]


def split_files(examples: Examples, split: str) -> list[str]:
    """The TFRecord files of one split, in order; of several artifacts one after the other."""
    artifacts = [examples] if isinstance(examples, Artifact) else list(examples)
    folders = [artifact_utils.get_split_uri([artifact], split) for artifact in artifacts]
    return [file for folder in folders for file in sorted(tf.io.gfile.glob(os.path.join(folder, "*.gz")))]


def decode(examples: list[bytes]) -> pa.Table:
    """Serialized tf.Examples as a table."""
    if not examples:
        return pa.table({})
    return pa.Table.from_batches([example_coder.ExamplesToRecordBatchDecoder().DecodeBatch(examples)])


def read_table(examples: Examples, split: str) -> pa.Table:
    """One split as a table; every feature is a list column, as tf.Example has it."""
    tables = [decode(records) for records in read_batches(split_files(examples, split))]
    return pa.concat_tables(tables) if tables else pa.table({})


def thin_out(table: pa.Table, most: int) -> pa.Table:
    """At most `most` of its rows, at even distances."""
    if table.num_rows <= most:
        return table
    return table.take(np.linspace(0, table.num_rows - 1, most).astype(np.int64))
