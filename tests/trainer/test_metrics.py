from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies
from scipy import stats
from sklearn import metrics as skl

from trainer.features import LOWER_IS_BETTER, PRIMARY, Label
from trainer.metrics import best_threshold, calibration_error, class_metrics, pair_metrics

SCORE = Label(column="y", kind="score", range=(0, 5))
BINARY = Label(column="y", kind="binary")
CLASSES = Label(column="y", kind="classes", classes=("a", "b", "c"))


def test_scores_by_hand():
    # Ranks 1 2 3 4 against 1 3 2 4: Spearman is 1 - 6 * (0 + 1 + 1 + 0) / (4 * 15) = 0.8.
    measured = pair_metrics(np.array([1, 2, 3, 4]), np.array([0.0, 3.0, 2.0, 5.0]), SCORE)
    assert measured["spearman"] == pytest.approx(0.8)
    # Centred: (-1.5, -0.5, 0.5, 1.5) and (-2.5, 0.5, -0.5, 2.5): 7 / sqrt(5 * 13).
    assert measured["pearson"] == pytest.approx(7 / math.sqrt(65))
    assert measured["mse"] == pytest.approx((1 + 1 + 1 + 1) / 4)
    assert set(measured) == {"spearman", "pearson", "mse"}


def test_equal_scores_share_their_rank():
    label, score = np.array([0, 1, 1, 2, 5.0]), np.array([0.3, 0.3, 0.1, 0.9, 0.9])
    assert pair_metrics(label, score, SCORE)["spearman"] == pytest.approx(
        stats.pearsonr(stats.rankdata(label), stats.rankdata(score)).statistic
    )


def test_a_rising_function_of_the_label_ranks_perfectly():
    label = np.linspace(0, 5, 50)
    measured = pair_metrics(label, np.exp(label), SCORE)
    assert measured["spearman"] == pytest.approx(1)
    assert measured["pearson"] < 0.95
    assert pair_metrics(label, -label, SCORE)["pearson"] == pytest.approx(-1)


def test_binary_by_hand():
    # Decided at 0.5: 1 0 1 0 against 1 0 0 1, so one true positive, one false, one missed, one true negative.
    measured = pair_metrics(np.array([1, 0, 0, 1]), np.array([0.9, 0.1, 0.5, 0.4]), BINARY)
    assert measured["accuracy"] == 0.5
    assert measured["f1"] == pytest.approx(0.5)
    assert measured["mcc"] == pytest.approx(0)
    # Of the four pairs of a match and another, three are in order.
    assert measured["auc"] == 0.75
    # Matches stand at places 1 and 3: (1/1 + 2/3) / 2.
    assert measured["average_precision"] == pytest.approx(5 / 6)
    # From 0.4 on all matches and one other: precision 2/3, recall 1. No other cut has a higher F1.
    assert measured["best_threshold"] == pytest.approx((0.4 + 0.1) / 2)
    # Each score is alone in its bin: |0.9 - 1|, |0.1 - 0|, |0.5 - 0|, |0.4 - 1|.
    assert measured["calibration_error"] == pytest.approx((0.1 + 0.1 + 0.5 + 0.6) / 4)
    assert set(measured) == {
        "average_precision", "auc", "accuracy", "f1", "mcc", "calibration_error", "best_threshold"
    }  # fmt: skip


def test_a_decision_beside_the_score_is_taken():
    label, score = np.array([1, 0, 0, 1]), np.array([0.9, 0.1, 0.5, 0.4])
    decided = np.stack([score, [1, 0, 0, 1]], axis=1)
    measured = pair_metrics(label, decided, BINARY)
    assert (measured["accuracy"], measured["f1"], measured["mcc"]) == (1, 1, 1)
    assert measured["auc"] == pair_metrics(label, score, BINARY)["auc"]


@pytest.mark.parametrize(
    ("label", "score", "threshold"),
    [
        ([0, 0, 1, 1], [0.1, 0.2, 0.7, 0.9], 0.45),
        ([1, 0, 1, 0], [0.5, 0.5, 0.5, 0.1], 0.3),  # equal scores are decided alike
        ([0, 1], [0.9, 0.2], 0.2),  # upside down: 1 to all
        ([1, 0, 0, 1], [0.9, 0.8, 0.7, 0.6], 0.85),  # of cuts with the same F1 the highest
        ([1, 1], [0.9, 0.2], 0.5),
        ([], [], 0.5),
    ],
)
def test_the_best_threshold_by_hand(label, score, threshold):
    assert best_threshold(np.array(label), np.array(score)) == pytest.approx(threshold)


