"""Vectors into the range that a model learns from, inside the transform graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from trainer.errors import DataRejected
from trainer.features import VECTOR
from trainer.spec import VectorSpec

# Farther away than any mean, and not so far that it overflows when divided by a small deviation.
_FAR = 2.0**64
# How far outside 0..1 rounding may have put a value that was inside.
_ROUNDING = 1e-6


def to_unit(vector: tf.Tensor, declared: tuple[float, float]) -> tf.Tensor:
    """[batch, n] from the `declared` lowest and highest value to 0..1; what lies outside stays outside."""
    vector = tf.cast(vector, tf.float32)
    # The limits as float32 has them, as the values are: a value at a limit is at it after rounding too.
    low, high = (tf.constant(limit, tf.float32) for limit in declared)
    scaled = (vector - low) / (high - low)
    # A graph that multiplies by 1 / (high - low) may still end a last digit outside.
    near = (scaled >= -_ROUNDING) & (scaled <= 1 + _ROUNDING)
    return tf.where(near, tf.clip_by_value(scaled, 0.0, 1.0), scaled)


def to_standard(vector: tf.Tensor) -> tf.Tensor:
    """[batch, n] to mean 0 and variance 1 in each dimension; a constant one becomes 0."""
    return tft.scale_to_z_score(tf.cast(vector, tf.float32), elementwise=True)


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

    def forward(self, vector: tf.Tensor) -> Any:
        """Raw vectors [batch, n] to scaled ones."""
        return self._layer({VECTOR: vector})[VECTOR]

    def inverse(self, scaled: tf.Tensor) -> Any:
        """Scaled vectors [batch, n] to raw ones, float32."""
        return tf.cast(self._origin + tf.cast(scaled, tf.float64) * self._width, tf.float32)

    def _line(self, dimension: int) -> tuple[np.ndarray, np.ndarray]:
        """The raw value that becomes 0, and how far from it lies what becomes 1: float64 [n] each.

        Every scaling above is a straight line in each dimension, in float32. Two points that are close, seen
        from the mean, cancel out; two far ones give the slope to float32's last digit, and a point next to
        the origin gives that one, because the difference of two close floats is exact (Sterbenz' lemma).
        """

        def at(raw: np.ndarray) -> np.ndarray:
            found: np.ndarray = self.forward(tf.constant(raw[np.newaxis], tf.float32)).numpy()[0]
            return found.astype(np.float64)

        far = np.full(dimension, _FAR)
        width = 2 * far / (at(far) - at(-far))
        near = (-at(np.zeros(dimension)) * width).astype(np.float32).astype(np.float64)
        return near - at(near) * width, width
