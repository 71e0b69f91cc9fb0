"""Predictions of the model, as one table in the rows' order."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import tensorflow as tf
from tfx.dsl.io import fileio

from components.nodes import PREDICTIONS_FILE
from components.tables import decode
from components.tfrecords import read_batches
from trainer.exporting.inference import EXAMPLES
from trainer.exporting.ops import load_model
from trainer.features import VECTOR
from trainer.files import remove_tree

# Rows in a call: more leave the caches, and encoders that pad do so to the longest text of a call.
_ROWS = 256
_PARTS = "parts"


def answer(files: list[str], model: str, uri: str) -> beam.PTransform:
    """Files of tf.Examples to tables in `uri`, which `join` makes one of.

    Args:
      files: Gzipped TFRecords, in the order of the rows.
      model: A SavedModel; its signature `serve_examples` is asked.
      uri: A folder of any file system that TFX knows.
    """
    fileio.makedirs(os.path.join(uri, _PARTS))
    # A bundle that Beam tries again writes the same file once more.
    work = [(path, os.path.join(uri, _PARTS, f"{at:05d}.parquet")) for at, path in enumerate(files)]
    return _Answer(work, model)


class _Answer(beam.PTransform):
    def __init__(self, work: list[tuple[str, str]], model: str) -> None:
        super().__init__()
        self._work = work
        self._model = model

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        files = pipeline | "Files" >> beam.Create(self._work) | "Spread" >> beam.Reshuffle()
        return files | "Answer" >> beam.ParDo(_AnswerFile(self._model))


class _AnswerFile(beam.DoFn):
    def __init__(self, model: str) -> None:
        self._path = model

    def setup(self) -> None:
        self._model = load_model(self._path)

    def process(self, work: tuple[str, str]) -> Iterator[str]:
        source, target = work
        ask = self._model.signatures[EXAMPLES]
        tables = [
            tabulate(decode(records), {k: v.numpy() for k, v in ask(examples=tf.constant(records)).items()})
            for records in read_batches([source], _ROWS)
        ]
        if tables:
            # Arrow does not write to the files of TFX's file system layer.
            buffer = pa.BufferOutputStream()
            pq.write_table(pa.concat_tables(tables), buffer)
            with fileio.open(target, "wb") as file:
                file.write(buffer.getvalue().to_pybytes())
            yield target


def join(uri: str, version: str) -> None:
    """Makes `predictions.parquet` of what `answer` left in `uri`; its metadata has the model's version."""
    folder, metadata = os.path.join(uri, _PARTS), {"version": version}
    parts = [os.path.join(folder, name) for name in sorted(map(str, fileio.listdir(folder)))]
    schema = _read(parts[0]).schema.with_metadata(metadata)
    with tempfile.TemporaryDirectory() as scratch:
        whole = os.path.join(scratch, PREDICTIONS_FILE)
        with pq.ParquetWriter(whole, schema) as writer:
            for part in parts:
                writer.write_table(_read(part).replace_schema_metadata(metadata))
        fileio.copy(whole, os.path.join(uri, PREDICTIONS_FILE), overwrite=True)
    remove_tree(folder)


def _read(path: str) -> pa.Table:
    with fileio.open(path, "rb") as file:
        return pq.read_table(pa.BufferReader(file.read()))


def tabulate(examples: pa.Table, outputs: dict[str, np.ndarray]) -> pa.Table:
    """`file`, `line`, what the model took, what it gave; features with one value as single values.

    Args:
      examples: Features as list columns.
      outputs: By name, [rows] or [rows, numbers].
    """
    columns = {name: _plain(examples[name], name) for name in sorted(examples.column_names)}
    return pa.table({**columns, **{name: _column(values) for name, values in sorted(outputs.items())}})


def _plain(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    if name == VECTOR:
        return column
    values = pc.list_flatten(column)
    kind = values.type
    return values.cast(pa.string()) if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) else values


def _column(values: np.ndarray) -> pa.Array:
    if values.ndim > 1:
        return pa.array(list(values.reshape(len(values), -1)))
    if values.dtype == object:
        return pa.array([value.decode("utf-8", "replace") for value in values], pa.string())
    return pa.array(values)
