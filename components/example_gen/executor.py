"""The rows of each split as tf.Examples, on Beam; what cannot be used as JSON lines with reasons."""

from __future__ import annotations

import json
import os
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
from google.protobuf import wrappers_pb2
from tfx.dsl.components.base import base_beam_executor
from tfx.dsl.io import fileio
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils
from tfx.utils import proto_utils
from tfx_bsl.coders import example_coder

from components.artifact_files import write_json
from components.example_gen.batch import Fault
from components.example_gen.check import UsableRows, check
from components.example_gen.counts import KEPT, QUARANTINE, READ, merge
from components.example_gen.data_config import SPLITS, DataSection
from components.example_gen.doubts import Doubts, source_facts
from components.example_gen.numbers import Numbers
from components.example_gen.plan import Assignment, decide, digest, misplaced, plan
from components.example_gen.reader import read
from components.example_gen.spans import FILES, Carry
from components.nodes import COUNTS_FILE
from components.tfrecords import open_writer
from trainer.errors import DataRejected
from trainer.features import LABEL, TEXT_A, TEXT_B, VECTOR
from trainer.files import hide, remove_tree
from trainer.text.form import TextForm

# TFX reads whatever is in the folder of a split, so files grow elsewhere.
_UNFINISHED = ".unfinished"


class Executor(base_beam_executor.BaseBeamExecutor):
    """Reads every file, keeps good rows, quarantines the others and accounts for all.

    The Examples artifact gets, beside its splits, `quarantine/SOURCE-*.jsonl` and `counts.json`. Whether
    enough rows could be used is for the gate behind it: TFX deletes what a component that fails has written,
    and the quarantine is needed most then.
    """

    def Do(self, input_dict: dict, output_dict: dict, exec_properties: dict[str, Any]) -> None:
        """Writes the artifact."""
        self._log_startup(input_dict, output_dict, exec_properties)
        examples = artifact_utils.get_single_instance(output_dict["examples"])
        examples.split_names = artifact_utils.encode_split_names(list(SPLITS))
        data, form, carry = arguments_of(exec_properties)
        if carry is not None:
            examples.span = carry.span
            examples.set_string_custom_property(FILES, carry.fingerprint)
        with self._make_beam_pipeline() as pipeline:
            _ = pipeline | write_examples(data, examples.uri, form, carry)
        remove_tree(os.path.join(examples.uri, _UNFINISHED))
        hide(os.path.join(examples.uri, QUARANTINE))


@beam.ptransform_fn
def write_examples(
    pipeline: beam.Pipeline, data: DataSection, uri: str, form: TextForm, carry: Carry | None = None
) -> beam.PCollection:
    """All files of the configuration to everything that the artifact at `uri` holds."""
    items = plan(data, data.files())
    for folder in (*map("Split-{}".format, SPLITS), QUARANTINE, _UNFINISHED):
        fileio.makedirs(os.path.join(uri, folder))
    return (
        pipeline
        | "Items" >> beam.Create(items)
        | "Digest" >> beam.Map(digest, data, form)
        # Where a row goes can depend on all others: one worker decides.
        | "AllDigests" >> beam.CombineGlobally(beam.combiners.ToListCombineFn())
        | "Decide" >> beam.FlatMap(decide, data, form, carry, uri)
        | "Spread" >> beam.Reshuffle()
        | "Write" >> beam.Map(_write, data, form, uri, len(items))
        | "AllCounts" >> beam.CombineGlobally(beam.combiners.ToListCombineFn())
        | "Merge" >> beam.Map(merge, source_facts(data, items))
        | "WriteCounts" >> beam.Map(write_json, uri, COUNTS_FILE, sort_keys=True)
    )


def _write(assignment: Assignment, data: DataSection, form: TextForm, uri: str, items: int) -> dict[str, Any]:
    """Writes an item's part of every split and of the quarantine; its counts."""
    source = assignment.item.source
    name = f"{assignment.item.number:05d}-of-{items:05d}"
    splits = SPLITS if source not in SPLITS else (source,)
    paths = {split: os.path.join(uri, f"Split-{split}", f"data_tfrecord-{name}.gz") for split in splits}
    aside = os.path.join(uri, QUARANTINE, f"{source}-{name}.jsonl")
    unfinished = {path: os.path.join(uri, _UNFINISHED, uuid.uuid4().hex) for path in (*paths.values(), aside)}
    counts: Counter[str] = Counter()
    doubts, numbers = Doubts(), Numbers(data)
    with ExitStack() as stack:
        writers = {split: stack.enter_context(open_writer(unfinished[path])) for split, path in paths.items()}
        quarantine = stack.enter_context(fileio.open(unfinished[aside], "w"))
        for kept, lines in _batches(assignment, data, form, counts, doubts, numbers):
            for split, rows in kept.items():
                for example in encode(rows, data):
                    writers[split].write(example)
            quarantine.write("".join(f"{line}\n" for line in lines))
    for path, written in unfinished.items():
        # A bundle that Beam tries again writes the same once more.
        fileio.rename(written, path, overwrite=True)
    return {
        "sources": {source: dict(counts)},
        "labels": {source: assignment.label_counts},
        "shared": assignment.shared,
        "doubts": doubts,
        "numbers": numbers.findings(),
    }


