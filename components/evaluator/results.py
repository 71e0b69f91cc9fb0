"""Reads what the Evaluator left behind."""

from __future__ import annotations

import json
import os

import tensorflow_model_analysis as tfma
from tfx.dsl.io import fileio

from components.evaluator.component import SPLITS
from components.evaluator.predictions import load_predictions
from components.nodes import REASONS_FILE
from trainer.undefined import UNKNOWN, defined

__all__ = ["load_metrics", "load_predictions"]

# TFMA adds these by itself, and the difference from the champion to each metric: rows are counted at
# ingestion, and what a difference means is for the quality gate.
_COUNTS = ("example_count", "weighted_example_count")


def load_metrics(evaluation_uri: str, model: str) -> dict[str, dict[str, float]]:
    """Split to metric to value of `model` ("candidate" or "champion"); empty for a model not evaluated.

    A value is a finite number or `Undefined`, whatever TFMA has in its place.
    """
    by_split: dict[str, dict[str, float]] = {}
    reasons = _reasons(evaluation_uri).get(model, {})
    for split in SPLITS:
        # With one model TFMA drops its name.
        for name in (model, ""):
            try:
                result = tfma.load_eval_result(os.path.join(evaluation_uri, split), model_name=name)
            except (ValueError, KeyError):
                continue
            measured = result.get_metrics_for_slice() if result else None
            if measured:
                by_split[split] = {
                    metric: defined(value["doubleValue"], reasons.get(split, {}).get(metric, UNKNOWN))
                    for metric, value in measured.items()
                    if "doubleValue" in value and metric not in _COUNTS and not metric.endswith("_diff")
                }
                break
    return by_split


def _reasons(evaluation_uri: str) -> dict[str, dict[str, dict[str, str]]]:
    """The Evaluator's reasons for metrics without a value; none where an older Evaluator was at work."""
    path = os.path.join(evaluation_uri, REASONS_FILE)
    if not fileio.exists(path):
        return {}
    with fileio.open(path) as file:
        return json.loads(file.read())
