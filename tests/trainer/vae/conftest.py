from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from trainer.vae.builder import VariationalAutoencoder
from trainer.vae.vae_config import Vae


@pytest.fixture(scope="session")
def small() -> Callable[..., VariationalAutoencoder]:
    """An untrained model of 6 values, 3 hidden units and 2 latents."""

    def make(seed: int = 1, **options: object) -> VariationalAutoencoder:
        return VariationalAutoencoder(Vae(**{"encoder": (3,), "latent": 2, **options}), 6, seed)

    return make


@pytest.fixture(scope="session")
def stripes() -> np.ndarray:
    """Vectors of 6 values in [0, 1] of two kinds, with a little noise: [64, 6]."""
    kinds = np.array([[0.9, 0.9, 0.9, 0.1, 0.1, 0.1], [0.1, 0.1, 0.1, 0.9, 0.9, 0.9]])
    noise = np.random.default_rng(1).uniform(-0.1, 0.1, (64, 6))
    rows = (kinds[np.arange(64) % 2] + noise).astype(np.float32)
    rows.flags.writeable = False
    return rows
