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

from components.artifact_files import read_parquet, write_parquet
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


@beam.ptransform_fn
def answer(pipeline: beam.Pipeline, files: list[str], model: str, uri: str) -> beam.PCollection:
    """Files of tf.Examples to tables in `uri`, which `join` makes one of.

    Args:
      pipeline: Where the transform begins.
      files: Gzipped TFRecords, in the order of the rows.
      model: A SavedModel; its signature `serve_examples` is asked.
      uri: A folder of any file system that TFX knows.
    """
    fileio.makedirs(os.path.join(uri, _PARTS))
    # A bundle that Beam tries again writes the same file once more.
    work = [(path, os.path.join(uri, _PARTS, f"{at:05d}.parquet")) for at, path in enumerate(files)]
    tasks = pipeline | "Files" >> beam.Create(work) | "Spread" >> beam.Reshuffle()
    return tasks | "Answer" >> beam.ParDo(_AnswerFile(model))


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
            write_parquet(pa.concat_tables(tables), target)
            yield target


def join(uri: str, version: str) -> None:
    """Makes `predictions.parquet` of what `answer` left in `uri`; its metadata has the model's version."""
    folder, metadata = os.path.join(uri, _PARTS), {"version": version}
    parts = [os.path.join(folder, name) for name in sorted(map(str, fileio.listdir(folder)))]
    schema = read_parquet(parts[0]).schema.with_metadata(metadata)
    with tempfile.TemporaryDirectory() as scratch:
        whole = os.path.join(scratch, PREDICTIONS_FILE)
        with pq.ParquetWriter(whole, schema) as writer:
            for part in parts:
                writer.write_table(read_parquet(part).replace_schema_metadata(metadata))
        fileio.copy(whole, os.path.join(uri, PREDICTIONS_FILE), overwrite=True)
    remove_tree(folder)


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
    return values.cast(pa.string()) if values.type in (pa.binary(), pa.large_binary()) else values


def _column(values: np.ndarray) -> pa.Array:
    if values.dtype == object:
        return pa.array([value.decode("utf-8", "replace") for value in values], pa.string())
    return pa.array(values if values.ndim == 1 else list(values.reshape(len(values), -1)))
