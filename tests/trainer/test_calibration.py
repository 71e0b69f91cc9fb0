from __future__ import annotations

import keras
import numpy as np
import pytest
from scipy import stats

from trainer.calibration import LEAST, calibrate
from trainer.features import Label
from trainer.metrics import calibration_error

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
