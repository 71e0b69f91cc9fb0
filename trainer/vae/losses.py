"""Losses of a VAE and their parts, in nats per example, summed over dimensions.

Everything here is Keras ops on plain tensors: no state, no randomness.
"""

from __future__ import annotations

import math
from typing import Literal

import tensorflow as tf
from keras import ops

Likelihood = Literal["bernoulli", "gaussian"]


def kl_by_dimension(mean: tf.Tensor, log_variance: tf.Tensor) -> tf.Tensor:
    """KL(N(mean, exp(log_variance)) || N(0, 1)) of each latent, [..., latent], in nats.

    Kingma & Welling 2014, appendix B: (mu^2 + sigma^2 - 1 - log sigma^2) / 2.
    """
    return 0.5 * (ops.square(mean) + ops.exp(log_variance) - 1.0 - log_variance)


def free_bits_kl(kl: tf.Tensor, free_bits: float) -> tf.Tensor:
    """Sum over latents of max(free_bits, batch mean of the KL): a scalar, from `kl` [batch, latent].

    Kingma et al. 2016 (inverse autoregressive flow), eq. 15: a latent pays nothing below `free_bits` nats.
    """
    return ops.sum(ops.maximum(ops.mean(kl, axis=0), free_bits))


def log_likelihood(target: tf.Tensor, parameters: tf.Tensor, likelihood: Likelihood) -> tf.Tensor:
    """log p(target | z) in nats, summed over the n dimensions.

    `target` is [..., n]. `parameters` are logits [..., n] for "bernoulli"; means and log variances,
    [..., 2 n], for "gaussian". Leading axes broadcast.
    """
    if likelihood == "bernoulli":
        # log sigmoid(l) and log sigmoid(-l) in one: it neither overflows nor cancels for large |l|.
        cost = ops.maximum(parameters, 0.0) - parameters * target + ops.log1p(ops.exp(-ops.abs(parameters)))
        return -ops.sum(cost, axis=-1)
    mean, log_variance = ops.split(parameters, 2, axis=-1)
    error = ops.square(target - mean) * ops.exp(-log_variance)
    return -0.5 * ops.sum(error + log_variance + math.log(2.0 * math.pi), axis=-1)


def expected_value(parameters: tf.Tensor, likelihood: Likelihood) -> tf.Tensor:
    """The mean of p(x | z), [..., n], from the parameters that `log_likelihood` takes."""
    if likelihood == "bernoulli":
        return ops.sigmoid(parameters)
    return ops.split(parameters, 2, axis=-1)[0]


def log_ratio(z: tf.Tensor, mean: tf.Tensor, log_variance: tf.Tensor) -> tf.Tensor:
    """log p(z) - log q(z | x) in nats, [..., k], for draws `z` [..., k, latent] of q.

    `mean` and `log_variance` are [..., latent]; the two log(2 pi) cancel.
    """
    mean, log_variance = ops.expand_dims(mean, -2), ops.expand_dims(log_variance, -2)
    standardized = ops.square(z - mean) * ops.exp(-log_variance)
    return 0.5 * ops.sum(standardized + log_variance - ops.square(z), axis=-1)


def importance_bound(log_weights: tf.Tensor) -> tf.Tensor:
    """log of the mean importance weight over the last axis, in nats: [..., k] becomes [...].

    Burda et al. 2016, eq. 8; with k = 1 it is the ELBO. The logarithm of a sum is taken after the
    largest weight is out, so weights of any size are safe.
    """
    return ops.logsumexp(log_weights, axis=-1) - math.log(log_weights.shape[-1])
