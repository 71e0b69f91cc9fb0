"""The layers Keras lacks: a random draw inside the graph, a learned variance."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

PACKAGE = "kembar"
# exp(-10) is a standard deviation of 0.007: a constant column must not drive the likelihood to infinity.
LOG_VARIANCE_FLOOR = -10.0


@keras.saving.register_keras_serializable(PACKAGE)
class Sampling(keras.layers.Layer):
    """Reparameterization z = mean + exp(log_variance / 2) * noise (Kingma & Welling 2014, eq. 10).

    Takes `mean` and `log_variance`, both [batch, latent], and gives [batch * samples, latent]; the draws
    of row i are rows i * samples to (i + 1) * samples - 1. Training draws from a generator of its own.
    Inference uses the same noise in every call, so that validation is the same sum each epoch.
    """

    def __init__(self, samples: int = 1, seed: int = 1, **options: Any) -> None:
        super().__init__(**options)
        self.samples = samples
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, mean: tf.Tensor, log_variance: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Draw; see the class for shapes."""
        latent = mean.shape[-1]
        noise = keras.random.normal(
            (ops.shape(mean)[0], self.samples, latent), seed=self.generator if training else self.seed
        )
        draws = ops.expand_dims(mean, 1) + ops.expand_dims(ops.exp(0.5 * log_variance), 1) * noise
        return ops.reshape(draws, (-1, latent))

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {**super().get_config(), "samples": self.samples, "seed": self.seed}


@keras.saving.register_keras_serializable(PACKAGE)
class LearnedVariance(keras.layers.Layer):
    """Appends a learned log variance to each output: [batch, n] becomes [batch, 2 n].

    One variance a dimension, the same for every row (Rybkin et al. 2021, the sigma-VAE): a variance
    that depended on z could reach an unbounded likelihood on a single row.
    """

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Create the [n] log variances, starting at a variance of 1."""
        self.log_variance = self.add_weight(shape=(shape[-1],), initializer="zeros", name="log_variance")

    def start_from(self, variance: np.ndarray) -> None:
        """Begin at the variances [n] of the training vectors."""
        self.log_variance.assign(np.maximum(np.log(np.maximum(variance, 1e-30)), LOG_VARIANCE_FLOOR))

    def call(self, mean: tf.Tensor) -> tf.Tensor:
        """Concatenate; see the class."""
        log_variance = ops.maximum(self.log_variance, LOG_VARIANCE_FLOOR)
        return ops.concatenate([mean, ops.broadcast_to(log_variance, ops.shape(mean))], axis=-1)
