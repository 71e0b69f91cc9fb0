"""The norm of gradients that have some rows of an embedding table.

Pascanu, Mikolov, Bengio 2013, "On the difficulty of training recurrent neural networks", section 3.2, clips
the norm of the gradient. A row that a batch has several times has one gradient, the sum of its summands.
Keras 3.15 takes the norm of the summands.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import keras
import tensorflow as tf

# Of rows, for a table; none for a weight that has no part in the loss.
Gradient: TypeAlias = tf.Tensor | tf.IndexedSlices | None


def row_sums(gradient: tf.IndexedSlices) -> tf.IndexedSlices:
    """The same gradient, whose rows come once each: a row's summands are added up."""
    rows, at = tf.unique(gradient.indices)
    values = tf.math.unsorted_segment_sum(gradient.values, at, tf.size(rows))
    return tf.IndexedSlices(values, rows, gradient.dense_shape)


def clipped(gradients: Sequence[Gradient], norm: float) -> list[Gradient]:
    """Gradients scaled down to `norm` together where they are longer; those of rows stay so, in summands.

    Not a number where a gradient is not finite, so that the loss tells it.
    """
    sums = [
        row_sums(gradient) if isinstance(gradient, tf.IndexedSlices) else gradient for gradient in gradients
    ]
    return tf.clip_by_global_norm(gradients, norm, use_norm=tf.linalg.global_norm(sums))[0]


@keras.saving.register_keras_serializable("kembar")
class Adam(keras.optimizers.Adam):
    """Kingma and Ba 2015, "Adam: A Method for Stochastic Optimization"; `global_clipnorm` is of the sums."""

    def apply(
        self, grads: Sequence[Gradient], trainable_variables: Sequence[keras.Variable] | None = None
    ) -> None:
        """Apply gradients as Keras does; they may be of rows."""
        if self.global_clipnorm:
            # Absent rows move too under Adam, so nothing is lost by what has all of them.
            grads = [
                tf.convert_to_tensor(gradient) if isinstance(gradient, tf.IndexedSlices) else gradient
                for gradient in grads
            ]
        super().apply(grads, trainable_variables)
