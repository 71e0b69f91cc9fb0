"""The exported VAE: the signatures over raw vectors, over tf.Examples, and the one that is evaluated."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

from trainer.features import VECTOR
from trainer.scaling import Scaling
from trainer.vae import losses
from trainer.vae.builder import VariationalAutoencoder
from trainer.vae.signatures import Signatures

# The draws are part of the model, and the same for every row: a row's numbers do not depend on its batch.
_NOISE_SEED = (20_260, 2)
_BINARIZATION_SEED = (20_260, 3)
# A prime near 2^31, for a number between 0 and 1 that only the row's content decides.
_MODULUS = 2_147_483_629
_LEVELS = 255.0


class VaeServing(Signatures):
    """All signatures of a served VAE; `evaluate`, for the pipeline, costs `evaluation_samples` decodings.

    Signatures, besides those of `trainer.vae.signatures.Signatures`:
      serve_examples: examples (serialized tf.Example [batch]) -> the outputs of serving_default.
      evaluate: examples -> evaluation (float [batch, 5]): `elbo` as serving_default gives it, then
        -ELBO, -log p(x), reconstruction and KL from `evaluation_samples` draws, in nats.

    A Gaussian's likelihood is a density, which changes with the unit. All its numbers but the KL are those
    of raw vectors, and `threshold` too: models that scale differently, each by its own training data, can
    be compared. A Bernoulli's are no densities.
    """

    def __init__(
        self,
        model: VariationalAutoencoder,
        threshold: float,
        transform: tft.TFTransformOutput,
        dimension: int,
    ) -> None:
        scaling = Scaling(transform, dimension)
        log_jacobian = scaling.log_jacobian if model.config.likelihood == "gaussian" else 0.0
        super().__init__(model, threshold, scaling.forward, scaling.inverse, log_jacobian)
        # Held here so that the transform is saved with this module.
        self._scaling = scaling

    def served(self) -> dict[str, Any]:
        """Signature name to concrete function, for tf.saved_model.save."""
        examples = tf.TensorSpec([None], tf.string, "examples")
        return {
            **super().served(),
            "serve_examples": self.score_examples.get_concrete_function(examples),
            "evaluate": self.evaluate_examples.get_concrete_function(examples),
        }

    @tf.function
    def score_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """examples: serialized tf.Example [batch]."""
        return self.score(self._parse(examples))

    @tf.function
    def evaluate_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """examples: serialized tf.Example [batch]."""
        vector = self._parse(examples)
        elbo = self.score(vector)["elbo"][:, tf.newaxis]
        return {"evaluation": tf.concat([elbo, self._measure(self.scale(vector))], 1)}

    def _parse(self, examples: tf.Tensor) -> tf.Tensor:
        spec = {VECTOR: tf.io.FixedLenFeature([self.model.dimension], tf.float32)}
        return tf.io.parse_example(examples, spec)[VECTOR]

    def _measure(self, scaled: tf.Tensor) -> tf.Tensor:
        """[batch, n] to the last four columns of `evaluate`, [batch, 4]; Burda et al. 2016, eq. 8."""
        config = self.model.config
        target = scaled if config.binarization == "none" else _binarize(scaled)
        mean, log_variance = self.model.encoder(target)
        deviation = tf.exp(0.5 * log_variance)
        count = config.evaluation_samples
        noise = tf.random.stateless_normal([count, config.latent], seed=_NOISE_SEED)
        if count > 1:
            # All rows share these draws, so their chance deviations would not average out over rows: with
            # mean 0 and variance 1 made exact, the mean log ratio is the negative KL, and -log p never
            # comes out above -ELBO (Jensen).
            noise -= tf.reduce_mean(noise, axis=0)
            noise /= tf.math.reduce_std(noise, axis=0)
        rows = tf.shape(target)[0]
        likelihood, weight = tf.zeros([rows]), tf.fill([rows], -math.inf)
        # One draw at a time: all at once would need count times the memory of the batch.
        for draw in tf.range(count):
            tf.autograph.experimental.set_loop_options(maximum_iterations=count)
            z = mean + deviation * noise[draw]
            log_likelihood = losses.log_likelihood(target, self.model.decoder(z), config.likelihood)
            ratio = losses.log_ratio(z[:, tf.newaxis, :], mean, log_variance)[:, 0]
            likelihood += log_likelihood
            weight = tf.reduce_logsumexp(tf.stack([weight, log_likelihood + ratio]), axis=0)
        reconstruction = self.log_jacobian - likelihood / count
        kl = tf.reduce_sum(losses.kl_by_dimension(mean, log_variance), axis=-1)
        nll = self.log_jacobian + math.log(count) - weight
        return tf.stack([reconstruction + kl, nll, reconstruction, kl], axis=1)


def _binarize(values: tf.Tensor) -> tf.Tensor:
    """One draw of each value of [batch, n] in [0, 1] as 0 or 1, the same for the same row in any batch."""
    size = values.shape[-1]
    thresholds = tf.random.stateless_uniform([size], seed=_BINARIZATION_SEED)
    factors = tf.random.stateless_uniform([size], _BINARIZATION_SEED, 1, _MODULUS, tf.int64)
    # Integers: a sum of floats would depend on the batch by its last digits.
    levels = tf.cast(tf.round(values * _LEVELS), tf.int64)
    key = tf.reduce_sum(levels * factors, axis=-1, keepdims=True) % _MODULUS
    shift = tf.cast(key, tf.float64) / _MODULUS
    drawn = tf.math.floormod(tf.cast(thresholds, tf.float64) + shift, 1.0)
    return tf.cast(tf.cast(drawn, tf.float32) < values, tf.float32)
