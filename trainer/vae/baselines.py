"""Baselines that a VAE must beat: the mean vector, and PCA with as many dimensions, both in nats per example.

A squared error is no number of nats. So both are made into models of the vectors with the same likelihood
and the same prior as the VAE, and their -log p(x), or an upper bound of it, stands beside the VAE's.
"""

from __future__ import annotations

import numpy as np
from sklearn.decomposition import PCA

from trainer.vae.vae_config import Vae

# A linear model gives probabilities below 0 and above 1: which limit suits is found on the training vectors.
LIMITS = (0.001, 0.003, 0.01, 0.02, 0.03, 0.05, 0.1)
# Its noise is that of squared errors, too little for a cross-entropy: by how much is found the same way.
NOISE_FACTORS = (1.0, 2.0, 4.0, 8.0, 16.0)
ROWS_TO_FIND_BOTH = 5_000
# A column that never changes has no variance, and a density without limit; as `layers.LOG_VARIANCE_FLOOR`.
SMALLEST_VARIANCE = float(np.exp(-10.0))


def mean_nll(config: Vae, train: np.ndarray, vectors: np.ndarray) -> float:
    """-log p of `vectors` [rows, n] if each dimension is drawn by itself, as it is in `train`.

    Bernoulli: with the mean value of the dimension (half a count added to each side, so that no pixel is
    impossible). Gaussian: with its mean and variance.
    """
    train, vectors = train.astype(np.float64), vectors.astype(np.float64)
    if config.likelihood == "bernoulli":
        lit = (train.sum(axis=0) + 0.5) / (len(train) + 1.0)
        return float(_cross_entropy(vectors, lit).mean())
    variance = np.maximum(train.var(axis=0), SMALLEST_VARIANCE)
    error = (vectors - train.mean(axis=0)) ** 2 / variance
    return float(0.5 * (error + np.log(2 * np.pi * variance)).sum(axis=1).mean())


def pca_nll(config: Vae, train: np.ndarray, vectors: np.ndarray, seed: int = 1) -> float:
    """-log p, or an upper bound of it, of `vectors` [rows, n] under PCA with `config.latent` dimensions.

    Gaussian: probabilistic PCA (Tipping & Bishop 1999, eq. 4 and 8), whose -log p(x) is exact.
    Bernoulli: its decoder x = W z + mean cut off to probabilities, its posterior N(M^-1 W' (x - mean),
    noise M^-1) (eq. 6) and the prior N(0, 1) make a linear VAE; the number is that one's -ELBO, one draw
    a row. So PCA pays for its latents as the VAE does.
    """
    latent = min(config.latent, min(train.shape) - 1)
    pca = PCA(latent, random_state=seed, svd_solver="full" if train.shape[1] < 2_000 else "auto").fit(train)
    noise = max(float(pca.noise_variance_), SMALLEST_VARIANCE)
    if config.likelihood == "gaussian":
        pca.noise_variance_ = noise
        return -float(pca.score(vectors.astype(np.float64)))  # the square of 1e20 is no float32
    generator = np.random.default_rng(seed)
    tried = train[:ROWS_TO_FIND_BOTH]
    choices = [(noise * factor, limit) for factor in NOISE_FACTORS for limit in LIMITS]
    best = min(choices, key=lambda choice: _pca_bound(pca, choice[0], choice[1], tried, generator))
    return _pca_bound(pca, best[0], best[1], vectors, generator)


def pca_error(config: Vae, train: np.ndarray, vectors: np.ndarray, seed: int = 1) -> np.ndarray:
    """Squared reconstruction error of each of `vectors`, [rows]: the usual anomaly score to compare with."""
    pca = PCA(min(config.latent, min(train.shape)), random_state=seed).fit(train)
    return ((vectors - pca.inverse_transform(pca.transform(vectors))) ** 2).sum(axis=1)


def _pca_bound(
    pca: PCA, noise: float, limit: float, vectors: np.ndarray, generator: np.random.Generator
) -> float:
    """-ELBO of the linear VAE in nats per example."""
    # Along the principal axes M is diagonal: the axis' variance, of which `noise` is not the latent's.
    variance = np.maximum(pca.explained_variance_, noise)
    scale = np.sqrt(np.maximum(variance - noise, 0.0))
    mean = (vectors - pca.mean_) @ pca.components_.T * scale / variance
    spread = noise / variance
    kl = 0.5 * (mean**2 + spread - 1.0 - np.log(spread)).sum(axis=1)
    draws = mean + np.sqrt(spread) * generator.standard_normal(mean.shape)
    probabilities = (draws * scale) @ pca.components_ + pca.mean_
    return float((kl + _cross_entropy(vectors, np.clip(probabilities, limit, 1.0 - limit))).mean())


def _cross_entropy(vectors: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """-log p(x) of Bernoulli draws in nats, summed over dimensions, [rows]; grey levels are expectations."""
    return -(vectors * np.log(probabilities) + (1.0 - vectors) * np.log1p(-probabilities)).sum(axis=1)
