"""The norm of gradients that have some rows of an embedding table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf


def row_sums(gradient: tf.IndexedSlices) -> tf.IndexedSlices:
    """The same gradient, whose rows come once each: a row's summands are added up."""
    rows, at = tf.unique(gradient.indices)
    values = tf.math.unsorted_segment_sum(gradient.values, at, tf.size(rows))
    return tf.IndexedSlices(values, rows, gradient.dense_shape)


class ClipsSums:
    """For an optimizer: `global_clipnorm` is of the gradient as it is, however often a batch has a row.

    Pascanu, Mikolov, Bengio 2013, "On the difficulty of training recurrent neural networks", section 3.2.
    A row that a batch has several times has one gradient, the sum. Keras 3.15 adds up the squares of the
    summands.
    """

    global_clipnorm: float | None

    def apply(self, grads: Sequence[Any], trainable_variables: Any = None) -> None:
        """As Keras' own; gradients may be of rows."""
        if self.global_clipnorm:
            grads = [row_sums(one) if isinstance(one, tf.IndexedSlices) else one for one in grads]
        super().apply(grads, trainable_variables)  # type: ignore[misc]


@keras.saving.register_keras_serializable("kembar")
class Adam(ClipsSums, keras.optimizers.Adam):
    """Kingma and Ba 2015, "Adam: A Method for Stochastic Optimization"."""
