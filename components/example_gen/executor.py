"""The rows of each split as tf.Examples, on Beam; what cannot be used as JSON lines with reasons."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
from google.protobuf import wrappers_pb2
from tfx.components.example_gen import base_example_gen_executor
from tfx.dsl.io import fileio
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils
from tfx.utils import proto_utils
from tfx_bsl.coders import example_coder

from components.example_gen.config import Data
from components.example_gen.rows import Quarantined, Row, read_rows
from trainer.errors import DataRejected
from trainer.features import LABEL, TEXT_A, TEXT_B

QUARANTINE = "quarantine"
COUNTS = "counts.json"
# Rows encoded in one call: large enough to amortize it, small against the memory of a worker.
BATCH_ROWS = 2_048
_KEPT = "kept"


class Executor(base_example_gen_executor.BaseExampleGenExecutor):
    """Reads each split's files, keeps good rows, quarantines the others and accounts for all.

    The Examples artifact gets, beside its splits, `quarantine/SPLIT*.jsonl` and `counts.json`.
    """

    def GetInputSourceToExamplePTransform(self) -> beam.PTransform:  # noqa: N802
        """One pattern of one split to serialized examples, as the base class asks for it."""
        return _ReadSplit

    def GenerateExamplesByBeam(  # noqa: N802
        self, pipeline: beam.Pipeline, exec_properties: dict[str, Any]
    ) -> dict[str, beam.PCollection]:
        """Split name to serialized tf.Examples."""
        splits, counts = {}, []
        data = data_of(exec_properties)
        for split in _input_splits(exec_properties):
            pattern = os.path.join(exec_properties["input_base"], split.pattern)
            rows = pipeline | f"Read[{split.name}]" >> _ReadSplit(pattern, data)
            splits[split.name] = rows[_KEPT]
            _ = rows[QUARANTINE] | f"WriteQuarantine[{split.name}]" >> beam.io.WriteToText(
                os.path.join(self._examples_uri, QUARANTINE, split.name), file_name_suffix=".jsonl"
            )
            counts.append(rows["counts"] | f"NameSplit[{split.name}]" >> beam.Map(_name_split, split.name))
        _ = (
            counts
            | "AllCounts" >> beam.Flatten()
            | "Together" >> beam.CombineGlobally(_merge_counts)
            | "WriteCounts" >> beam.Map(_write_json, os.path.join(self._examples_uri, COUNTS))
        )
        return splits

    def Do(self, input_dict: dict, output_dict: dict, exec_properties: dict[str, Any]) -> None:  # noqa: N802
        """Writes the artifact, then checks that every row is accounted for.

        Raises:
          DataRejected: when more rows are quarantined than `max_quarantined` allows, or a split is empty.
        """
        self._examples_uri = artifact_utils.get_single_uri(output_dict["examples"])
        super().Do(input_dict, output_dict, exec_properties)
        check_counts(self._examples_uri, data_of(exec_properties))


class _ReadSplit(beam.PTransform):
    """Pipeline to {kept: serialized examples, quarantine: JSON lines, counts: Counter a file}."""

    def __init__(self, pattern: str, data: Data) -> None:
        super().__init__()
        self._pattern = pattern
        self._data = data

    def expand(self, pipeline: beam.Pipeline) -> beam.pvalue.DoOutputsTuple:
        return (
            pipeline
            | "Files" >> beam.Create(sorted(fileio.glob(self._pattern)))
            | "Rows" >> beam.ParDo(_ReadFile(self._data)).with_outputs(_KEPT, QUARANTINE, "counts")
        )


class _ReadFile(beam.DoFn):
    def __init__(self, data: Data) -> None:
        self._data = data

    def process(self, path: str) -> Iterator[Any]:
        counts: Counter[str] = Counter()
        batch: list[Row] = []
        for item in read_rows(Path(path), self._data):
            counts["read"] += 1
            if isinstance(item, Quarantined):
                counts[item.reason] += 1
                yield beam.pvalue.TaggedOutput(QUARANTINE, quarantine_line(item))
                continue
            batch.append(item)
            if len(batch) == BATCH_ROWS:
                yield from self._encode(batch, counts)
                batch = []
        yield from self._encode(batch, counts)
        yield beam.pvalue.TaggedOutput("counts", counts)

    def _encode(self, rows: list[Row], counts: Counter[str]) -> Iterator[Any]:
        for example in encode(rows):
            counts[_KEPT] += 1
            yield beam.pvalue.TaggedOutput(_KEPT, example)


def encode(rows: list[Row]) -> list[bytes]:
    """Serialized tf.Examples of rows, in their order."""
    if not rows:
        return []
    columns = {
        TEXT_A: pa.array([[row.text_a.encode()] for row in rows], pa.list_(pa.binary())),
        TEXT_B: pa.array([[row.text_b.encode()] for row in rows], pa.list_(pa.binary())),
        LABEL: pa.array([[row.label] for row in rows], pa.list_(pa.float32())),
    }
    batch = pa.RecordBatch.from_arrays(list(columns.values()), list(columns))
    return example_coder.RecordBatchToExamplesEncoder().encode(batch)


def quarantine_line(item: Quarantined) -> str:
    """One JSON line; bytes that the encoding does not allow are kept as escapes."""
    return json.dumps(
        {**asdict(item), "raw": item.raw.encode("utf-8", "backslashreplace").decode()}, ensure_ascii=False
    )


def check_counts(examples_uri: str, data: Data) -> None:
    """Raises unless every row is accounted for and enough of them can be used."""
    with fileio.open(os.path.join(examples_uri, COUNTS)) as file:
        by_split: dict[str, dict[str, int]] = json.loads(file.read())
    for split, counts in by_split.items():
        path = data.split_files()[split]
        reasons = {key: n for key, n in counts.items() if key not in ("read", _KEPT)}
        read, kept, bad = counts.get("read", 0), counts.get(_KEPT, 0), sum(reasons.values())
        if read != kept + bad:
            raise AssertionError(f"{path}: {read} rows read, but {kept} kept and {bad} quarantined")
        if kept == 0 or bad > data.max_quarantined * read:
            common = ", ".join(f"{reason} ({n})" for reason, n in Counter(reasons).most_common(5))
            raise DataRejected(
                f"{path}: {bad} of {read} rows cannot be used, "
                f"[data] max_quarantined = {data.max_quarantined:g} allows "
                f"{int(data.max_quarantined * read)}: {common or 'no rows'}"
                f"{_first_quarantined(examples_uri, split)}"
            )


def _first_quarantined(examples_uri: str, split: str) -> str:
    for name in sorted(fileio.glob(os.path.join(examples_uri, QUARANTINE, f"{split}*.jsonl"))):
        with fileio.open(name) as file:
            line = file.readline()
        if line:
            row = json.loads(line)
            return f"; first: line {row['line']}: {row['reason']}, {row['detail']}"
    return ""


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


def _name_split(counts: Counter[str], split: str) -> dict[str, dict[str, int]]:
    return {split: dict(counts)}


def _merge_counts(parts: Iterable[dict[str, dict[str, int]]]) -> dict[str, dict[str, int]]:
    merged: dict[str, Counter[str]] = {}
    for part in parts:
        for split, counts in part.items():
            merged.setdefault(split, Counter()).update(counts)
    return {split: dict(counts) for split, counts in merged.items()}


def _write_json(value: Any, path: str) -> None:
    with fileio.open(path, "w") as file:
        file.write(json.dumps(value, indent=2, sort_keys=True))
