"""One TFMA metric that gathers labels and scores and hands them to the family's own functions.

Rank correlations and precision-recall curves need all scores at once, and TFMA has neither Spearman's
nor Pearson's coefficient. The same functions measure the baselines, so the numbers can be compared.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics import metric_types, metric_util

from trainer.families import family_of
from trainer.spec import Spec

# Labels and scores, in the order in which they came.
_Parts = list[tuple[np.ndarray, np.ndarray]]


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

    def create_accumulator(self) -> _Parts:
        return []

    def add_input(self, parts: _Parts, element: Any) -> _Parts:
        parts += [(_row(label), _row(score)) for label, score, _ in self._pairs(element)]
        return parts

    def merge_accumulators(self, accumulators: Iterable[_Parts]) -> _Parts:
        return list(itertools.chain.from_iterable(accumulators))

    def compact(self, parts: _Parts) -> _Parts:
        return [_join(parts)]

    def extract_output(self, parts: _Parts) -> dict:
        measured = family_of(self._spec).metrics(*_join(parts), self._spec)
        # TFMA knows no reasons: results.py finds them beside its results.
        return {self._keys[name]: float(value) for name, value in measured.items()}


def _row(values: Any) -> np.ndarray:
    """[1, values]; a label that the data does not have is no value."""
    return np.zeros((1, 0)) if values is None else np.asarray(values, np.float64).reshape(1, -1)


def _join(parts: _Parts) -> tuple[np.ndarray, np.ndarray]:
    labels, scores = zip(*parts, strict=True) if parts else ([np.zeros((0, 1))], [np.zeros((0, 1))])
    return np.concatenate(labels), np.concatenate(scores)
