"""The model in service on a span that is new to it: all rows, through the evaluated signature."""

import numpy as np
import tensorflow as tf
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import artifact_utils, standard_artifacts
from tfx.utils import path_utils

from components.artifact_files import write_json
from components.nodes import LIVE_FILE
from components.tables import decode, split_files
from components.tfrecords import read_batches
from trainer import tables
from trainer.exporting.ops import load_model
from trainer.families import family_of
from trainer.spec import Spec
from trainer.undefined import dump

_ROWS = 256


@component
def LiveMetrics(
    examples: InputArtifact[standard_artifacts.Examples],
    evaluation: OutputArtifact[standard_artifacts.ModelEvaluation],
    spec: Parameter[str],
    code: Parameter[str],
    served: InputArtifact[standard_artifacts.Model] = None,
) -> None:
    """Writes `live.json`: the metrics, and of how many rows; of no model, no metrics."""
    del code  # part of the cache key
    parsed = Spec.model_validate_json(spec)
    report: dict[str, object] = {"model": None, "rows": 0, "metrics": {}}
    if served is not None:
        splits = artifact_utils.decode_split_names(examples.split_names)
        files = [file for split in splits for file in split_files(examples, split)]
        report = {"model": served.uri, **measure(path_utils.serving_model_path(served.uri), files, parsed)}
    write_json(report, evaluation.uri, LIVE_FILE)


def measure(model: str, files: list[str], spec: Spec) -> dict[str, object]:
    """`rows`, and by name the `metrics` of a SavedModel on TFRecords of raw examples, ready for JSON."""
    family, loaded = family_of(spec), load_model(model)
    answer = loaded.signatures[family.EVALUATED]
    labels, scores = [], []
    for records in read_batches(files, _ROWS):
        score = answer(examples=tf.constant(records))[family.SCORE].numpy()
        scores.append(score.reshape(len(records), -1).astype(np.float64))
        labels.append(tables.labels(decode(records)).reshape(len(records), -1))
    if not scores:
        return {"rows": 0, "metrics": {}}
    metrics = family.metrics(np.concatenate(labels), np.concatenate(scores), spec)
    return {"rows": sum(map(len, scores)), "metrics": dump(metrics)}
