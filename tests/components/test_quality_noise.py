from __future__ import annotations

import itertools
import math

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


def mean(label, score):
    return float(score.mean())


@pytest.mark.parametrize(("confidence", "deviations"), [(0.5, 0.6745), (0.8, 1.2816), (0.95, 1.96)])
def test_the_interval_is_bounded_on_both_sides(confidence, deviations):
    found = bootstrap("x", mean, LABEL, GOOD, None, confidence)
    error = GOOD.std() / 20
    assert (GOOD.mean() - found.low) / error == pytest.approx(deviations, abs=0.2)
    assert (found.high - GOOD.mean()) / error == pytest.approx(deviations, abs=0.2)


def test_the_gain_of_more_rows_than_are_drawn_is_that_of_all():
    random = np.random.default_rng(4)
    candidate, champion = random.normal(6, 1, (20_000, 1)), random.normal(5, 1, (20_000, 1))
    gains = candidate - champion
    found = bootstrap("x", mean, gains, candidate, champion, 0.95)
    assert (gains.mean() - found.gain) / (gains.std() / math.sqrt(20_000)) == pytest.approx(1.645, abs=0.2)


def test_every_row_is_drawn_as_often_as_the_others():
    rows, drawn = np.arange(10)[:, None], []

    def count(label, score):
        drawn.append(label)
        return 0.5

    bootstrap("x", count, rows, rows, None, 0.9)
    counts = np.bincount(np.concatenate(drawn[1:]).ravel(), minlength=10)
    assert counts.sum() == len(drawn[1:]) * 10
    assert np.all(np.abs(counts / counts.mean() - 1) < 0.25)


@pytest.mark.parametrize(("defined", "known"), [(0, False), (1, False), (2, True), (3, True)])
def test_two_draws_in_which_the_metric_is_defined_make_an_interval(defined, known):
    values = itertools.chain([1.0], map(float, range(defined)), itertools.repeat(math.nan))
    found = bootstrap("x", lambda label, score: next(values), LABEL, GOOD, None, 0.9)
    assert (found is not None) is known


def test_a_champion_whose_metric_is_undefined_on_all_rows_has_no_gain():
    champion = GOOD.copy()
    champion[7] = math.nan  # a third of the draws goes without this row
    assert bootstrap("x", mean, LABEL, GOOD, champion, 0.9).gain is None


@pytest.mark.parametrize(("confidence", "deviations"), [(0.5, 0.0), (0.8, 0.8416), (0.95, 1.6449)])
def test_the_gain_is_bounded_on_one_side(confidence, deviations):
    """Of the mean of 400 differences, whose deviation is known."""
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
