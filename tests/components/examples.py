"""The ingestion on Beam, and what it leaves, for tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import apache_beam as beam
import tensorflow as tf
from apache_beam.options.pipeline_options import PipelineOptions

from components.example_gen.counts import merge
from components.example_gen.data_config import SPLITS, DataSection
from components.example_gen.doubts import source_facts
from components.example_gen.executor import _write, write_examples
from components.example_gen.plan import decide, digest, plan
from components.example_gen.spans import Carry
from components.tfrecords import read_batches
from trainer.text.form import TextForm


class Written(NamedTuple):
    """What `counts.json`, the quarantine and the splits hold."""

    counts: dict[str, Any]
    quarantine: list[dict[str, Any]]
    splits: dict[str, list[tuple]]
    """the features of each example, in the order of their names (which in the file is any)"""


def ingest(
    data: DataSection,
    folder: Path,
    options: tuple[str, ...] = ("--runner=FnApiRunner",),
    form: TextForm | None = None,
    carry: Carry | None = None,
) -> Written:
    """Runs the ingestion's pipeline; its artifact is `folder`."""
    with beam.Pipeline(options=PipelineOptions(list(options))) as pipeline:
        _ = pipeline | write_examples(data, str(folder), form or TextForm(), carry)
    return _written(folder)


def ingest_here(data: DataSection, folder: Path, form: TextForm | None = None) -> Written:
    """Runs the ingestion's steps without Beam, in this process: a table takes milliseconds."""
    form = form or TextForm()
    for name in (*map("Split-{}".format, SPLITS), "quarantine", ".unfinished"):
        (folder / name).mkdir(parents=True)
    items = plan(data, data.files())
    orders = decide([digest(item, data, form) for item in items], data, form)
    parts = [_write(order, data, form, str(folder), len(items)) for order in orders]
    (folder / "counts.json").write_text(json.dumps(merge(parts, source_facts(data, items))))
    return _written(folder)


def _written(folder: Path) -> Written:
    quarantine = [
        json.loads(line)
        for path in sorted(folder.glob("quarantine/*.jsonl"))
        for line in path.read_text().split("\n")[:-1]
    ]
    splits = {
        split: [
            _features(record)
            for path in sorted(map(str, folder.glob(f"Split-{split}/*")))
            for batch in read_batches([path])
            for record in batch
        ]
        for split in SPLITS
    }
    return Written(json.loads((folder / "counts.json").read_text()), quarantine, splits)


def _features(serialized: bytes) -> tuple:
    features = tf.train.Example.FromString(serialized).features.feature
    return tuple(_value(features[name]) for name in sorted(features))


def _value(feature: tf.train.Feature) -> Any:
    values = getattr(feature, feature.WhichOneof("kind")).value
    plain = [value.decode() if isinstance(value, bytes) else value for value in values]
    return plain[0] if len(plain) == 1 else plain