def test_the_best_threshold_is_the_best_of_all():
    random = np.random.default_rng(3)
    label = random.integers(0, 2, 60)
    score = np.round(0.3 * label + 0.7 * random.uniform(size=60), 1)
    found = skl.f1_score(label, score >= best_threshold(label, score))
    assert found == max(skl.f1_score(label, score >= cut) for cut in np.unique(score))


@pytest.mark.parametrize(
    ("metric", "measure"),
    [("f1", skl.f1_score), ("accuracy", skl.accuracy_score), ("mcc", skl.matthews_corrcoef)],
)
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_a_threshold_is_the_best_of_all_by_any_metric(metric, measure, share):
    random = np.random.default_rng(5)
    label = (random.uniform(size=80) < share).astype(int)
    score = np.round(0.1 * label + 0.9 * random.uniform(size=80), 1).astype(np.float32)
    found = measure(label, score >= best_threshold(label, score, metric))
    assert found == pytest.approx(max(measure(label, score >= cut) for cut in (*np.unique(score), 2.0)))


def test_where_accuracy_is_highest_without_a_match_there_is_none():
    label, score = np.array([0, 0, 1, 0]), np.array([1.0, 0.9, 0.8, 0.1], np.float32)
    assert best_threshold(label, score, "accuracy") > 1
    assert best_threshold(label, score, "f1") == pytest.approx(0.45)


def test_honest_probabilities_have_no_calibration_error():
    correct = np.repeat([1, 0, 1, 0], [30, 10, 5, 15])
    assert calibration_error(np.repeat([0.75, 0.25], [40, 20]), correct) == pytest.approx(0)
    assert calibration_error(np.full(60, 1.0), correct) == pytest.approx(25 / 60)


def test_binary_like_scikit_learn():
    random = np.random.default_rng(1)
    label = (random.uniform(size=200) < 0.3).astype(float)
    score = np.clip(label * 0.2 + random.uniform(size=200) * 0.8, 0, 1)
    measured = pair_metrics(label, score, BINARY)
    decided = (score >= 0.5).astype(float)
    assert measured == pytest.approx(
        {
            "average_precision": skl.average_precision_score(label, score),
            "auc": skl.roc_auc_score(label, score),
            "accuracy": skl.accuracy_score(label, decided),
            "f1": skl.f1_score(label, decided),
            "mcc": skl.matthews_corrcoef(label, decided),
            "calibration_error": measured["calibration_error"],
            "best_threshold": measured["best_threshold"],
        }
    )


@pytest.mark.parametrize("kind", [SCORE, BINARY, CLASSES])
def test_no_rows_have_no_metrics(kind):
    measured = pair_metrics(np.zeros(0), np.zeros(0), kind)
    assert measured
    assert all(math.isnan(value) for value in measured.values())


def test_constant_scores_correlate_with_nothing():
    for label, score in (([1, 2, 3], [2, 2, 2]), ([2, 2, 2], [1, 2, 3]), ([1], [1])):
        measured = pair_metrics(np.array(label), np.array(score), SCORE)
        assert math.isnan(measured["spearman"])
        assert math.isnan(measured["pearson"])
        assert measured["mse"] == pytest.approx(np.mean((np.array(label) - score) ** 2))


@pytest.mark.parametrize(("label", "accuracy", "f1"), [(1.0, 2 / 3, 0.8), (0.0, 1 / 3, 0.0)])
def test_labels_of_one_kind_rank_nothing(label, accuracy, f1):
    measured = pair_metrics(np.full(3, label), np.array([0.9, 0.7, 0.1]), BINARY)
    assert measured["accuracy"] == pytest.approx(accuracy)
    assert measured["f1"] == pytest.approx(f1)
    assert all(math.isnan(measured[name]) for name in ("auc", "average_precision", "mcc"))


def test_columns_of_one_number_are_flattened():
    flat = pair_metrics(np.array([1, 2, 4]), np.array([1, 3, 2]), SCORE)
    assert pair_metrics(np.array([[1], [2], [4]]), np.array([[1], [3], [2]]), SCORE) == flat


def test_different_lengths_are_an_error():
    with pytest.raises(ValueError, match="3 labels but 2 scores"):
        pair_metrics(np.zeros(3), np.zeros(2), SCORE)


