"""Reads what the Evaluator left behind."""

from __future__ import annotations

import os

import tensorflow_model_analysis as tfma

from components.evaluator.component import SPLITS
from components.evaluator.predictions import load_predictions

__all__ = ["load_metrics", "load_predictions"]

# TFMA adds these by itself, and the difference from the champion to each metric: rows are counted at
# ingestion, and what a difference means is for the quality gate.
_COUNTS = ("example_count", "weighted_example_count")


def load_metrics(evaluation_uri: str, model: str) -> dict[str, dict[str, float]]:
    """Split to metric to value of `model` ("candidate" or "champion"); empty for a model not evaluated."""
    found: dict[str, dict[str, float]] = {}
    for split in SPLITS:
        # With one model TFMA drops its name.
        for name in (model, ""):
            try:
                result = tfma.load_eval_result(os.path.join(evaluation_uri, split), model_name=name)
            except (ValueError, KeyError):
                continue
            measured = result.get_metrics_for_slice() if result else None
            if measured:
                found[split] = {
                    metric: value["doubleValue"]
                    for metric, value in measured.items()
                    if "doubleValue" in value and metric not in _COUNTS and not metric.endswith("_diff")
                }
                break
    return found
