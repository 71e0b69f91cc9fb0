from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from scipy import stats
from scipy.optimize import curve_fit
from sklearn.linear_model import LogisticRegression

from trainer.features import Label
from trainer.metrics import DEFAULT_THRESHOLD, best_threshold, calibration_error
from trainer.pair.calibration import LEAST, calibrate, calibrate_model
from trainer.pair.pair_config import PairModel, PairTraining
from trainer.spec import Spec

BINARY = Label(column="y", kind="binary")
SCORE = Label(column="y", kind="score", range=(0, 5))
CLASSES = Label(column="y", kind="classes", classes=("a", "b", "c"))
RANDOM = np.random.default_rng(5)
INPUTS = RANDOM.normal(size=(600, 4)).astype(np.float32)


def head(units: int) -> keras.layers.Dense:
    """A layer that is far too sure of itself."""
    layer = keras.layers.Dense(units, "softmax" if units > 1 else "sigmoid", name="score")
    layer.build((None, 4))
    kernel = np.array([[4.0, 0, 0], [0, 4.0, 0], [0, 0, 4.0], [0, 0, 0]])[:, :units]
    layer.set_weights([kernel.astype(np.float32), np.full(units, 0.7, np.float32)])
    return layer


def drawn(layer: keras.layers.Dense, slope: float) -> np.ndarray:
    """Labels that follow the layer's logits, had they been multiplied by `slope`."""
    kernel, bias = layer.get_weights()
    logits = slope * (INPUTS @ kernel + bias)
    if logits.shape[1] == 1:
        return (RANDOM.uniform(size=600) < 1 / (1 + np.exp(-logits[:, 0]))).astype(float)
    noise = RANDOM.gumbel(size=logits.shape)
    return (logits + noise).argmax(axis=1).astype(float)


@pytest.mark.parametrize(("label", "units"), [(BINARY, 1), (CLASSES, 3)])
def test_overconfident_scores_become_honest_and_keep_their_order(label, units):
    layer = head(units)
    labels, before = drawn(layer, 0.3), layer(INPUTS).numpy()
    found = calibrate(layer, labels, before, label)
    after = layer(INPUTS).numpy()
    np.testing.assert_allclose(after, found, atol=1e-4)
    if units == 1:
        assert stats.spearmanr(before[:, 0], after[:, 0]).statistic == pytest.approx(1)
        errors = [calibration_error(scores[:, 0], labels) for scores in (before, after)]
    else:
        np.testing.assert_array_equal(before.argmax(axis=1), after.argmax(axis=1))
        errors = [
            calibration_error(scores.max(axis=1), scores.argmax(axis=1) == labels)
            for scores in (before, after)
        ]
    assert errors[1] < 0.06 < errors[0]


def test_scores_are_bent_to_the_least_squared_error():
    layer = head(1)
    before = layer(INPUTS).numpy()
    labels = 1 / (1 + np.exp(-(0.5 * np.log(before / (1 - before)) - 1)))
    after = calibrate(layer, labels.ravel(), before, SCORE)
    np.testing.assert_allclose(after, labels, atol=0.01)
    np.testing.assert_allclose(layer(INPUTS).numpy(), labels, atol=0.01)


@pytest.mark.parametrize(
    ("labels", "rows"), [(np.zeros(LEAST), LEAST), (np.arange(LEAST - 1) % 2, LEAST - 1), (np.zeros(1), 1)]
)
def test_too_little_changes_nothing(labels, rows):
    layer = head(1)
    before = layer(INPUTS[:rows]).numpy()
    np.testing.assert_array_equal(calibrate(layer, labels, before, BINARY), before)
    np.testing.assert_array_equal(layer(INPUTS[:rows]).numpy(), before)


def test_twenty_rows_are_enough():
    layer = head(1)
    before = layer(INPUTS[:20]).numpy()
    labels = np.arange(20) % 2
    assert not np.allclose(calibrate(layer, labels, before, BINARY), before)
    np.testing.assert_array_equal(calibrate(layer, labels[:19], before[:19], BINARY), before[:19])


def test_binary_labels_are_followed_as_by_logistic_regression():
    layer = head(1)
    before = layer(INPUTS).numpy()
    labels = drawn(layer, 0.3)
    logits = np.log(before / (1 - before))
    expected = (
        LogisticRegression(C=np.inf, solver="newton-cholesky")
        .fit(logits, labels)
        .predict_proba(logits)[:, 1:]
    )
    np.testing.assert_allclose(calibrate(layer, labels, before, BINARY), expected, atol=1e-3)


