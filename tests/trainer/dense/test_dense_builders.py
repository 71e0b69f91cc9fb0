"""The same network, written twice."""

import keras
import numpy as np
import pytest

from trainer.dense.builders import build, functional, sequential
from trainer.dense.dense_config import Dense

HIDDEN, DIMENSION, CLASSES = (64, 32), 64, 10


def test_sequential_and_functional_are_the_same_weight_by_weight():
    one, other = sequential(HIDDEN, DIMENSION, CLASSES, 3), functional(HIDDEN, DIMENSION, CLASSES, 3)
    assert [w.shape for w in one.weights] == [(64, 64), (64,), (64, 32), (32,), (32, 10), (10,)]
    for a, b in zip(one.weights, other.weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    vectors = np.random.default_rng(0).normal(size=(5, DIMENSION)).astype(np.float32)
    np.testing.assert_array_equal(one(vectors).numpy(), other(vectors).numpy())


def test_they_stay_the_same_in_training():
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(256, DIMENSION)).astype(np.float32)
    labels = rng.integers(0, CLASSES, 256)
    trained = []
    for builder in ("functional", "sequential"):
        model = build(Dense(builder=builder), DIMENSION, CLASSES, 3)
        model.compile(keras.optimizers.Adam(1e-3), loss="sparse_categorical_crossentropy")
        model.fit(vectors, labels, batch_size=64, epochs=2, shuffle=False, verbose=0)
        trained.append(model.get_weights())
    for a, b in zip(*trained, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_layers_do_not_start_alike():
    model = functional((16, 16), 16, 16, 0)
    first, second, third = (w.numpy() for w in model.weights if len(w.shape) == 2)
    assert not np.array_equal(first, second)
    assert not np.array_equal(second, third)


@pytest.mark.parametrize("builder", ["functional", "sequential"])
def test_probabilities_sum_to_one(builder):
    model = build(Dense(hidden=(4,), builder=builder), 3, 5, 0)
    np.testing.assert_allclose(model(np.ones((2, 3), np.float32)).numpy().sum(axis=1), 1.0, atol=1e-6)
