"""One TFMA metric that gathers labels and scores and hands them to the family's own functions.

Rank correlations and precision-recall curves need all scores at once, and TFMA has neither Spearman's
nor Pearson's coefficient. The same functions measure the baselines, so the numbers can be compared.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics import metric_types, metric_util

from trainer.families import family_of
from trainer.spec import Spec

# Labels and scores.
_Columns = tuple[list[np.ndarray], list[np.ndarray]]


class FamilyMetrics(tfma.metrics.Metric):
    """All metrics of the family that `spec` configures."""

    def __init__(self, spec: str, name: str = "family_metrics") -> None:
        """Args: `spec`, a trainer.spec.Spec as JSON."""
        super().__init__(metric_util.merge_per_key_computations(_computations), name=name, spec=spec)


metric_types.register_metric(FamilyMetrics)


def _computations(
    name: str,
    spec: str,
    eval_config: tfma.EvalConfig | None = None,
    model_name: str = "",
    output_name: str = "",
    **_: Any,
) -> metric_types.MetricComputations:
    del name
    parsed = Spec.model_validate_json(spec)
    # An empty split has the names of all metrics, and no value for any.
    names = family_of(parsed).metrics(np.zeros((0, 1)), np.zeros((0, 1)), parsed)
    source = {"model_name": model_name, "output_name": output_name}
    keys = {metric: metric_types.MetricKey(name=metric, **source) for metric in names}
    pairs = functools.partial(
        metric_util.to_label_prediction_example_weight,
        eval_config=eval_config,
        example_weighted=False,
        flatten=False,
        allow_none=True,
        **source,
    )
    combiner = _Gather(parsed, keys, pairs)
    return [metric_types.MetricComputation(keys=list(keys.values()), preprocessors=None, combiner=combiner)]


class _Gather(beam.CombineFn):
    """Keeps every label and score, 8 bytes a number; measures once at the end."""

    def __init__(self, spec: Spec, keys: dict, pairs: Callable[[Any], Any]) -> None:
        self._spec = spec
        self._keys = keys
        self._pairs = pairs

    def create_accumulator(self) -> _Columns:
        return ([], [])

    def add_input(self, columns: _Columns, element: Any) -> _Columns:
        for label, score, _ in self._pairs(element):
            columns[0].append(_row(label))
            columns[1].append(_row(score))
        return columns

    def merge_accumulators(self, parts: Iterable[_Columns]) -> _Columns:
        merged: _Columns = ([], [])
        for labels, scores in parts:
            merged[0].extend(labels)
            merged[1].extend(scores)
        return merged

    def compact(self, columns: _Columns) -> _Columns:
        return ([_join(columns[0])], [_join(columns[1])])

    def extract_output(self, columns: _Columns) -> dict:
        measured = family_of(self._spec).metrics(_join(columns[0]), _join(columns[1]), self._spec)
        # TFMA knows no reasons: results.py finds them beside its results.
        return {self._keys[name]: float(value) for name, value in measured.items()}


def _row(values: Any) -> np.ndarray:
    """[1, values]; a label that the data does not have is no value."""
    return np.zeros((1, 0)) if values is None else np.asarray(values, np.float64).reshape(1, -1)


def _join(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts) if parts else np.zeros((0, 1))
