"""tf.Examples on Beam, many at a time.

Beam's own TFRecord source and sink, which TFX uses, move single records through Python, checksums
included. TensorFlow reads and writes the same files in C++.
"""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Iterator

import apache_beam as beam
import pyarrow as pa
import tensorflow as tf
from apache_beam.io import filebasedsink
from tfx.dsl.io import fileio
from tfx_bsl.coders import example_coder
from tfx_bsl.tfxio import record_based_tfxio, tf_example_record

from trainer.chunking import chunks

# Rows handled together: large enough to amortize a call, small against the memory of a worker.
BATCH_ROWS = 12_288
# Records decoded together, in bytes: what a graph makes of long texts is many times as large.
BATCH_BYTES = 16 * 2**20
# Of zlib: a third of the time of its default, for files a tenth larger.
_COMPRESSION_LEVEL = 1


class BatchedExamples(tf_example_record.TFExampleRecord):
    """TFX's source of serialized tf.Examples in gzipped TFRecords, read in batches."""

    shares: dict[str, float] = {}  # noqa: RUF012 - replaced, never changed
    """folder to the share of its records that is read, where that is not all"""

    def BeamSource(self, batch_size: int | None = None) -> beam.PTransform:
        """Pipeline to RecordBatches of `batch_size` rows; a file is read by one worker."""
        files = sorted(file for pattern in self._file_pattern for file in fileio.glob(pattern))
        schema = None if self._schema is None else self._schema.SerializeToString()
        decode = _DecodeFile(schema, self.raw_record_column_name, batch_size or BATCH_ROWS, self.shares)
        decoding = beam.ParDo(decode.with_output_types(pa.RecordBatch))
        return "Files" >> beam.Create(files) | "Decode" >> decoding

    def _ProjectImpl(self, tensor_names: list[str]) -> BatchedExamples:
        projected = copy.copy(self)
        projected._schema = super()._ProjectImpl(tensor_names)._schema
        return projected


class _DecodeFile(beam.DoFn):
    def __init__(
        self, schema: bytes | None, raw_column: str | None, rows: int, shares: dict[str, float]
    ) -> None:
        self._schema = schema
        self._raw_column = raw_column
        self._rows = rows
        self._shares = shares

    def setup(self) -> None:
        known = [] if self._schema is None else [self._schema]
        self._decoder = example_coder.ExamplesToRecordBatchDecoder(*known)

    def process(self, path: str) -> Iterator[pa.RecordBatch]:
        share = self._shares.get(os.path.dirname(path), 1.0)
        before = 0
        for records in read_batches([path], self._rows):
            if share < 1:
                before, records = before + len(records), spread(records, before, share)
            for bounds in chunks(map(len, records), BATCH_BYTES):
                part = records[bounds]
                batch = self._decoder.DecodeBatch(part)
                if self._raw_column is not None:
                    batch = record_based_tfxio.AppendRawRecordColumn(batch, self._raw_column, part)
                yield batch


def spread(records: list[bytes], before: int, share: float) -> list[bytes]:
    """A share of the records, at even distances; `before` is how many came before them."""
    return [
        record
        for at, record in enumerate(records, before)
        if math.floor((at + 1) * share) > math.floor(at * share)
    ]


def read_batches(files: list[str], rows: int = BATCH_ROWS) -> Iterator[list[bytes]]:
    """Records of gzipped TFRecord files, in order, at most `rows` together."""
    dataset = tf.data.TFRecordDataset(files, compression_type="GZIP").batch(rows)
    return map(list, dataset.as_numpy_iterator())


def write_batches(prefix: str) -> beam.PTransform:
    """Lists of serialized tf.Examples to gzipped TFRecords `prefix-SSSSS-of-NNNNN.gz`, a file a bundle."""
    return beam.io.Write(_Sink(prefix))


class _Sink(filebasedsink.FileBasedSink):
    """Beam's own sink of files, which writes beside and renames, with TensorFlow's writer inside."""

    def __init__(self, prefix: str) -> None:
        super().__init__(prefix, coder=beam.coders.BytesCoder(), file_name_suffix=".gz")

    def open(self, temp_path: str) -> tf.io.TFRecordWriter:
        return open_writer(temp_path)

    def write_record(self, file_handle: tf.io.TFRecordWriter, value: list[bytes]) -> None:
        for record in value:
            file_handle.write(record)

    def close(self, file_handle: tf.io.TFRecordWriter | None) -> None:
        if file_handle is not None:
            file_handle.close()


def open_writer(path: str) -> tf.io.TFRecordWriter:
    """A writer of gzipped TFRecords, whatever the name of the file."""
    options = tf.io.TFRecordOptions(compression_type="GZIP", compression_level=_COMPRESSION_LEVEL)
    return tf.io.TFRecordWriter(os.fspath(path), options)
