"""Encoder, decoder and the model that trains both, all by the Functional API."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from trainer.spec import narrow
from trainer.vae import losses
from trainer.vae.layers import PACKAGE, LearnedVariance, Sampling
from trainer.vae.vae_config import Vae

# Means, variances and logits, whatever the hidden layers compute in: exp() and sums of nats follow.
EXACT = "float32"
# The output starts at the logit of the mean value; a pixel that is never lit must not start at -infinity.
SMALLEST_MEAN = 1e-3


def build_encoder(config: Vae, dimension: int, seed: int) -> keras.Model:
    """q(z | x): [batch, dimension] to the list of mean and log variance, each [batch, latent]."""
    vectors = keras.Input((dimension,), name="vector")
    hidden = vectors
    for index, width in enumerate(config.encoder):
        hidden = _dense(width, f"encoder_{index + 1}", seed + index, config.activation)(hidden)
    mean = _dense(config.latent, "latent_mean", seed + 101, dtype=EXACT)(hidden)
    log_variance = _dense(config.latent, "latent_log_variance", seed + 102, dtype=EXACT)(hidden)
    return keras.Model(vectors, [mean, log_variance], name="encoder")


def build_decoder(config: Vae, dimension: int, seed: int) -> keras.Model:
    """p(x | z): [batch, latent] to the parameters that `losses.log_likelihood` takes.

    They are logits [batch, dimension], or means and log variances [batch, 2 * dimension].
    """
    latents = keras.Input((config.latent,), name="latent")
    hidden = latents
    for index, width in enumerate(config.decoder_widths):
        layer = _dense(width, f"decoder_{index + 1}", seed + 200 + index, config.activation)
        if index == 0 and config.spread:
            _spread(layer, config.spread, config.latent, seed + 250)
        hidden = layer(hidden)
    parameters = _dense(dimension, "output", seed + 300, dtype=EXACT)(hidden)
    if config.likelihood == "gaussian":
        parameters = LearnedVariance(name="output_variance", dtype=EXACT)(parameters)
    return keras.Model(latents, parameters, name="decoder")


def _dense(
    width: int, name: str, seed: int, activation: str | None = None, dtype: str | None = None
) -> keras.layers.Dense:
    start = keras.initializers.GlorotUniform(seed=seed)
    return keras.layers.Dense(width, activation=activation, kernel_initializer=start, name=name, dtype=dtype)


def _spread(layer: keras.layers.Dense, deviation: float, latent: int, seed: int) -> None:
    """Start a decoder's first layer with units that differ over all of the prior.

    Glorot's start gives two latents inputs of +-0.3 and no bias: all units begin as the same plane, and most
    never leave. Here half of the variance comes from the latents, N(0, 1), half from the bias.
    """
    part = deviation / math.sqrt(2.0)
    layer.kernel_initializer = keras.initializers.RandomNormal(stddev=part / math.sqrt(latent), seed=seed)
    layer.bias_initializer = keras.initializers.RandomNormal(stddev=part, seed=seed + 1)


@keras.saving.register_keras_serializable(PACKAGE)
class VariationalAutoencoder(keras.Model):
    """Vectors [batch, dimension] in; latent statistics, draws and output parameters out.

    `model.encoder` and `model.decoder` are Functional models of their own. The loss is computed from
    the outputs in `compute_loss`, so `fit` needs no targets and runs Keras' own compiled training step.
    Reported apart, in nats per example: `reconstruction`, `kl`, `negative_elbo` (their sum) and `loss`,
    what is minimized (beta, free bits and importance samples change only this one).
    """

    def __init__(self, config: Vae | dict[str, Any], dimension: int, seed: int = 1, **options: Any) -> None:
        config = config if isinstance(config, Vae) else Vae(**config)
        encoder = build_encoder(config, dimension, seed)
        decoder = build_decoder(config, dimension, seed)
        vectors = keras.Input((dimension,), name="vector")
        mean, log_variance = encoder(vectors)
        sampling = Sampling(config.importance_samples, seed + 401, name="sampling", dtype=EXACT)
        draws = sampling(mean, log_variance)
        statistics = {"mean": mean, "log_variance": log_variance}
        outputs = {**statistics, "draws": draws, "parameters": decoder(draws)}
        super().__init__(inputs=vectors, outputs=outputs, **options)
        self.config, self.dimension, self.seed = config, dimension, seed
        self.encoder, self.decoder = encoder, decoder
        self.kl_weight = keras.Variable(config.beta, trainable=False, name="kl_weight")
        self.parts = {name: keras.metrics.Mean(name) for name in ("reconstruction", "kl", "negative_elbo")}

    def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None, *_: Any, **__: Any) -> tf.Tensor:
        """The scalar that is minimized; updates the parts. Only `x` and `y_pred` have a part in it."""
        config, samples = self.config, self.config.importance_samples
        # Each device sees its share of the batch; Keras adds up their losses.
        replicas = self.distribute_strategy.num_replicas_in_sync
        outputs: dict[str, tf.Tensor] = y_pred
        mean, log_variance = outputs["mean"], outputs["log_variance"]
        parameters, target = outputs["parameters"], ops.convert_to_tensor(x)
        if samples > 1:
            target = ops.expand_dims(target, 1)
            parameters = ops.reshape(parameters, (-1, samples, parameters.shape[-1]))
        likelihoods = losses.log_likelihood(target, parameters, config.likelihood)
        kl = losses.kl_by_dimension(mean, log_variance)
        reconstruction, divergence = -ops.mean(likelihoods), ops.mean(ops.sum(kl, axis=-1))
        values = reconstruction, divergence, reconstruction + divergence
        for part, value in zip(self.parts.values(), values, strict=True):
            part.update_state(value, sample_weight=ops.shape(mean)[0])
        if samples > 1:
            draws = ops.reshape(outputs["draws"], (-1, samples, config.latent))
            log_weights = likelihoods + self.kl_weight * losses.log_ratio(draws, mean, log_variance)
            return -ops.mean(losses.importance_bound(log_weights)) / replicas
        if config.free_bits:
            divergence = losses.free_bits_kl(kl, config.free_bits)
        return (reconstruction + self.kl_weight * divergence) / replicas

    def start_from(self, vectors: np.ndarray) -> None:
        """Let the decoder begin at the mean (and variance) of training vectors [rows, dimension].

        Inputs are not centred on it: a pixel lit in one image of a thousand would then move weights in the
        other 999, by as much as any other under Adam (1.4 nats worse on unseen digits).
        """
        mean = vectors.mean(axis=0, dtype=np.float64)
        if self.config.likelihood == "bernoulli":
            lit = np.clip(mean, SMALLEST_MEAN, 1 - SMALLEST_MEAN)
            mean = np.log(lit) - np.log1p(-lit)
        else:
            variance = narrow(self.decoder.get_layer("output_variance"), LearnedVariance)
            variance.start_from(vectors.var(axis=0, dtype=np.float64))
        narrow(self.decoder.get_layer("output"), keras.layers.Dense).bias.assign(mean)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, as plain values."""
        config = self.config.model_dump(mode="json")
        return {"config": config, "dimension": self.dimension, "seed": self.seed, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> VariationalAutoencoder:
        """The same model with weights of its own."""
        return cls(**config)
