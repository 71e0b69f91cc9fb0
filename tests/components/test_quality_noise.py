from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from components.quality_gate.noise import bootstrap

RANDOM = np.random.default_rng(2)
LABEL = RANDOM.normal(size=(400, 1))
GOOD = LABEL + RANDOM.normal(size=(400, 1))


def pearson(label, score):
    return float(stats.pearsonr(label[:, 0], score[:, 0]).statistic)


def mse(label, score):
    return float(np.mean((label - score) ** 2))


def test_the_interval_of_a_correlation_is_fishers():
    found = bootstrap("pearson", pearson, LABEL, GOOD, None, 0.95)
    value = pearson(LABEL, GOOD)
    low, high = np.tanh(np.arctanh(value) + np.array([-1.96, 1.96]) / np.sqrt(400 - 3))
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.02)
    assert found.gain is None


def test_equal_models_gain_exactly_nothing():
    assert bootstrap("pearson", pearson, LABEL, GOOD, GOOD, 0.95).gain == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("metric", "measure"), [("pearson", pearson), ("mse", mse)])
def test_a_clear_gain_is_sure_and_a_slight_one_is_not(metric, measure):
    worse = LABEL + 2 * (GOOD - LABEL)
    slightly = GOOD + 0.02 * RANDOM.normal(size=(400, 1))
    assert bootstrap(metric, measure, LABEL, GOOD, worse, 0.95).gain > 0
    assert bootstrap(metric, measure, LABEL, worse, GOOD, 0.95).gain < 0
    assert bootstrap(metric, measure, LABEL, slightly, GOOD, 0.95).gain < 0
    assert abs(bootstrap(metric, measure, LABEL, slightly, GOOD, 0.95).gain) < 0.02


@pytest.mark.parametrize(("confidence", "deviations"), [(0.5, 0.0), (0.8, 0.8416), (0.95, 1.6449)])
def test_the_gain_is_bounded_on_one_side(confidence, deviations):
    """Of the mean of 400 differences, whose deviation is known."""

    def mean(label: np.ndarray, score: np.ndarray) -> float:
        return float(score.mean())

    random = np.random.default_rng(4)
    candidate, champion = random.normal(1, 1, (400, 1)), random.normal(0, 1, (400, 1))
    gains = candidate - champion
    found = bootstrap("x", mean, LABEL, candidate, champion, confidence)
    below = (gains.mean() - found.gain) / (gains.std() / 20)
    assert below == pytest.approx(deviations, abs=0.2)
    assert bootstrap("mse", mean, LABEL, champion, candidate, confidence).gain == pytest.approx(found.gain)


def test_more_rows_than_are_drawn_have_a_narrower_interval():
    label = np.tile(LABEL, (25, 1))
    few, many = (
        bootstrap("pearson", pearson, rows, rows + RANDOM.normal(size=rows.shape), None, 0.9)
        for rows in (LABEL, label)
    )
    assert (few.high - few.low) / (many.high - many.low) == pytest.approx(5, rel=0.35)  # 400 rows and 10,000


def test_without_rows_or_metric_nothing_is_said():
    assert bootstrap("pearson", pearson, LABEL[:0], GOOD[:0], None, 0.95) is None
    assert bootstrap("x", lambda label, score: float("nan"), LABEL, GOOD, None, 0.95) is None
    found = bootstrap(
        "x", lambda label, score: float(score[0, 0]), LABEL, GOOD, np.full((400, 1), np.nan), 0.9
    )
    assert found.gain is None
