"""Answers of a served VAE: pure functions of the model's two halves, and the module that holds them.

All checks are TensorFlow assertions, so that they hold in the served graph: a client gets InvalidArgument and
a sentence, never a crash.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

from trainer.errors import DataRejected
from trainer.vae import losses
from trainer.vae.builder import VariationalAutoencoder

# One request must not be able to ask for all of the server's memory.
MOST_SAMPLES = 10_000
# Rows that are scored at once for the threshold.
_ROWS = 1_000
# The draws of `score` are part of the model: the same vector scores the same in every batch and process.
SCORE_SEED = (20_260, 1)

Tensors = dict[str, tf.Tensor]
Map = Callable[[tf.Tensor], tf.Tensor]
Rows: TypeAlias = tf.Tensor | np.ndarray
# [None, None] and not [None, n]: the width is checked in the graph, with a sentence.
_VECTORS, _LATENTS = (tf.TensorSpec([None, None], tf.float32, name) for name in ("vector", "latent"))
_SEED, _COUNT = (tf.TensorSpec(None, tf.int64, name) for name in ("seed", "count"))


def encode(model: VariationalAutoencoder, vectors: Rows) -> Tensors:
    """q(z | x) of [batch, n]: `mean` and `log_variance`, [batch, latent]."""
    mean, log_variance = model.encoder(with_width(vectors, model.dimension, "vector"))
    return {"mean": mean, "log_variance": log_variance}


def decode(model: VariationalAutoencoder, latents: Rows) -> Tensors:
    """The mean of p(x | z), `vector` [batch, n], for latents [batch, latent]."""
    parameters = model.decoder(with_width(latents, model.config.latent, "latent"))
    return {"vector": losses.expected_value(parameters, model.config.likelihood)}


def reconstruct(model: VariationalAutoencoder, vectors: Rows) -> Tensors:
    """`vector` [batch, n] decoded from z = mean of q(z | x): the same answer every time."""
    return decode(model, encode(model, vectors)["mean"])


def sample(model: VariationalAutoencoder, seed: tf.Tensor | int, count: tf.Tensor | int) -> Tensors:
    """`count` vectors decoded from z ~ N(0, 1): `vector` [count, n] and `latent` [count, latent].

    `seed` and `count` are integer scalars (or have one element). The first rows are the same for any count.
    """
    seed = tf.reshape(tf.cast(seed, tf.int64), [])
    count = tf.reshape(tf.cast(count, tf.int64), [])
    checks = [
        tf.debugging.assert_non_negative(count, "sample: count is negative"),
        tf.debugging.assert_less_equal(
            count, tf.constant(MOST_SAMPLES, tf.int64), f"sample: count is more than {MOST_SAMPLES}"
        ),
    ]
    with tf.control_dependencies(checks):
        shape = tf.stack([tf.identity(count), tf.constant(model.config.latent, tf.int64)])
    latents = tf.random.stateless_normal(shape, seed=tf.stack([seed, tf.constant(0, tf.int64)]))
    return {**decode(model, latents), "latent": latents}


def score(
    model: VariationalAutoencoder, vectors: Rows, threshold: tf.Tensor | float, log_jacobian: float = 0.0
) -> Tensors:
    """The ELBO of [batch, n] and whether it is an anomaly, all [batch].

    `elbo` = -(`reconstruction` + `kl`), in nats. With `score_samples = 0` in the configuration z is the
    posterior mean; otherwise the reconstruction is averaged over that many fixed draws of noise. `anomaly`
    is true where the ELBO is below `threshold`, is not a number, or where a value lies outside what
    the likelihood can give: there a logit could turn an impossible value into a good score. With the
    `log_jacobian` of a scaling, `elbo`, `reconstruction` and `threshold` are of the vectors before it.
    """
    config = model.config
    vectors = with_width(vectors, model.dimension, "vector")
    mean, log_variance = model.encoder(vectors)
    kl = tf.reduce_sum(losses.kl_by_dimension(mean, log_variance), axis=-1)
    if config.score_samples:
        noise = tf.random.stateless_normal([config.score_samples, 1, config.latent], seed=SCORE_SEED)
        draws = tf.reshape(mean + tf.exp(0.5 * log_variance) * noise, [-1, config.latent])
    else:
        draws = mean
    parameters = model.decoder(draws)
    # The number of draws is known, the size of an empty batch must not be guessed from 0 elements.
    parameters = tf.reshape(
        parameters, [max(1, config.score_samples), tf.shape(vectors)[0], parameters.shape[-1]]
    )
    reconstruction = -tf.reduce_mean(losses.log_likelihood(vectors, parameters, config.likelihood), axis=0)
    reconstruction += log_jacobian
    elbo = -(reconstruction + kl)
    # Not `~(elbo >= threshold)`: the graph optimizer turns that into `<`, and a NaN would pass as normal.
    anomaly = (elbo < threshold) | ~tf.math.is_finite(elbo)
    if config.likelihood == "bernoulli":
        anomaly |= tf.reduce_any((vectors < 0) | (vectors > 1), axis=-1)
    return {"elbo": elbo, "reconstruction": reconstruction, "kl": kl, "anomaly": anomaly}


def with_width(tensor: Rows, width: int, name: str) -> tf.Tensor:
    """`tensor` as float32 [batch, width], or InvalidArgument that names the input and both widths."""
    tensor = tf.cast(tensor, tf.float32)
    rank = tf.debugging.assert_equal(
        tf.rank(tensor), 2, f"{name}: expected rows of {width} values, [batch, {width}]"
    )
    with tf.control_dependencies([rank]):
        given_width = tf.shape(tensor)[-1]
    right = tf.debugging.assert_equal(given_width, width, f"{name}: each row must hold {width} values")
    with tf.control_dependencies([right]):
        return tf.ensure_shape(tf.identity(tensor), [None, width])


def anomaly_threshold(model: VariationalAutoencoder, vectors: np.ndarray, log_jacobian: float = 0.0) -> float:
    """The ELBO below which `score` calls a vector an anomaly, from normal ones [rows, n].

    A share of 1 - quantile of them (`anomaly_quantile` in the configuration) lies below. Vectors whose ELBO
    is no finite number are anomalies whatever it is, and have no part in it. A float32, as the graph has it.

    Raises:
      DataRejected: none of them has a finite one.
    """
    batches = np.array_split(vectors, range(_ROWS, len(vectors), _ROWS))
    elbo = np.concatenate([score(model, batch, 0.0, log_jacobian)["elbo"].numpy() for batch in batches])
    finite = elbo[np.isfinite(elbo)]
    if not finite.size:
        raise DataRejected(
            f"none of the {len(elbo)} eval rows has a finite ELBO: no value of it tells an anomaly: look for "
            "values far outside all others in [data] eval"
        )
    return float(np.float32(np.quantile(finite, 1 - model.config.anomaly_quantile)))


class Signatures(tf.Module):
    """The five signatures of a trained VAE over raw vectors; each method is the function of its name.

    `scale` turns raw vectors [batch, n] into what the model learned from and `unscale` turns decoded ones
    back; both are graph functions such as a TFT layer. `log_jacobian` and `threshold` are as in `score`.
    """

    def __init__(
        self,
        model: VariationalAutoencoder,
        threshold: float,
        scale: Map = tf.identity,
        unscale: Map = tf.identity,
        log_jacobian: float = 0.0,
    ) -> None:
        super().__init__(name="vae")
        self.model = model
        self.threshold = tf.Variable(threshold, trainable=False, dtype=tf.float32, name="anomaly_threshold")
        self.scale, self.unscale = scale, unscale
        self.log_jacobian = log_jacobian

    def served(self) -> dict[str, Any]:
        """Concrete functions by signature name, for tf.saved_model.save; `serving_default` is `score`."""
        names = ("score", "encode", "decode", "reconstruct", "sample")
        functions = {name: getattr(self, name).get_concrete_function() for name in names}
        return {"serving_default": functions["score"], **functions}

    @tf.function(input_signature=[_VECTORS])
    def score(self, vector: tf.Tensor) -> Tensors:
        """Raw vectors, [batch, n]."""
        return score(self.model, self._scaled(vector), self.threshold, self.log_jacobian)

    @tf.function(input_signature=[_VECTORS])
    def encode(self, vector: tf.Tensor) -> Tensors:
        """Raw vectors, [batch, n]."""
        return encode(self.model, self._scaled(vector))

    @tf.function(input_signature=[_VECTORS])
    def reconstruct(self, vector: tf.Tensor) -> Tensors:
        """Raw vectors, [batch, n]."""
        return self._unscaled(reconstruct(self.model, self._scaled(vector)))

    @tf.function(input_signature=[_LATENTS])
    def decode(self, latent: tf.Tensor) -> Tensors:
        """Latents, [batch, latent]."""
        return self._unscaled(decode(self.model, latent))

    @tf.function(input_signature=[_SEED, _COUNT])
    def sample(self, seed: tf.Tensor, count: tf.Tensor) -> Tensors:
        """Scalars."""
        return self._unscaled(sample(self.model, seed, count))

    def _scaled(self, vector: tf.Tensor) -> tf.Tensor:
        return self.scale(with_width(vector, self.model.dimension, "vector"))

    def _unscaled(self, outputs: Tensors) -> Tensors:
        return {**outputs, "vector": self.unscale(outputs["vector"])}
