"""What KFP's user interface shows of a step: metrics, tables of a classifier, the report.

KFP hands a container its "executor input" (JSON) and reads an "executor output" back from the file named
in there: that is how metadata comes to the artifacts which the pipeline declares.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from kfp import dsl

from pipeline.config import Config
from pipeline.runners.steps import Step
from trainer.families import family_of
from trainer.features import Label
from trainer.undefined import number

METRICS, CLASSIFICATION, REPORT = "metrics", "classification", "report"
# Points of a ROC curve that a page can draw.
_POINTS = 200


def outputs_of(node: str, config: Config) -> dict[str, type[dsl.Artifact]]:
    """The artifacts that a step of this configuration shows, by name."""
    shown: dict[str, dict[str, type[dsl.Artifact]]] = {
        "QualityGate": {METRICS: dsl.Metrics},
        "AtomicPusher": {METRICS: dsl.Metrics},
        "Conclude": {REPORT: dsl.HTML},
    }
    if _classifies(config):
        shown["Evaluator"] = {CLASSIFICATION: dsl.ClassificationMetrics}
    return shown.get(node, {})


def of_step(step: Step, config: Config) -> dict[str, dict[str, Any]]:
    """The metadata of the artifacts of `outputs_of`."""
    if step.id == "QualityGate":
        decision = json.loads(Path(step.outputs["blessing"].uri, "decision.json").read_text())
        measured = {
            f"{split}_{name}": value
            for split, metrics in decision["metrics"].items()
            for name, value in metrics.items()
            if number(value) is not None
        }
        return {METRICS: {**measured, "blessed": float(decision["blessed"])}}
    if step.id == "AtomicPusher":
        version = step.outputs["pushed_model"].custom_properties["pushed_version"].string_value
        return {METRICS: {"version": float(version)} if version else {"pushed": 0.0}}
    if CLASSIFICATION in outputs_of(step.id, config) and config.data.label is not None:
        label, score = _predictions(step.outputs["evaluation"].uri, config.gates.split)
        return {CLASSIFICATION: classification(label, score, config.data.label)}
    return {}


def classification(label: np.ndarray, score: np.ndarray, kind: Label) -> dict[str, Any]:
    """Confusion matrix, and the ROC curve of a binary label, as KFP's user interface wants them.

    Args:
      label: [rows], the true class's number.
      score: [rows, classes], or [rows, 1] for a binary label.
      kind: What the label is.
    """
    from sklearn.metrics import confusion_matrix, roc_curve

    shown = dsl.ClassificationMetrics()
    binary = score.shape[1] == 1
    names = ["0", "1"] if binary else list(kind.classes or ())
    predicted = (score[:, 0] >= 0.5).astype(int) if binary else score.argmax(axis=1)
    matrix = confusion_matrix(label.astype(int), predicted, labels=range(len(names)))
    shown.log_confusion_matrix(names, matrix.tolist())
    if binary and len(np.unique(label)) == len(names):
        false, true, threshold = roc_curve(label.astype(int), score[:, 0])
        at = np.unique(np.linspace(0, len(false) - 1, _POINTS).astype(int))
        # The first threshold is infinite, which JSON cannot say.
        shown.log_roc_curve(false[at].tolist(), true[at].tolist(), np.minimum(threshold[at], 1.0).tolist())
    return shown.metadata


def path_of(executor_input: dict[str, Any], name: str) -> Path | None:
    """Where KFP wants the file of an artifact, or None where it does not want it."""
    declared = executor_input.get("outputs", {}).get("artifacts", {}).get(name)
    return Path(dsl.Artifact(uri=declared["artifacts"][0]["uri"]).path) if declared else None


def write(executor_input: dict[str, Any], metadata: dict[str, dict[str, Any]]) -> None:
    """Writes the executor output: the declared artifacts, with what is known of them."""
    outputs = executor_input.get("outputs", {})
    if "outputFile" not in outputs:
        return
    artifacts = {
        name: {"artifacts": [{**declared["artifacts"][0], "metadata": metadata.get(name, {})}]}
        for name, declared in outputs.get("artifacts", {}).items()
    }
    target = Path(outputs["outputFile"])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps({"artifacts": artifacts}, allow_nan=False))


def _classifies(config: Config) -> bool:
    nothing = np.zeros((0, 1))
    return "accuracy" in family_of(config.spec).metrics(nothing, nothing, config.spec)


def _predictions(evaluation: str, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Labels [rows] and scores [rows, outputs] of the candidate on one split."""
    import pyarrow as pa
    from tfx_bsl.coders import example_coder

    from components.evaluator.results import load_predictions
    from trainer.tables import labels

    table = load_predictions(evaluation, split)
    decoder = example_coder.ExamplesToRecordBatchDecoder()
    rows = pa.Table.from_batches([decoder.DecodeBatch(table["serialized"].to_pylist())])
    score = np.array(table["score"].to_pylist(), np.float64)
    # What is no finite number is for the quality gate; here it would be the end of the step.
    finite = np.isfinite(score).all(axis=1)
    return labels(rows)[finite], score[finite]