def _batches(
    assignment: Assignment,
    data: DataSection,
    form: TextForm,
    counts: Counter[str],
    doubts: Doubts,
    numbers: Numbers,
) -> Iterator[tuple[dict[str, UsableRows], list[str]]]:
    """The rows of each batch by split, and the lines of its quarantine."""
    destinations = np.frombuffer(assignment.destinations, np.uint8)
    done = 0
    for piece, before in zip(assignment.item.pieces, assignment.lines_before, strict=True):
        for batch in read(piece, data):
            rows, faults = check(batch, data)
            targets = destinations[done : done + len(rows)]
            if len(targets) < len(rows):
                raise DataRejected(f"{piece.path}: changed while it was read: run again")
            done += len(rows)
            doubts.add(piece.path, before, batch, rows, data)
            counts[READ] += len(batch.positions)
            usable = [at for at in range(len(batch.positions)) if at not in faults]
            numbers.add(rows.exact, piece.path, [before + batch.positions[at] for at in usable])
            for at in np.flatnonzero(targets >= len(SPLITS)):
                row = rows.take(np.arange(len(rows)) == at)
                faults[usable[at]] = Fault(*misplaced(int(targets[at]), row, data, form))
            counts.update(fault.reason.value for fault in faults.values())
            kept = {
                split: rows.take(targets == at) for at, split in enumerate(SPLITS) if (targets == at).any()
            }
            counts.update({KEPT + split: len(part) for split, part in kept.items()})
            lines = [
                quarantine_line(str(piece.path), before + batch.positions[at], faults[at], batch.raw(at))
                for at in sorted(faults)
            ]
            yield kept, lines
    if done != len(destinations):
        raise DataRejected(f"{assignment.item.pieces[0].path}: changed while it was read: run again")


def quarantine_line(file: str, line: int, fault: Fault, raw: str) -> str:
    """One JSON line; bytes that the encoding does not allow are kept as escapes."""
    kept = raw.encode("utf-8", "backslashreplace").decode()
    row = {"file": file, "line": line, "reason": fault.reason, "detail": fault.detail, "raw": kept}
    return json.dumps(row, ensure_ascii=False).encode("utf-8", "backslashreplace").decode()


def encode(rows: UsableRows, data: DataSection, more: Mapping[str, pa.Array] | None = None) -> list[bytes]:
    """Serialized tf.Examples of rows, in their order; `more` are features with a value for each row."""
    columns: dict[str, pa.Array] = {name: _lists(values, 1) for name, values in (more or {}).items()}
    for name, texts in ((TEXT_A, rows.text_a), (TEXT_B, rows.text_b)):
        if texts is not None:
            columns[name] = _lists(pa.array(texts, pa.binary()), 1)
    if rows.vector is not None:
        columns[VECTOR] = _lists(pa.array(rows.vector.ravel()), rows.vector.shape[1])
    if rows.label is not None:
        is_class = data.label is not None and data.label.kind == "classes"
        columns[LABEL] = _lists(pa.array(rows.label.astype(np.int64 if is_class else np.float32)), 1)
    batch = pa.RecordBatch.from_arrays(list(columns.values()), list(columns))
    return example_coder.RecordBatchToExamplesEncoder().encode(batch)


def _lists(values: pa.Array, length: int) -> pa.ListArray:
    return pa.ListArray.from_arrays(np.arange(0, len(values) + 1, length, dtype=np.int32), values)


def arguments_of(exec_properties: dict[str, Any]) -> tuple[DataSection, TextForm, Carry | None]:
    """The `[data]` section, the form in which the model reads texts, and a span's ties to other spans."""
    config, text = example_gen_pb2.CustomConfig(), wrappers_pb2.StringValue()
    proto_utils.json_to_proto(exec_properties["custom_config"], config)
    config.custom_config.Unpack(text)
    fields = json.loads(text.value)
    carry = None if fields["carry"] is None else Carry(**fields["carry"])
    return DataSection.model_validate(fields["data"]), TextForm.model_validate(fields["form"]), carry