@pytest.mark.parametrize("kind", [SCORE, BINARY, CLASSES])
def test_the_deciding_metric_is_measured_and_rises(kind):
    assert PRIMARY[kind.kind] in pair_metrics(np.zeros(0), np.zeros(0), kind)
    assert PRIMARY[kind.kind] not in LOWER_IS_BETTER


def test_classes_by_hand():
    label = np.array([0, 0, 1, 2])
    probabilities = np.array([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.1, 0.8, 0.1], [0.0, 0.0, 1.0]])
    measured = class_metrics(label, probabilities, 3)
    assert measured["accuracy"] == 0.75
    # Precision and recall of the classes: 1 and 1/2, 1/2 and 1, 1 and 1.
    assert measured["macro_f1"] == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    assert measured["cross_entropy"] == pytest.approx(-math.log(0.5 * 0.25 * 0.8 * 1.0) / 4)
    # Right with 0.5 and 1.0 and 0.8, wrong with 0.5: the two of 0.5 share a bin and cancel out.
    assert measured["calibration_error"] == pytest.approx((0.2 + 0.0 + 0.0) / 4)
    assert pair_metrics(label, probabilities, CLASSES) == measured


def test_a_class_without_rows_counts_nothing():
    measured = class_metrics(np.array([0, 1]), np.array([[1.0, 0, 0], [0, 1.0, 0]]), 3)
    assert measured["macro_f1"] == 1
    assert measured["cross_entropy"] == pytest.approx(0, abs=1e-6)


def test_no_rows_of_classes_have_no_metrics():
    measured = class_metrics(np.zeros((0, 1)), np.zeros((0, 1)), 3)
    assert set(measured) == {"accuracy", "macro_f1", "cross_entropy", "calibration_error"}
    assert all(math.isnan(value) for value in measured.values())
    assert "cross_entropy" in LOWER_IS_BETTER


@pytest.mark.parametrize(
    ("label", "score", "kind", "reason"),
    [
        ([0, 0, 0], [0.9, 0.7, 0.1], BINARY, "all 3 labels are 0, none is 1"),
        ([1, 2, 3], [2, 2, 2], SCORE, "all 3 scores are 2"),
        ([2, 2, 2], [1, 2, 3], SCORE, "all 3 labels are 2"),
        ([2, 2], [1, 1], SCORE, "all 2 labels are 2 and all 2 scores are 1"),
        ([1], [1], SCORE, "there is one row alone"),
        ([], [], SCORE, "there are no rows"),
        ([1, 0, 1], [0.5, np.nan, np.inf], BINARY, "the model gives no finite number for 2 of 3 rows"),
        (
            [1, 0],
            [[0.1, 0.2, 0.7], [np.nan, 0, 1]],
            CLASSES,
            "the model gives no finite number for 1 of 2 rows",
        ),
    ],
)
def test_a_metric_without_a_value_says_why(label, score, kind, reason):
    measured = pair_metrics(np.array(label), np.array(score), kind)
    assert set(measured) == set(pair_metrics(np.zeros(0), np.zeros(0), kind))
    assert {value.reason for value in measured.values() if math.isnan(value)} == {reason}  # type: ignore[attr-defined]
    assert math.isnan(measured[PRIMARY[kind.kind]])


FLOATS = strategies.floats(0, 1, width=32)


@settings(max_examples=60, deadline=None)
@given(strategies.lists(strategies.tuples(FLOATS, strategies.booleans()), min_size=2, max_size=40))
def test_a_threshold_is_a_float32_and_decides_alike_in_both_precisions(rows):
    score, label = (np.array(column) for column in zip(*rows, strict=True))
    cut = best_threshold(label, score)
    assert float(np.float32(cut)) == cut
    single = score.astype(np.float32)
    for threshold in {cut, *score}:  # also where the threshold is one of the scores
        np.testing.assert_array_equal(single >= np.float32(threshold), single.astype(np.float64) >= threshold)
    if 0 < label.sum() < len(label):
        best = max(skl.f1_score(label, single >= one) for one in single)
        assert skl.f1_score(label, single >= cut) == pytest.approx(best)


def test_between_neighbours_in_float32_the_threshold_is_the_upper_one():
    low = np.float32(0.5)
    high = np.nextafter(low, np.float32(1))
    for lower, upper in ((low, high), (high, np.nextafter(high, np.float32(1)))):
        cut = best_threshold(np.array([0, 1]), np.array([lower, upper]))
        assert cut == float(upper)
