"""Measures of a trained VAE: -ELBO, -log p(x), nats that each latent carries, collapse of the posterior.

All numbers are nats per example, summed over dimensions. Vectors are taken as they come: where the model
learned from binary ones, `training.evaluation_vectors` makes them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import tensorflow as tf

from trainer.vae import losses
from trainer.vae.builder import VariationalAutoencoder

# Burda et al. 2016, section 5.2: a latent whose posterior mean varies less than this is inactive.
ACTIVE_VARIANCE = 0.01
# Rows times draws that are decoded at once: 784 floats each, so about 30 MB, and the cores stay busy.
DECODED_AT_ONCE = 10_000

Collapse = Literal["none", "unused_dimensions", "posterior_collapse"]


@dataclass(frozen=True)
class Bound:
    """-ELBO of each row in its two parts, [rows] each, and the KL of each latent, [rows, latent]."""

    reconstruction: np.ndarray
    kl_by_dimension: np.ndarray

    @property
    def kl(self) -> np.ndarray:
        """KL(q(z | x) || p(z)) of each row, [rows]."""
        return self.kl_by_dimension.sum(axis=1)

    @property
    def negative_elbo(self) -> np.ndarray:
        """Reconstruction plus KL of each row, [rows]."""
        return self.reconstruction + self.kl


@dataclass(frozen=True)
class Quality:
    """A VAE's numbers on one split."""

    negative_elbo: float
    reconstruction: float
    kl: float
    nll: float
    kl_by_dimension: tuple[float, ...]
    active_units: int
    collapse: Collapse
    verdict: str


def evaluate(
    model: VariationalAutoencoder, vectors: np.ndarray, importance_samples: int = 1_000, seed: int = 1
) -> Quality:
    """All numbers of `vectors` [rows, n]; `importance_samples` draws a row go into -log p(x)."""
    means, _ = posterior(model, vectors)
    bound = negative_elbo(model, vectors, seed=seed)
    kl: np.ndarray = bound.kl_by_dimension.mean(axis=0)
    active = active_units(means)
    collapse, verdict = find_collapse(active, kl)
    return Quality(
        negative_elbo=float(bound.negative_elbo.mean()),
        reconstruction=float(bound.reconstruction.mean()),
        kl=float(kl.sum()),
        nll=float(negative_log_likelihood(model, vectors, importance_samples, seed).mean()),
        kl_by_dimension=tuple(float(value) for value in kl),
        active_units=int(active.sum()),
        collapse=collapse,
        verdict=verdict,
    )


