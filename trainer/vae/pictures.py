"""Pictures of a trained VAE, as PNG (images) and SVG (charts).

Each function returns the bytes or the text; `write_all` puts them into a folder.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from scipy.stats import norm

from trainer.charts import bar_chart, line_chart, scatter_chart
from trainer.spec import narrow
from trainer.vae.builder import VariationalAutoencoder
from trainer.vae.evaluation import posterior
from trainer.vae.signatures import decode, reconstruct, sample

# An image smaller than this on the page is enlarged by whole factors, so that pixels stay sharp.
SMALLEST_TILE = 28
GAP = 2
_POINTS = 2_000


def png(image: np.ndarray) -> bytes:
    """A greyscale PNG file from values [height, width] in [0, 1]; others are cut off."""
    pixels = np.rint(np.clip(np.nan_to_num(image), 0, 1) * 255).astype(np.uint8)
    return narrow(tf.io.encode_png(pixels[:, :, np.newaxis]).numpy(), bytes)


def tile(vectors: np.ndarray, columns: int) -> np.ndarray:
    """Vectors [rows, n] as images, row by row in a grid of `columns`: one image [height, width].

    n = side * side makes square images; other lengths become one line of n pixels each.
    """
    rows, n = vectors.shape
    side = math.isqrt(n)
    shape = (side, side) if side * side == n else (1, n)
    factor = max(1, math.ceil(SMALLEST_TILE / max(shape)))
    images = np.kron(vectors.reshape(rows, *shape), np.ones((1, factor, factor)))
    height, width = images.shape[1] + GAP, images.shape[2] + GAP
    lines = math.ceil(rows / columns)
    page = np.full((lines * height + GAP, columns * width + GAP), 0.5)
    for index, image in enumerate(images):
        top, left = GAP + index // columns * height, GAP + index % columns * width
        page[top : top + height - GAP, left : left + width - GAP] = image
    return page


def reconstructions(model: VariationalAutoencoder, vectors: np.ndarray) -> bytes:
    """PNG: 16 originals above what z = mean gives back."""
    originals = vectors[:16].astype(np.float32)
    returned = reconstruct(model, originals)["vector"].numpy()
    return png(tile(np.concatenate(_to_range(originals, returned)), len(originals)))


def samples(model: VariationalAutoencoder) -> bytes:
    """PNG: 64 vectors decoded from the prior, in a square grid."""
    (drawn,) = _to_range(sample(model, seed=1, count=64)["vector"].numpy())
    return png(tile(drawn, 8))


def latent_grid(model: VariationalAutoencoder, side: int = 20) -> bytes:
    """PNG: decoded from a grid over two latent dimensions, evenly spaced in the prior's probability.

    Raises:
        ValueError: the model has not two latent dimensions.
    """
    if model.config.latent != 2:
        raise ValueError(f"a grid needs 2 latent dimensions, the model has {model.config.latent}")
    line = norm.ppf((np.arange(side) + 0.5) / side)
    latents = np.stack(np.meshgrid(line, line[::-1]), axis=-1).reshape(-1, 2).astype(np.float32)
    (decoded,) = _to_range(decode(model, latents)["vector"].numpy())
    return png(tile(decoded, side))


def latent_scatter(
    model: VariationalAutoencoder, vectors: np.ndarray, labels: Sequence[object] | None = None
) -> str:
    """SVG: posterior means of the first 2,000 vectors, coloured by label.

    More than two latent dimensions are shown by the two whose means vary most.
    """
    means, _ = posterior(model, vectors[:_POINTS])
    if means.shape[1] == 1:
        means = np.concatenate([means, np.zeros_like(means)], axis=1)
    first, second = sorted(np.argsort(-means.var(axis=0), kind="stable")[:2])
    names = None if labels is None else [str(label) for label in labels[:_POINTS]]
    axes = (f"latent {first}", f"latent {second}")
    return scatter_chart(means[:, [first, second]], names, "Posterior means", *axes)


def write_all(
    folder: Path,
    model: VariationalAutoencoder,
    vectors: np.ndarray,
    kl_by_dimension: Sequence[float],
    history: Mapping[str, Sequence[float]],
    labels: Sequence[object] | None = None,
) -> list[Path]:
    """Write every picture that suits the model into `folder` and return the files.

    `vectors` [rows, n] are unseen ones, `labels` [rows] belong to them.
    """
    parts = ("negative_elbo", "reconstruction", "kl")
    names = [prefix + part for part in parts for prefix in ("", "val_")]
    curves = {name: history[name] for name in names if name in history}
    nats = sorted(kl_by_dimension, reverse=True)
    pictures: dict[str, bytes | str] = {
        "reconstructions.png": reconstructions(model, vectors),
        "samples.png": samples(model),
        "latent_scatter.svg": latent_scatter(model, vectors, labels),
        "kl_by_dimension.svg": bar_chart(nats, "KL by latent dimension", "rank", "nats"),
        "loss_curves.svg": line_chart(curves, "Loss and its parts", "epoch", "nats per example"),
    }
    if model.config.latent == 2:
        pictures["latent_grid.png"] = latent_grid(model)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in pictures.items():
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return [folder / name for name in pictures]


def _to_range(*parts: np.ndarray) -> list[np.ndarray]:
    """The parts on one common scale from 0 to 1; values already there stay."""
    low = min(0.0, *(float(part.min(initial=0.0)) for part in parts))
    high = max(1.0, *(float(part.max(initial=1.0)) for part in parts))
    return [(part - low) / (high - low) for part in parts]
