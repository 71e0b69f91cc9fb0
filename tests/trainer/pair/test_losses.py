import math

import keras
import numpy as np
import pytest

from trainer.pair.losses import (
    COSENT_SCALE,
    IN_BATCH_SCALE,
    LOSSES,
    balanced,
    contrastive,
    correlation,
    cosent,
    cross_entropy,
    in_batch,
    make_loss,
    mean_squared_error,
    shared,
)

LABELS = np.array([0.0, 0.25, 1.0], np.float32)
SCORES = np.array([0.1, 0.5, 0.8], np.float32)


def test_cross_entropy_against_its_formula() -> None:
    expected = -np.mean(LABELS * np.log(SCORES) + (1 - LABELS) * np.log(1 - SCORES))
    assert float(cross_entropy(LABELS, SCORES)) == pytest.approx(expected, rel=1e-5)


def test_cross_entropy_is_least_where_score_and_label_agree() -> None:
    label = np.array([0.3], np.float32)
    at, below, above = (float(cross_entropy(label, np.array([s], np.float32))) for s in (0.3, 0.29, 0.31))
    assert at < below
    assert at < above


def test_mean_squared_error_against_its_formula() -> None:
    assert float(mean_squared_error(LABELS, SCORES)) == pytest.approx((0.01 + 0.0625 + 0.04) / 3, rel=1e-5)


def test_correlation_against_numpy() -> None:
    assert float(correlation(LABELS, SCORES)) == pytest.approx(
        1 - np.corrcoef(LABELS, SCORES)[0, 1], abs=1e-6
    )


def test_correlation_sees_neither_scale_nor_shift() -> None:
    assert float(correlation(LABELS, 0.2 * LABELS + 0.5)) == pytest.approx(0, abs=1e-5)
    assert float(correlation(LABELS, -0.2 * LABELS + 0.5)) == pytest.approx(2, abs=1e-5)


def test_correlation_of_equal_labels_is_1_and_has_a_gradient() -> None:
    import tensorflow as tf

    scores = tf.constant(SCORES)
    with tf.GradientTape() as tape:
        tape.watch(scores)
        loss = correlation(np.full(3, 0.5, np.float32), scores)
    assert float(loss) == pytest.approx(1)
    assert np.isfinite(tape.gradient(loss, scores).numpy()).all()


@pytest.mark.parametrize("scores", [[0.1, 0.5, 0.8], [0.5, 0.4, 0.45], [0.9, 0.5, 0.1]])
def test_cosent_against_its_formula(scores: list[float]) -> None:
    pairs = [(0, 1), (0, 2), (1, 2)]
    expected = math.log(1 + sum(math.exp(COSENT_SCALE * (scores[i] - scores[j])) for i, j in pairs))
    assert float(cosent(LABELS, np.array(scores, np.float32))) == pytest.approx(expected, rel=1e-4)