def posterior(model: VariationalAutoencoder, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and log variance of q(z | x), each [rows, latent]."""
    batches = np.array_split(vectors, range(DECODED_AT_ONCE, len(vectors), DECODED_AT_ONCE))
    parts = [model.encoder(tf.constant(batch, tf.float32)) for batch in batches]
    means, log_variances = ([part[at].numpy() for part in parts] for at in (0, 1))
    return np.concatenate(means), np.concatenate(log_variances)


def negative_elbo(
    model: VariationalAutoencoder, vectors: np.ndarray, samples: int = 8, seed: int = 1
) -> Bound:
    """-ELBO of each row: the KL in closed form, the reconstruction averaged over `samples` draws.

    Kingma & Welling 2014, eq. 7. The same seed gives the same numbers, whatever the batch size.
    """
    means, log_variances = posterior(model, vectors)
    kl = 0.5 * (means**2 + np.exp(log_variances) - 1.0 - log_variances)
    estimates = _by_draws(model, vectors, samples, seed, lambda likely, _: -tf.reduce_mean(likely, axis=0))
    # Every chunk of draws is a mean over as many draws as the others.
    return Bound(estimates.mean(axis=0), kl)


def negative_log_likelihood(
    model: VariationalAutoencoder, vectors: np.ndarray, samples: int = 1_000, seed: int = 1
) -> np.ndarray:
    """-log p(x) of each row, [rows], estimated with `samples` draws from q(z | x).

    Burda et al. 2016, eq. 8, with k = `samples`: an upper bound of -log p(x) in expectation that tightens
    as k grows. Weights stay logarithms throughout, so none of them under- or overflows.
    """
    totals = _by_draws(model, vectors, samples, seed, lambda *parts: tf.reduce_logsumexp(sum(parts), axis=0))
    return math.log(samples) - np.logaddexp.reduce(totals, axis=0)


def _by_draws(
    model: VariationalAutoencoder,
    vectors: np.ndarray,
    samples: int,
    seed: int,
    reduce: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
) -> np.ndarray:
    """`reduce` of the log likelihoods and log ratios [draws, rows] of each chunk of draws: [chunks, rows].

    Rows are padded to whole batches and draws divided into equal chunks, so that XLA compiles one shape.
    """
    if samples < 1:
        raise ValueError(f"samples = {samples}: at least one draw a row is needed")
    encoder, decoder, latent = model.encoder, model.decoder, model.config.latent
    likelihood = model.config.likelihood
    chunk = max(size for size in range(1, min(samples, 100) + 1) if samples % size == 0)
    batch = max(1, min(len(vectors), DECODED_AT_ONCE // chunk))

    def estimate_chunk(rows: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
        statistics: list[tf.Tensor] = encoder(rows)
        mean, log_variance = statistics
        draws = mean + tf.exp(0.5 * log_variance) * noise
        parameters = tf.reshape(decoder(tf.reshape(draws, [-1, latent])), [chunk, batch, -1])
        # (z - mean) / deviation is the noise itself: no division, no rounding.
        ratios = 0.5 * tf.reduce_sum(tf.square(noise) + log_variance - tf.square(draws), axis=-1)
        return reduce(losses.log_likelihood(rows, parameters, likelihood), ratios)

    compiled = tf.function(estimate_chunk, jit_compile=True).get_concrete_function(
        tf.TensorSpec([batch, model.dimension], tf.float32), tf.TensorSpec([chunk, batch, latent], tf.float32)
    )
    results = [np.zeros((samples // chunk, 0))]
    for start in range(0, len(vectors), batch):
        rows = vectors[start : start + batch].astype(np.float32)
        padded = tf.constant(np.pad(rows, ((0, batch - len(rows)), (0, 0))))
        first = (start // batch) * (samples // chunk)
        parts = []
        for key in range(first, first + samples // chunk):
            # Drawn outside the compiled function: XLA's random numbers are slow on a CPU.
            noise = tf.random.stateless_normal([chunk, batch, latent], seed=[seed, key])
            parts.append(compiled(padded, noise).numpy()[: len(rows)])
        results.append(np.stack(parts))
    return np.concatenate(results, axis=1)


def active_units(means: np.ndarray) -> np.ndarray:
    """True for the latents whose posterior means [rows, latent] vary over the data: bool [latent].

    Burda et al. 2016, section 5.2: A_u = Var_x(E_q(u|x)[u]) > 0.01.
    """
    return np.var(means, axis=0) > ACTIVE_VARIANCE


def find_collapse(active: np.ndarray, kl_by_dimension: np.ndarray) -> tuple[Collapse, str]:
    """Name what became of the latents, and one sentence about it, from [latent] each."""
    latent, count, nats = len(active), int(active.sum()), float(kl_by_dimension.sum())
    if count == 0:
        return "posterior_collapse", (
            f"none of the {latent} latent dimensions depends on the input (KL {nats:.3f} nats): the decoder "
            "ignores z. Lower beta, or set kl_warmup_epochs or free_bits"
        )
    if count < latent:
        idle = f"{latent - count} of {latent} latent dimensions carry nothing; {nats:.1f} nats"
        return "unused_dimensions", idle
    return "none", f"all {latent} latent dimensions carry information, {nats:.1f} nats together"