def test_scores_have_the_least_squared_error_though_they_scatter():
    layer = head(1)
    before = layer(INPUTS).numpy()
    labels = np.clip(before[:, 0] ** 2 + np.random.default_rng(3).normal(0, 0.2, 600), 0, 1)
    logits = np.log(before / (1 - before))[:, 0]

    def bent(logits, slope, shift):
        return 1 / (1 + np.exp(-slope * logits - shift))

    best, _ = curve_fit(bent, logits, labels, [1, 0])
    found = calibrate(layer, labels, before, SCORE)[:, 0]
    np.testing.assert_allclose(found, bent(logits, *best), atol=1e-3)


def test_classes_have_the_temperature_of_the_least_cross_entropy():
    layer = head(3)
    before = layer(INPUTS).numpy()
    labels = drawn(layer, 0.3)

    def cross_entropy(slope):
        powers = before.astype(np.float64) ** slope
        return -np.mean(np.log(powers[range(600), labels.astype(int)] / powers.sum(axis=1)))

    tried = np.linspace(0.2, 0.4, 201)
    best = tried[np.argmin([cross_entropy(slope) for slope in tried])]
    kernel = layer.get_weights()[0]
    calibrate(layer, labels, before, CLASSES)
    assert (layer.get_weights()[0] / np.where(kernel, kernel, 1)).max() == pytest.approx(best, abs=2e-3)
    np.testing.assert_allclose(layer.get_weights()[1], 0.7 * best, atol=2e-3)


@pytest.mark.parametrize(("sign", "bound"), [(1, 3), (-1, -3)])
@pytest.mark.parametrize(("label", "units"), [(BINARY, 1), (CLASSES, 3)])
def test_the_slope_has_bounds_and_never_turns_the_order_round(label, units, sign, bound):
    layer = head(units)
    kernel = layer.get_weights()[0] / 1_000
    layer.set_weights([kernel, np.zeros(units, np.float32)])
    before = layer(INPUTS).numpy()
    # The more the scores are spread, or flattened, the better.
    labels = (sign * before).argmax(axis=1) if units > 1 else (sign * INPUTS[:, 0] > 0)
    calibrate(layer, labels, before, label)
    assert layer.get_weights()[0][0, 0] / kernel[0, 0] == pytest.approx(np.exp(bound), rel=1e-2)


@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize("units", [1, 3])
def test_scores_of_0_and_1_are_bent_too(units, right):
    labels = np.arange(60) % max(units, 2)
    scores = np.eye(units)[labels] if units > 1 else labels[:, None].astype(float)
    found = calibrate(
        head(units), labels if right else labels[::-1], scores, CLASSES if units > 1 else BINARY
    )
    assert np.isfinite(found).all()
    assert ((found >= 0) & (found <= 1)).all()
    # What was surely wrong is sure of nothing any more, neither of 0 nor of 1.
    assert (found.round() == scores).all() if right else ((found > 0) & (found < 1)).all()


def model_of(layer: keras.layers.Dense) -> keras.Model:
    """A model whose layer "head" ends in `layer`."""
    inputs = keras.Input((4,))
    inner = keras.Model(inputs, layer(inputs), name="head")
    return keras.Model(inputs, inner(inputs))


@pytest.mark.parametrize("calibrated", [True, False])
@pytest.mark.parametrize(("label", "units"), [(BINARY, 1), (SCORE, 1), (CLASSES, 3)])
def test_a_model_is_calibrated_where_that_is_wanted_and_a_binary_one_gets_its_threshold(
    label, units, calibrated
):
    layer, other = head(units), head(units)
    before, labels = layer(INPUTS).numpy(), drawn(layer, 0.3)
    spec = Spec(label=label, model=PairModel(), training=PairTraining(calibrated=calibrated))
    model: Any = model_of(layer)
    threshold = calibrate_model(model, labels, before, spec)
    scores = calibrate(other, labels, before, label) if calibrated else before
    for found, expected in zip(layer.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert threshold == (best_threshold(labels, scores) if label is BINARY else None)
    assert threshold != DEFAULT_THRESHOLD


@pytest.mark.parametrize("choice", ["accuracy", "mcc", 0.25])
def test_the_threshold_is_what_the_configuration_says(choice):
    layer = head(1)
    scores, labels = layer(INPUTS).numpy(), drawn(layer, 0.3)
    training = PairTraining(calibrated=False, threshold=choice)
    spec = Spec(label=BINARY, model=PairModel(), training=training)
    expected = choice if choice == 0.25 else best_threshold(labels, scores, choice)
    assert calibrate_model(model_of(layer), labels, scores, spec) == expected
    assert choice == "mcc" or expected != best_threshold(labels, scores)
