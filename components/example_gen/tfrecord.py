"""tf.Examples of TFRecord files, plain or gzipped."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf
from google.protobuf.message import DecodeError
from tfx_bsl.coders import example_coder

from components.example_gen.arrow import decoded, lists
from components.example_gen.batch import BATCH_ROWS, Batch, Fault, FaultReason
from components.example_gen.data_config import DataSection
from components.example_gen.parquet import shown
from components.example_gen.streams import compression_of
from trainer.errors import DataRejected
from trainer.features import VECTOR

# Where in its own graph TensorFlow saw an error.
_GRAPH_NODE = re.compile(r"\{\{.*?\}\}| ?\[Op:.*")


def read_tfrecord(path: Path, data: DataSection) -> Iterator[Batch]:
    """Batches of the file's examples.

    Raises:
      DataRejected: when the file is no TFRecord file, or is cut off.
    """
    decoder = example_coder.ExamplesToRecordBatchDecoder()
    done = 0
    for records in _records(path):
        faults: dict[int, Fault] = {}
        try:
            batch = decoder.DecodeBatch(records)
        except (RuntimeError, ValueError):  # one of them is none, or a feature is not of one kind in all
            examples = [_example(at, record, faults) for at, record in enumerate(records)]
            columns = {key: _feature(examples, name, key == VECTOR) for key, name in data.wanted.items()}
        else:
            columns = {key: _column(batch, name, key == VECTOR) for key, name in data.wanted.items()}
        for key, name in data.wanted.items():
            for at in (at for at, value in enumerate(columns[key]) if value is None):
                faults.setdefault(at, Fault(FaultReason.MISSING_KEY, f"no feature {name!r}"))
        raw = functools.partial(shown, list(columns.values()))
        yield Batch(range(done + 1, done + len(records) + 1), columns, raw, faults)
        done += len(records)


def feature_names(path: Path) -> list[str]:
    """The features of the file's first examples."""
    for records in _records(path):
        for record in records:
            try:
                return sorted(tf.train.Example.FromString(record).features.feature)
            except DecodeError:  # the row is quarantined
                continue
    return []


def _records(path: Path) -> Iterator[list[bytes]]:
    compression = "GZIP" if compression_of(path) == "gzip" else ""
    dataset = tf.data.TFRecordDataset(str(path), compression_type=compression)
    try:
        for batch in dataset.batch(BATCH_ROWS).as_numpy_iterator():
            yield list(batch)
    except tf.errors.OpError as error:
        message = _GRAPH_NODE.sub("", error.message).strip()
        fix = "correct [data] format, or write it again" if "record at 0 " in message else "write it again"
        raise DataRejected(f"{path}: not a whole TFRecord file: {message}: {fix}") from None


def _example(at: int, record: bytes, faults: dict[int, Fault]) -> tf.train.Example:
    try:
        return tf.train.Example.FromString(record)
    except DecodeError:
        faults[at] = Fault(FaultReason.MALFORMED_EXAMPLE, f"{len(record)} bytes that are no tf.Example")
        return tf.train.Example()


def _feature(examples: list[tf.train.Example], name: str, is_vector: bool) -> Sequence[Any]:
    """As `_column`, where a number may be whole in one row and not in another."""
    column: list[Any] = []
    for example in examples:
        # Not by index, which would add the feature.
        feature = example.features.feature.get(name)
        kind = feature.WhichOneof("kind") if feature is not None else None
        values = list(getattr(feature, kind).value) if kind is not None else None
        if is_vector and kind == "bytes_list":
            column.append([decoded(value) for value in values or ()])
        elif is_vector:
            column.append(None if values is None else np.array(values, np.float64))
        else:
            column.append(_single(values))
    return column


def _column(batch: pa.RecordBatch, name: str, is_vector: bool) -> Sequence[Any]:
    at = batch.schema.get_field_index(name)
    column = batch.column(at) if at >= 0 else None
    if column is None or pa.types.is_null(column.type):
        return [None] * batch.num_rows
    if is_vector:
        return lists(column)
    # A text or a label is a list of one.
    return [_single(values) for values in column.to_pylist()]


def _single(values: list[Any] | None) -> Any:
    if not values or len(values) > 1:
        return values or None
    return decoded(values[0]) if isinstance(values[0], bytes) else values[0]
