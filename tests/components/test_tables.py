"""Splits as tables."""

import apache_beam as beam
import pyarrow as pa
import tensorflow as tf
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to

from components import tfrecords
from components.tables import thin_out


def test_rows_are_left_out_at_even_distances():
    table = pa.table({"x": list(range(101))})
    assert thin_out(table, 101) is table
    assert thin_out(table, 11)["x"].to_pylist() == list(range(0, 101, 10))


def test_long_records_are_decoded_few_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(tfrecords, "BATCH_BYTES", 100)
    sizes = [30, 30, 30, 30, 500, 1, 99, 100, 2]
    path = str(tmp_path / "data.gz")
    with tfrecords.open_writer(path) as writer:
        for at, size in enumerate(sizes):
            feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[bytes([at]) * size]))
            features = tf.train.Features(feature={"x": feature})
            writer.write(tf.train.Example(features=features).SerializeToString())
    with beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"])) as pipeline:
        batches = pipeline | tfrecords.BatchedExamples([path]).BeamSource()
        rows = batches | beam.Map(lambda batch: [value[0][0] for value in batch.column(0).to_pylist()])
        assert_that(rows, equal_to([[0, 1], [2, 3], [4], [5], [6], [7], [8]]))
