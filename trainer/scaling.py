"""Vectors into the range that a model learns from, inside the transform graph.

All of it is computed in float64 and rounded to float32 at the end: the square of 1e30 is no float32, and the
mean of a column that lies far from 0 would lose the digits that tell its values apart.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from trainer.errors import DataRejected
from trainer.features import VECTOR
from trainer.spec import VectorSpec

# Powers of two, one of which is far from 0 for a column of any scale that float32 knows.
_POWERS = 2.0 ** np.arange(-126, 128)
# A scaled value that is far from 0, and so far from overflow that a deviation more does not matter.
_FAR = 2.0**100
# How far outside 0..1 rounding may have put a value that was inside.
_ROUNDING = 1e-6


def to_unit(vector: tf.Tensor, declared: tuple[float, float]) -> tf.Tensor:
    """[batch, n] from the `declared` lowest and highest value to 0..1; what lies outside stays outside."""
    vector = tf.cast(tf.cast(vector, tf.float32), tf.float64)
    # The limits as float32 has them, as the values are: a value at a limit is at it after rounding too.
    low, high = (float(np.float32(limit)) for limit in declared)
    scaled = tf.cast((vector - low) / (high - low), tf.float32)
    # A graph that multiplies by 1 / (high - low) may still end a last digit outside.
    near = (scaled >= -_ROUNDING) & (scaled <= 1 + _ROUNDING)
    return tf.where(near, tf.clip_by_value(scaled, 0.0, 1.0), scaled)


def to_standard(vector: tf.Tensor) -> tf.Tensor:
    """[batch, n] to mean 0 and variance 1 in each dimension; a constant one becomes 0."""
    scaled = tft.scale_to_z_score(tf.cast(tf.cast(vector, tf.float32), tf.float64), elementwise=True)
    return tf.cast(scaled, tf.float32)


def check_varied(vectors: np.ndarray, spec: VectorSpec) -> None:
    """Refuses training vectors [rows, n] in which a dimension never changes.

    Raises:
      DataRejected: naming the first such column, and how many there are.
    """
    constant = np.flatnonzero(vectors.min(axis=0) == vectors.max(axis=0))
    if constant.size:
        raise DataRejected(
            f"[data] vector: column {spec.name(int(constant[0]))!r} has the same value in all {len(vectors)} "
            f"training rows ({constant.size} such columns): a Gaussian cannot learn it: leave it out, "
            'or use [model] likelihood = "bernoulli" with a range'
        )


class Scaling(tf.Module):
    """The scaling of a finished transform and its inverse, for signatures."""

    def __init__(self, transform: tft.TFTransformOutput, dimension: int) -> None:
        super().__init__(name="scaling")
        self._layer = transform.transform_features_layer()
        self._origin, self._width = self._line(dimension)

    @property
    def log_jacobian(self) -> float:
        """ln |d raw / d scaled|, in nats: what -log p of a scaled vector lacks to be that of the raw one."""
        return float(np.log(self._width).sum())

    def forward(self, vector: tf.Tensor) -> tf.Tensor:
        """Raw vectors [batch, n] to scaled ones."""
        return self._layer({VECTOR: vector})[VECTOR]

    def inverse(self, scaled: tf.Tensor | np.ndarray) -> tf.Tensor:
        """Scaled vectors [batch, n] to raw ones, float32."""
        return tf.cast(self._origin + tf.cast(scaled, tf.float64) * self._width, tf.float32)

    def _line(self, dimension: int) -> tuple[np.ndarray, np.ndarray]:
        """The raw value that becomes 0, and how far from it lies what becomes 1: float64 [n] each.

        Every scaling above is a straight line in each dimension, rounded to float32. Two points, one on each
        side of 0, give the slope to float32's last digit: the farthest ones whose scaled values are far from
        overflow. A point next to the origin gives that one.
        """

        def at(raw: np.ndarray) -> np.ndarray:
            return self.forward(tf.constant(raw, tf.float32)).numpy().astype(np.float64)

        points = np.repeat(_POWERS[:, np.newaxis], dimension, axis=1)
        above, below = at(points), at(-points)
        usable = (np.abs(above) < _FAR) & (np.abs(below) < _FAR)
        last = np.argmax(np.where(usable, _POWERS[:, np.newaxis], 0.0), axis=0), np.arange(dimension)
        width = 2 * points[last] / (above[last] - below[last])
        origin = np.zeros((1, dimension))
        near = (-at(origin)[0] * width).astype(np.float32).astype(np.float64)
        return near - at(near[np.newaxis])[0] * width, width
