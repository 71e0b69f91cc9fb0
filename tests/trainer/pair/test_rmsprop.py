"""RMSprop of single rows against Keras' own, which goes through the whole table."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer.pair.optimizers import RowRMSprop

ROWS, DIM = 50, 3


def slices(values, rows):
    return tf.IndexedSlices(tf.constant(values, tf.float32), tf.constant(rows), tf.constant([ROWS, DIM]))


def dense(gradient):
    """What Keras squares rightly."""
    return tf.convert_to_tensor(gradient)


def both(gradients, **options):
    """The tables that Keras' own and the one of rows come to from 1."""
    tables = []
    for kind, given in ((keras.optimizers.RMSprop, dense), (RowRMSprop, lambda gradient: gradient)):
        table, optimizer = keras.Variable(np.ones((ROWS, DIM), np.float32)), kind(**options)
        optimizer.build([table])
        step = compiled(optimizer, table, given)
        for gradient in gradients:
            step(gradient)
        tables.append(table.numpy())
    return tables


def compiled(optimizer, table, given):
    return tf.function(lambda gradient: optimizer.apply([given(gradient)], [table]))


def test_rows_move_as_in_the_usual_way_however_long_they_were_away():
    random = np.random.default_rng(1)
    gradients = [slices(random.normal(size=(4, DIM)), random.integers(0, ROWS, 4)) for _ in range(300)]
    usual, ours = both(gradients, learning_rate=0.01)
    assert np.abs(usual - 1).max() > 0.1
    np.testing.assert_allclose(ours, usual, rtol=0, atol=1e-6)


def test_a_row_that_comes_several_times_has_one_gradient():
    # By hand: the sum is 2, its mean square 0.1 * 4, the move 0.1 * 2 / sqrt(0.4).
    _, ours = both([slices(np.ones((2, DIM)), [7, 7])], learning_rate=0.1)
    assert ours[7] == pytest.approx([1 - 0.2 / 0.4**0.5] * DIM)
    assert (np.delete(ours, 7, axis=0) == 1).all()


@pytest.mark.parametrize("norm", [None, 0.5, 1e9])
def test_rows_stay_rows_where_their_norm_is_clipped(norm):
    table, other = keras.Variable(np.ones((ROWS, DIM), np.float32)), keras.Variable(np.ones(2, np.float32))
    optimizer = RowRMSprop(learning_rate=0.1, global_clipnorm=norm)
    optimizer.build([table, other])
    given, take = [], optimizer.update_step
    optimizer.update_step = lambda gradient, *rest: (given.append(type(gradient)), take(gradient, *rest))  # type: ignore[assignment]
    optimizer.apply([slices(np.ones((2, DIM)), [7, 7]), tf.ones(2)], [table, other])
    assert given[0] is tf.IndexedSlices
    assert given[1] is not tf.IndexedSlices


@pytest.mark.parametrize("options", [{"global_clipnorm": 0.5}, {"weight_decay": 0.1}])
def test_clipping_and_decay_are_as_in_the_usual_way(options):
    random = np.random.default_rng(2)
    gradients = [slices(random.normal(size=(4, DIM)), np.arange(4) + n) for n in range(20)]
    usual, ours = both(gradients, learning_rate=0.01, **options)
    np.testing.assert_allclose(ours, usual, rtol=0, atol=1e-6)


def test_a_dense_gradient_moves_everything():
    usual, ours = both([dense(slices(np.ones((2, DIM)), [1, 2]))], learning_rate=0.1)
    np.testing.assert_array_equal(ours, usual)
