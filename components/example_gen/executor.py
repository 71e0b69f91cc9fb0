"""The rows of each split as tf.Examples, on Beam; what cannot be used as JSON lines with reasons."""

from __future__ import annotations

import itertools
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
from google.protobuf import wrappers_pb2
from tfx.components.example_gen import base_example_gen_executor
from tfx.dsl.io import fileio
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils
from tfx.utils import proto_utils
from tfx_bsl.coders import example_coder

from components.example_gen.config import SPLITS, Data, Shares
from components.example_gen.counts import COUNTS, KEPT, QUARANTINE
from components.example_gen.rows import Quarantined, Row, read_rows
from components.example_gen.splits import assign, keys_of
from trainer.features import LABEL, TEXT_A, TEXT_B, VECTOR

# Rows encoded in one call: large enough to amortize it, small against the memory of a worker.
BATCH_ROWS = 2_048
_COUNTED = "counted"


class Executor(base_example_gen_executor.BaseExampleGenExecutor):
    """Reads each split's files, keeps good rows, quarantines the others and accounts for all.

    The Examples artifact gets, beside its splits, `quarantine/SPLIT*.jsonl` and `counts.json`.
    """

    def GetInputSourceToExamplePTransform(self) -> beam.PTransform:
        """What the base class would read one source with."""
        return _ReadSource

    def GenerateExamplesByBeam(
        self, pipeline: beam.Pipeline, exec_properties: dict[str, Any]
    ) -> dict[str, beam.PCollection]:
        """Split name to serialized tf.Examples."""
        data = data_of(exec_properties)
        examples: dict[str, list[beam.PCollection]] = {split: [] for split in SPLITS}
        counts = []
        for source in _input_splits(exec_properties):
            pattern = os.path.join(exec_properties["input_base"], source.pattern)
            # A source that is divided here has the name of no split.
            found = pipeline | f"Read[{source.name}]" >> _ReadSource(pattern, source.name, data)
            for split in SPLITS if source.name not in SPLITS else (source.name,):
                examples[split].append(found[split])
            _ = found[QUARANTINE] | f"WriteQuarantine[{source.name}]" >> beam.io.WriteToText(
                os.path.join(self._examples_uri, QUARANTINE, source.name), file_name_suffix=".jsonl"
            )
            counts.append(found[_COUNTED])
        _ = (
            counts
            | "AllCounts" >> beam.Flatten()
            | "Together" >> beam.CombineGlobally(_merge_counts)
            | "WriteCounts" >> beam.Map(_write_json, os.path.join(self._examples_uri, COUNTS))
        )
        return {split: parts | f"Join[{split}]" >> beam.Flatten() for split, parts in examples.items()}

    def Do(self, input_dict: dict, output_dict: dict, exec_properties: dict[str, Any]) -> None:
        """Writes the artifact. Whether enough rows could be used is for the gate behind it: TFX deletes
        what a component that fails has written, and the quarantine is needed most then.
        """
        self._examples_uri = artifact_utils.get_single_uri(output_dict["examples"])
        super().Do(input_dict, output_dict, exec_properties)


class _ReadSource(beam.PTransform):
    """Pipeline to {split: serialized examples, quarantine: JSON lines, counted: source to counts}."""

    def __init__(self, pattern: str, source: str, data: Data) -> None:
        super().__init__()
        self._pattern = pattern
        self._source = source
        self._data = data

    def expand(self, pipeline: beam.Pipeline) -> beam.pvalue.DoOutputsTuple:
        files = sorted(fileio.glob(self._pattern))
        return (
            pipeline
            # Which split a row goes to can depend on all others: then one worker reads all files.
            | "Files" >> beam.Create([[file] for file in files] if self._source in SPLITS else [files])
            | "Rows"
            >> beam.ParDo(_ReadFiles(self._source, self._data)).with_outputs(*SPLITS, QUARANTINE, _COUNTED)
        )


