"""Clipping where a batch has a row of a table several times."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer.pair.optimizers import clipped, make_optimizer, row_sums
from trainer.pair.pair_config import PairTraining

ROWS, DIM = 5, 2


def slices(values, rows):
    return tf.IndexedSlices(tf.constant(values, tf.float32), tf.constant(rows), tf.constant([ROWS, DIM]))


def test_a_gradients_rows_are_added_up():
    summed = row_sums(slices([[1, 2], [3, 4], [10, 20]], [4, 1, 4]))
    assert dict(zip(summed.indices.numpy().tolist(), summed.values.numpy().tolist(), strict=True)) == {
        4: [11, 22],
        1: [3, 4],
    }
    np.testing.assert_array_equal(summed.dense_shape, [ROWS, DIM])


def moved(optimizer, table_gradient, dense_gradient, compiled=False):
    """The table and another variable, both ones before two steps."""
    variables = [keras.Variable(np.ones(shape, np.float32)) for shape in ((ROWS, DIM), (3,))]
    optimizer.build(variables)
    step = tf.function(
        lambda table, dense: optimizer.apply([table, dense], variables), jit_compile=compiled or None
    )
    step(table_gradient, dense_gradient)
    step(slices([[0.5, 0]], [1]), dense_gradient)
    return [variable.numpy() for variable in variables]


@pytest.mark.parametrize("name", ["adam", "rmsprop"])
@pytest.mark.parametrize("compiled", [False, True], ids=["graph", "xla"])
def test_the_norm_is_of_the_sums(name, compiled):
    # The sum of row 2 is 0: its summands are long and the gradient is not. Both steps' norms are below 1.
    table = slices([[30, 40], [-30, -40], [0.1, 0.2]], [2, 2, 3])
    dense = tf.constant([0.3, 0.2, 0.1])
    training = {"optimizer": name, "learning_rate": 0.01}
    free, clipped = (
        moved(make_optimizer(PairTraining(**training, clip_norm=norm), 10), row_sums(table), dense)
        for norm in (0.0, 1.0)
    )
    found = moved(make_optimizer(PairTraining(**training, clip_norm=1.0), 10), table, dense, compiled)
    for one, same, wanted in zip(found, clipped, free, strict=True):
        np.testing.assert_allclose(one, wanted, rtol=0, atol=1e-6)
        np.testing.assert_allclose(same, wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["adam", "rmsprop"])
def test_a_norm_that_the_summands_hide_is_clipped(name):
    # The summands' norm is 0.5 * sqrt(8) = 1.41, the sum's 4: clipped to 1.5 the gradient is 3 / 8 of it.
    table, dense = slices([[0.5, 0]] * 8, [1] * 8), tf.zeros(3)
    training = {"optimizer": name, "learning_rate": 0.01}
    clipped = moved(make_optimizer(PairTraining(**training, clip_norm=1.5), 10), table, dense)
    wanted = moved(make_optimizer(PairTraining(**training), 10), slices([[1.5, 0]], [1]), dense)
    np.testing.assert_allclose(clipped[0], wanted[0], rtol=0, atol=1e-6)


def test_clipping_scales_all_summands_and_leaves_none_alone():
    # The sums are 3 in row 1 and 4 in the other: 5 together.
    rows, dense, nothing = clipped([slices([[1, 0], [2, 0]], [1, 1]), tf.constant([4.0]), None], 2.5)
    np.testing.assert_allclose(rows.values, [[0.5, 0], [1, 0]])
    np.testing.assert_array_equal(rows.indices, [1, 1])
    np.testing.assert_allclose(dense, [2])
    assert nothing is None
    [short] = clipped([tf.constant([4.0])], 4.5)
    np.testing.assert_array_equal(short, [4])


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_a_gradient_that_is_not_finite_is_not_made_one(bad):
    good, _ = clipped([tf.constant([1.0]), tf.constant([bad])], 1.0)
    assert np.isnan(good).all()
