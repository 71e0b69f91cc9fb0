"""The outputs of a step for KFP's user interface: metrics, tables of a classifier, the report.

KFP hands a container its "executor input" (JSON) and reads an "executor output" back from the file named
in there: that is how metadata comes to the artifacts which the pipeline declares.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kfp import dsl

from components.champion import PUSHED_VERSION
from components.nodes import CONFUSION_FILE, DECISION_FILE, EVALUATOR, PUSHER, QUALITY_GATE
from pipeline.config.configuration import Config
from pipeline.graph.step_result import StepResult
from pipeline.kubeflow.records import CONCLUDE
from trainer.confusion import shown_classes
from trainer.files import replace_file
from trainer.undefined import number

METRICS, CLASSIFICATION, REPORT = "metrics", "classification", "report"


def outputs_of(node: str, config: Config) -> dict[str, type[dsl.Artifact]]:
    """The artifacts that a step of this configuration shows, by name."""
    shown: dict[str, dict[str, type[dsl.Artifact]]] = {
        QUALITY_GATE: {METRICS: dsl.Metrics},
        PUSHER: {METRICS: dsl.Metrics},
        CONCLUDE: {REPORT: dsl.HTML},
    }
    if shown_classes(config.spec):
        shown[EVALUATOR] = {CLASSIFICATION: dsl.ClassificationMetrics}
    return shown.get(node, {})


def of_step(step: StepResult, config: Config) -> dict[str, dict[str, Any]]:
    """The metadata of the artifacts of `outputs_of`."""
    if step.id == QUALITY_GATE:
        decision = json.loads(Path(step.outputs["blessing"].uri, DECISION_FILE).read_text())
        measured = {
            f"{split}_{name}": value
            for split, metrics in decision["metrics"].items()
            for name, value in metrics.items()
            if number(value) is not None
        }
        return {METRICS: {**measured, "blessed": float(decision["blessed"])}}
    if step.id == PUSHER:
        version = step.outputs["pushed_model"].custom_properties[PUSHED_VERSION].string_value
        return {METRICS: {"version": float(version)} if version else {"pushed": 0.0}}
    if CLASSIFICATION in outputs_of(step.id, config):
        tables = json.loads(Path(step.outputs["evaluation"].uri, CONFUSION_FILE).read_text())
        return {CLASSIFICATION: classification(tables[config.gates.split])}
    return {}


def classification(table: dict[str, Any]) -> dict[str, Any]:
    """A table of `trainer.confusion.confusion` as KFP's user interface wants it."""
    shown = dsl.ClassificationMetrics()
    shown.log_confusion_matrix(table["classes"], table["matrix"])
    if (roc := table.get("roc")) is not None:
        shown.log_roc_curve(roc["false_positive_rate"], roc["recall"], roc["threshold"])
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
    replace_file(target, json.dumps({"artifacts": artifacts}, allow_nan=False))
