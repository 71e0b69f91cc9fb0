"""RMSprop that does not work on the rows of an embedding table that a batch does not have."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf

from trainer.fitting.clipping import Gradient, clipped, row_sums


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
