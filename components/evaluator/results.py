"""Reads what the Evaluator left behind."""

from __future__ import annotations

import os
from contextlib import suppress

import tensorflow_model_analysis as tfma

from components.artifact_files import read_json
from components.evaluator.component import SPLITS
from components.nodes import REASONS_FILE
from trainer.undefined import UNKNOWN, defined

# TFMA adds these by itself, and the difference from the champion to each metric: rows are counted at
# ingestion, and what a difference means is for the quality gate.
_COUNTS = ("example_count", "weighted_example_count")


def load_metrics(evaluation_uri: str, model: str) -> dict[str, dict[str, float]]:
    """Split to metric to value of `model` ("candidate" or "champion"); empty for a model not evaluated.

    A value is a finite number or `Undefined`, whatever TFMA has in its place.
    """
    by_split: dict[str, dict[str, float]] = {}
    reasons = read_json(evaluation_uri, REASONS_FILE).get(model, {})
    for split in SPLITS:
        # With one model TFMA drops its name.
        for name in (model, ""):
            with suppress(ValueError, KeyError):
                result = tfma.load_eval_result(os.path.join(evaluation_uri, split), model_name=name)
                if result and (measured := result.get_metrics_for_slice()):
                    by_split[split] = {
                        metric: defined(value["doubleValue"], reasons.get(split, {}).get(metric, UNKNOWN))
                        for metric, value in measured.items()
                        if "doubleValue" in value and metric not in _COUNTS and not metric.endswith("_diff")
                    }
                    break
    return by_split