class _ReadFiles(beam.DoFn):
    def __init__(self, source: str, data: Data) -> None:
        self._source = source
        self._data = data

    def process(self, paths: list[str]) -> Iterator[Any]:
        counts: Counter[str] = Counter()
        batches: dict[str, list[Row]] = {split: [] for split in SPLITS}
        splits = self._splits(paths)
        for item in self._items(paths):
            counts["read"] += 1
            if isinstance(item, Quarantined):
                counts[item.reason] += 1
                yield beam.pvalue.TaggedOutput(QUARANTINE, quarantine_line(item))
                continue
            split = next(splits)
            counts[KEPT + split] += 1
            batches[split].append(item)
            if len(batches[split]) == BATCH_ROWS:
                yield from self._encode(split, batches[split])
                batches[split] = []
        for split, rows in batches.items():
            yield from self._encode(split, rows)
        yield beam.pvalue.TaggedOutput(_COUNTED, {self._source: dict(counts)})

    def _items(self, paths: list[str]) -> Iterator[Row | Quarantined]:
        return itertools.chain.from_iterable(read_rows(Path(path), self._data) for path in paths)

    def _splits(self, paths: list[str]) -> Iterator[str]:
        """The split of each usable row, in order."""
        if self._source in SPLITS:
            return itertools.repeat(self._source)
        rows = (item for item in self._items(paths) if isinstance(item, Row))
        return iter(assign(map(keys_of, rows), self._data.split or Shares()))

    def _encode(self, split: str, rows: list[Row]) -> Iterator[Any]:
        for example in encode(rows, self._data):
            yield beam.pvalue.TaggedOutput(split, example)


def encode(rows: list[Row], data: Data) -> list[bytes]:
    """Serialized tf.Examples of rows, in their order."""
    if not rows:
        return []
    columns: dict[str, pa.Array] = {}
    if data.vector is not None:
        flat = np.concatenate([row.vector for row in rows if row.vector is not None])
        offsets = np.arange(0, len(flat) + 1, data.vector.dimension, dtype=np.int32)
        columns[VECTOR] = pa.ListArray.from_arrays(offsets, flat)
    else:
        columns[TEXT_A] = pa.array([[row.text_a.encode()] for row in rows], pa.list_(pa.binary()))
        columns[TEXT_B] = pa.array([[row.text_b.encode()] for row in rows], pa.list_(pa.binary()))
    if data.label is not None:
        kind = pa.int64() if data.label.kind == "classes" else pa.float32()
        columns[LABEL] = pa.array([[row.label] for row in rows], pa.list_(kind))
    batch = pa.RecordBatch.from_arrays(list(columns.values()), list(columns))
    return example_coder.RecordBatchToExamplesEncoder().encode(batch)


def quarantine_line(item: Quarantined) -> str:
    """One JSON line; bytes that the encoding does not allow are kept as escapes."""
    return json.dumps(
        {**asdict(item), "raw": item.raw.encode("utf-8", "backslashreplace").decode()}, ensure_ascii=False
    )


def data_of(exec_properties: dict[str, Any]) -> Data:
    """The `[data]` section that the component was built with."""
    config = example_gen_pb2.CustomConfig()
    proto_utils.json_to_proto(exec_properties["custom_config"], config)
    text = wrappers_pb2.StringValue()
    config.custom_config.Unpack(text)
    return Data.model_validate(json.loads(text.value)["data"])


def _input_splits(exec_properties: dict[str, Any]) -> Iterable[example_gen_pb2.Input.Split]:
    config = example_gen_pb2.Input()
    proto_utils.json_to_proto(exec_properties["input_config"], config)
    return config.splits


def _merge_counts(parts: Iterable[dict[str, dict[str, int]]]) -> dict[str, dict[str, int]]:
    merged: dict[str, Counter[str]] = {}
    for part in parts:
        for split, counts in part.items():
            merged.setdefault(split, Counter()).update(counts)
    return {split: dict(counts) for split, counts in merged.items()}


def _write_json(value: Any, path: str) -> None:
    with fileio.open(path, "w") as file:
        file.write(json.dumps(value, indent=2, sort_keys=True))
