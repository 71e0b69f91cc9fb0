"""The seed of a configuration decides what a training of vectors draws: first weights and order of rows."""

from __future__ import annotations

import numpy as np
import pytest

from tests.trainer.small_trainings import WIDTH, data_of, spec_of
from trainer.dense import builders
from trainer.dense import family as dense
from trainer.vae import training as vae
from trainer.vae.builder import VariationalAutoencoder


class Drawn(Exception):
    """All that a training draws beforehand: it need not go on."""


@pytest.fixture
def drawn(monkeypatch):
    """The seeds of the draws, of which the last one ends the training."""
    seeds: list[int] = []

    def record(module, last):
        def draws(seed, epochs, count):
            seeds.append(seed)
            if len(seeds) == last:
                raise Drawn
            return np.zeros((epochs, count), np.int64)

        monkeypatch.setattr(module, "draws", draws)
        return seeds

    return record


@pytest.mark.parametrize("seed", [3, 8])
def test_a_vae_draws_weights_order_and_binary_values_by_it(monkeypatch, drawn, seed):
    spec, seeds, weights = spec_of("vae", seed=seed), drawn(vae, 2), []

    def build(config, dimension, seed):
        weights.append(seed)
        return VariationalAutoencoder(config, dimension, seed)

    monkeypatch.setattr(vae, "VariationalAutoencoder", build)
    vectors = np.random.default_rng(0).uniform(size=(20, WIDTH)).astype(np.float32)
    with pytest.raises(Drawn):
        vae.train(spec.model, spec.training, vectors, vectors)
    assert (weights, seeds) == ([seed], [seed, seed + 1])


@pytest.mark.parametrize("seed", [3, 8])
def test_a_classifier_draws_weights_and_order_by_it(tmp_path, drawn, seed):
    spec, seeds = spec_of("dense", seed=seed), drawn(dense, 1)
    with pytest.raises(Drawn):
        dense.fit(data_of("dense", tmp_path), spec)
    assert seeds == [seed]
    built, expected = dense._build(spec, spec.training), builders.build(spec.model, WIDTH, 2, seed)
    for a, b in zip(built.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
