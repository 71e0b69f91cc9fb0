"""The part of chance in a metric, from resampled rows. Arrays in, numbers out, no TFX."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from trainer.features import LOWER_IS_BETTER

Measure = Callable[[np.ndarray, np.ndarray], float]
DRAWS = 300
# More rows are not resampled at once: the spread of `_ROWS` is scaled down instead.
_ROWS = 5_000


@dataclass(frozen=True)
class Noise:
    """The part of chance in a metric.

    Attributes:
      low: Lower end of the interval that holds the candidate's metric.
      high: Its upper end.
      gain: The least that the candidate is better than the champion; None without one.
    """

    low: float
    high: float
    gain: float | None = None


def bootstrap(
    metric: str,
    measure: Measure,
    label: np.ndarray,
    candidate: np.ndarray,
    champion: np.ndarray | None,
    confidence: float,
) -> Noise | None:
    """Draws the rows again and again, with replacement, the same ones for both models.

    Efron and Tibshirani 1993, "An Introduction to the Bootstrap", section 13.3 (percentiles); paired as in
    Koehn 2004, "Statistical Significance Tests for Machine Translation Evaluation", section 4.

    Args:
      metric: Its name, which says whether less is better.
      measure: From labels and scores to the metric.
      label: [rows, 1], or [rows, 0] where the data has none.
      candidate: [rows, numbers], what the candidate said.
      champion: The same of the model in service, for the same rows.
      confidence: Two-sided for the interval, one-sided for the gain.

    Returns:
      None where the metric is not defined or there are no rows.
    """
    rows = len(candidate)
    value = measure(label, candidate) if rows else math.nan
    if not math.isfinite(value):
        return None
    size = min(rows, _ROWS)
    random = np.random.default_rng(0)
    draws = [random.integers(0, rows, size) for _ in range(DRAWS)]
    resampled = np.array([measure(label[drawn], candidate[drawn]) for drawn in draws])
    if np.isfinite(resampled).sum() < 2:
        return None  # in hardly any draw it is defined, as where one row of all is positive
    shrink = math.sqrt(size / rows)
    tails = np.nanquantile(resampled, [(1 - confidence) / 2, (1 + confidence) / 2])
    low, high = map(float, value + shrink * (tails - value))
    if champion is None:
        return Noise(low, high)
    sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
    gains = sign * (resampled - np.array([measure(label[drawn], champion[drawn]) for drawn in draws]))
    gain = sign * (value - measure(label, champion))
    if not math.isfinite(gain) or not np.isfinite(gains).any():
        return Noise(low, high)
    least = gain + shrink * (np.nanquantile(gains, 1 - confidence) - gain)
    return Noise(low, high, float(least))