def test_cosent_of_equal_labels_is_0() -> None:
    assert float(cosent(np.full(3, 0.5, np.float32), SCORES)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", sorted(set(LOSSES) - {"in_batch"}))
def test_a_column_of_scores_is_the_same_as_a_vector(name: str) -> None:
    # [batch] less [batch, 1] would silently be [batch, batch].
    vector = keras.ops.convert_to_numpy(LOSSES[name](LABELS, SCORES))
    column = keras.ops.convert_to_numpy(LOSSES[name](LABELS, SCORES[:, None]))
    assert vector.shape == ()
    assert column == pytest.approx(vector, rel=1e-6)


PLACES = np.array([2, 0], np.float32)
PROBABILITIES = np.array([[0.2, 0.3, 0.5], [0.7, 0.2, 0.1]], np.float32)


def test_class_cross_entropy_against_its_formula() -> None:
    expected = -(math.log(0.5) + math.log(0.7)) / 2
    assert float(make_loss("cross_entropy", 3)(PLACES, PROBABILITIES)) == pytest.approx(expected, rel=1e-5)
    column = make_loss("cross_entropy", 3)(PLACES[:, None], PROBABILITIES)
    assert float(column) == pytest.approx(expected, rel=1e-5)


def test_smoothed_classes_against_keras() -> None:
    expected = keras.losses.CategoricalCrossentropy(label_smoothing=0.3)(np.eye(3)[[2, 0]], PROBABILITIES)
    found = make_loss("cross_entropy", 3, smoothing=0.3)(PLACES, PROBABILITIES)
    assert float(found) == pytest.approx(float(expected), rel=1e-5)


def test_smoothed_binary_labels_move_towards_a_half() -> None:
    labels, scores = np.array([1.0, 0.0], np.float32), np.array([0.9, 0.4], np.float32)
    expected = keras.losses.BinaryCrossentropy(label_smoothing=0.2)(labels[:, None], scores[:, None])
    found = make_loss("cross_entropy", smoothing=0.2)(labels, scores)
    assert float(found) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("name", ["cross_entropy", "mse"])
def test_weights_count_the_rows_of_a_class(name: str) -> None:
    labels, scores = np.array([1.0, 0.0, 0.0], np.float32), np.array([0.9, 0.4, 0.2], np.float32)
    alone = [float(make_loss(name)(labels[[at]], scores[[at]])) for at in range(3)]
    found = make_loss(name, weights=np.array([0.5, 2.0]))(labels, scores)
    assert float(found) == pytest.approx((2 * alone[0] + 0.5 * alone[1] + 0.5 * alone[2]) / 3, rel=1e-5)


def test_a_loss_over_a_batch_has_no_weights_of_classes() -> None:
    with pytest.raises(ValueError, match="compares rows"):
        make_loss("cosent", weights=np.ones(2))


def test_balanced_weights_give_each_class_the_same_sum() -> None:
    counts = np.array([6, 3, 1])
    assert balanced(counts) * counts == pytest.approx([10 / 3] * 3)
    # A class that is missing gets nothing, and the others share the rows.
    assert balanced(np.array([6, 0, 2])) == pytest.approx([8 / 12, 0, 8 / 4])


def test_contrastive_against_its_formula() -> None:
    # A match at distance 0.2; others at distances 0.9, far enough, and 0.4, which is 0.1 too near.
    labels, scores = np.array([1.0, 0.0, 0.0], np.float32), np.array([0.8, 0.1, 0.6], np.float32)
    assert float(contrastive(labels, scores)) == pytest.approx((0.2**2 + 0 + 0.1**2) / 6, rel=1e-5)


def test_in_batch_against_its_formula() -> None:
    cosines = np.array([[0.9, 0.2, 0.1], [0.3, 0.5, 0.6], [0.0, 0.1, 0.2]], np.float32)
    likelihood = np.exp(IN_BATCH_SCALE * cosines)
    likelihood /= likelihood.sum(axis=1, keepdims=True)
    for labels, rows in (([1, 1, 1], [0, 1, 2]), ([1, 0, 1], [0, 2])):
        expected = -np.mean([math.log(likelihood[row, row]) for row in rows])
        assert float(in_batch(np.array(labels, np.float32), cosines)) == pytest.approx(expected, rel=1e-4)
    assert float(in_batch(np.zeros(3, np.float32), cosines)) == 0


def test_the_scale_is_that_of_the_reference_implementation() -> None:
    assert COSENT_SCALE == IN_BATCH_SCALE == 20


def test_correlation_of_values_that_hardly_vary_is_still_theirs() -> None:
    labels, scores = 0.5 + 1e-2 * LABELS, 0.5 + 1e-2 * SCORES
    assert float(correlation(labels, scores)) == pytest.approx(
        1 - np.corrcoef(LABELS, SCORES)[0, 1], abs=1e-3
    )


def test_a_probability_of_0_costs_no_more_than_a_float_can_say() -> None:
    certain = np.array([[0.0, 1.0], [1.0, 0.0]], np.float32)
    loss = make_loss("cross_entropy", 2)
    assert float(loss(np.array([0, 0], np.float32), certain)) == pytest.approx(-math.log(1e-7) / 2, rel=1e-4)
    assert float(loss(np.array([1, 0], np.float32), certain)) == 0


def test_in_batch_asks_for_labels_of_a_half_and_more() -> None:
    cosines = np.array([[0.9, 0.2], [0.8, 0.5]], np.float32)
    alone = float(in_batch(np.array([0, 1], np.float32), cosines))
    assert alone == pytest.approx(math.log1p(math.exp(20 * 0.3)), rel=1e-4)
    assert float(in_batch(np.array([0.4, 0.5], np.float32), cosines)) == pytest.approx(alone)
    assert float(in_batch(np.array([[0.0], [1.0]], np.float32), cosines)) == pytest.approx(alone)


def test_squared_errors_may_be_weighted_and_smoothing_is_the_cross_entropy_s_alone() -> None:
    labels, scores = np.array([1.0, 0.0], np.float32), np.array([0.7, 0.4], np.float32)
    found = make_loss("mse", weights=np.array([3.0, 1.0]))(labels[:, None], scores[:, None])
    assert float(found) == pytest.approx((0.3**2 + 3 * 0.4**2) / 2, rel=1e-5)
    assert make_loss("mse") is mean_squared_error


def test_the_parts_of_a_batch_share_a_loss() -> None:
    assert shared(cross_entropy, 1) is cross_entropy
    whole = float(mean_squared_error(LABELS, SCORES))
    assert float(shared(mean_squared_error, 4)(LABELS, SCORES)) == pytest.approx(whole / 4)
