"""The optimizers of a pair model, which work on the rows of an embedding table that a batch has.

Pascanu, Mikolov, Bengio 2013, "On the difficulty of training recurrent neural networks", section 3.2, clips
the norm of the gradient. A row that a batch has several times has one gradient, the sum of its summands.
Keras 3.15 takes the norm of the summands.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import keras
import tensorflow as tf

from trainer.fitting.training import learning_rate
from trainer.pair.pair_config import PairTraining

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


@keras.saving.register_keras_serializable("kembar")
class RowRMSprop(keras.optimizers.RMSprop):
    """Tieleman and Hinton 2012, "Lecture 6.5 - rmsprop", without momentum, for tables of many rows.

    A row whose gradient is 0 does not move, and its mean square only shrinks, by rho a step. So both are made
    up for when the row comes next, and the weights are those of the usual way to the last bits. Keras goes
    through the whole table at every step.

    A row that a batch has several times has one gradient, the sum. Keras 3.15 adds up the squares of the
    summands instead of squaring it.
    """

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Makes the variables of the optimizer, once."""
        if self.built:
            return
        super().build(variables)
        # At which step a row was last changed.
        self._seen = [
            self.add_variable(variable.shape[:1], "zeros", dtype="int64", name=f"{variable.name}_seen")
            for variable in variables
        ]

    def _clip_gradients(self, grads: Sequence[Gradient]) -> Sequence[Gradient]:
        # Keras' own makes gradients of rows dense.
        if not self.global_clipnorm:
            return super()._clip_gradients(grads)
        return clipped(grads, self.global_clipnorm)

    def update_step(self, gradient: Gradient, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        """Moves the rows, [rows], that `gradient` has; all of them where it is a dense tensor."""
        if not isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable, learning_rate)
            return
        index = self._get_variable_index(variable)
        velocity, seen = self._velocities[index].value, self._seen[index].value
        summed = row_sums(gradient)
        rows, slope = summed.indices, summed.values
        step = tf.cast(self.iterations.value, tf.int64) + 1
        gone = tf.cast(step - tf.gather(seen, rows), slope.dtype)[:, None]
        square = tf.gather(velocity, rows) * self.rho**gone + (1 - self.rho) * tf.square(slope)
        move = tf.cast(learning_rate, slope.dtype) * slope * tf.math.rsqrt(square + self.epsilon)
        velocity.scatter_update(tf.IndexedSlices(square, rows))
        seen.scatter_update(tf.IndexedSlices(tf.fill(tf.shape(rows), step), rows))
        variable.scatter_sub(tf.IndexedSlices(move, rows))


def make_optimizer(
    training: PairTraining, steps_per_epoch: int, parts: int = 1
) -> keras.optimizers.Optimizer:
    """The optimizer of a pair model.

    Keras clips what each of `parts` devices has before it adds them up, so each gets its part of the norm.
    """
    optimizer = {"adam": Adam, "rmsprop": RowRMSprop}[training.optimizer](
        learning_rate(training, steps_per_epoch),
        weight_decay=training.weight_decay or None,
        global_clipnorm=training.clip_norm / parts or None,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer
