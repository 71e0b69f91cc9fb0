from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from trainer.vae import baselines, evaluation
from trainer.vae.builder import VariationalAutoencoder
from trainer.vae.vae_config import Vae

NOISE = 0.25


@pytest.fixture
def linear():
    """A linear-Gaussian VAE of 4 values and 2 latents, whose marginal is N(0, W' W + NOISE).

    x = z W + noise; the posterior is N(x B, C), and the encoder has its exact mean with the right (diagonal)
    variances, because the rows of W are orthogonal.
    """
    weights = np.array([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 2.0, -1.0]], np.float32)
    model = VariationalAutoencoder(Vae(encoder=(4,), decoder=(2,), latent=2, likelihood="gaussian"), 4)
    precision = weights @ weights.T / NOISE + np.eye(2)
    covariance = np.linalg.inv(precision).astype(np.float32)
    # A ReLU is linear where all is far above zero: shifted up by 100 before, down after.
    set_layer(model.encoder, "encoder_1", np.eye(4), np.full(4, 100.0))
    gain = weights.T @ covariance / NOISE
    set_layer(model.encoder, "latent_mean", gain, -100.0 * gain.sum(axis=0))
    set_layer(model.encoder, "latent_log_variance", np.zeros((4, 2)), np.log(np.diag(covariance)))
    set_layer(model.decoder, "decoder_1", np.eye(2), np.full(2, 100.0))
    set_layer(model.decoder, "output", weights, -100.0 * weights.sum(axis=0))
    model.decoder.get_layer("output_variance").start_from(np.full(4, NOISE))  # type: ignore[attr-defined]
    marginal = multivariate_normal(np.zeros(4), weights.T @ weights + NOISE * np.eye(4))
    return model, marginal


def set_layer(part, name, kernel, bias):
    part.get_layer(name).set_weights([np.asarray(kernel, np.float32), np.asarray(bias, np.float32)])


def test_both_estimates_are_exact_where_the_posterior_is(linear):
    model, marginal = linear
    vectors = marginal.rvs(50, random_state=1).astype(np.float32)
    exact = -marginal.logpdf(vectors)
    # With the exact posterior every importance weight is p(x) itself, and the ELBO has no gap.
    np.testing.assert_allclose(evaluation.negative_log_likelihood(model, vectors, 10), exact, atol=2e-3)
    bound = evaluation.negative_elbo(model, vectors, samples=4_000)
    np.testing.assert_allclose(bound.negative_elbo, exact, atol=0.15)


def test_importance_sampling_finds_the_marginal_from_a_poor_posterior(linear):
    model, marginal = linear
    vectors = marginal.rvs(500, random_state=1).astype(np.float32)
    exact = -marginal.logpdf(vectors)
    layer = model.encoder.get_layer("latent_log_variance")
    layer.bias.assign(layer.bias + 1.5)
    elbo = evaluation.negative_elbo(model, vectors, samples=1_000).negative_elbo
    bounds = [evaluation.negative_log_likelihood(model, vectors, draws).mean() for draws in (1, 4, 16, 2_000)]
    assert elbo.mean() > exact.mean() + 1
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[0] == pytest.approx(elbo.mean(), abs=0.5)
    assert bounds[-1] == pytest.approx(exact.mean(), abs=0.03)


def test_estimates_do_not_depend_on_how_rows_are_batched(small, stripes, monkeypatch):
    model = small()
    whole = evaluation.negative_log_likelihood(model, stripes, 2_000).mean()
    monkeypatch.setattr(evaluation, "DECODED_AT_ONCE", 700)
    parts = evaluation.negative_log_likelihood(model, stripes, 2_000)
    assert parts.shape == (64,)
    assert parts.mean() == pytest.approx(whole, abs=0.01)


def test_estimates_repeat_with_the_same_seed(small, stripes):
    model = small()
    first, again, other = (
        evaluation.negative_elbo(model, stripes, seed=seed).negative_elbo for seed in (1, 1, 2)
    )
    assert (first == again).all()
    assert (first != other).any()


def test_every_row_and_every_draw_has_noise_of_its_own(small, stripes, monkeypatch):
    model, alike = small(), np.tile(stripes[:1], (4, 1))
    monkeypatch.setattr(evaluation, "DECODED_AT_ONCE", 200)
    # Chunks of 100 draws, and two rows in a batch.
    once = evaluation.negative_log_likelihood(model, alike, 100)
    assert len(set(once)) == 4
    # The same draws twice would leave the mean of their weights as it is.
    assert (np.abs(evaluation.negative_log_likelihood(model, alike, 200) - once) > 1e-5).all()


def test_no_rows_give_no_numbers_and_no_draws_are_refused(small, stripes):
    assert evaluation.negative_log_likelihood(small(), stripes[:0], 10).shape == (0,)
    with pytest.raises(ValueError, match="samples = 0"):
        evaluation.negative_log_likelihood(small(), stripes, 0)


def test_the_summary_adds_up(small, stripes):
    quality = evaluation.evaluate(small(), stripes, importance_samples=100)
    assert quality.negative_elbo == pytest.approx(quality.reconstruction + quality.kl)
    assert quality.kl == pytest.approx(sum(quality.kl_by_dimension))
    assert quality.nll < quality.negative_elbo
    assert 0 <= quality.active_units <= len(quality.kl_by_dimension)


def test_active_units_are_those_whose_mean_varies():
    means = np.stack([np.linspace(-1, 1, 50), np.full(50, 7.0), np.linspace(0, 0.1, 50)], axis=1)
    assert evaluation.active_units(means).tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("active", "name"),
    [([True, True], "none"), ([True, False], "unused_dimensions"), ([False, False], "posterior_collapse")],
)
def test_collapse_is_named(active, name):
    found, verdict = evaluation.find_collapse(np.array(active), np.array([1.0, 0.5]))
    assert found == name
    assert "latent dimensions" in verdict


def test_a_decoder_that_ignores_z_is_seen(small, stripes):
    model = small()
    for name in ("latent_mean", "latent_log_variance"):
        set_layer(model.encoder, name, np.zeros((3, 2)), np.zeros(2))
    quality = evaluation.evaluate(model, stripes, importance_samples=10)
    assert (quality.collapse, quality.active_units, quality.kl) == ("posterior_collapse", 0, 0.0)


def test_the_mean_vector_costs_the_entropy_of_its_pixels():
    train = np.tile(np.array([[1.0, 0.0], [0.0, 0.0]], np.float32), (5_000, 1))
    assert baselines.mean_nll(Vae(), train, train) == pytest.approx(np.log(2), abs=0.01)
    spread = np.random.default_rng(1).normal(3.0, 2.0, (20_000, 1))
    expected = -norm.logpdf(spread, 3.0, 2.0).mean()
    assert baselines.mean_nll(Vae(likelihood="gaussian"), spread, spread) == pytest.approx(expected, abs=0.01)


def test_pca_in_nats_is_the_marginal_of_a_linear_model(linear):
    _, marginal = linear
    train = marginal.rvs(20_000, random_state=1)
    gaussian = Vae(latent=2, likelihood="gaussian")
    exact = -marginal.logpdf(train).mean()
    assert baselines.pca_nll(gaussian, train, train) == pytest.approx(exact, abs=0.02)


def test_pca_stands_between_the_mean_and_nothing(stripes):
    config = Vae(latent=1)
    mean, pca = baselines.mean_nll(config, stripes, stripes), baselines.pca_nll(config, stripes, stripes)
    # Two kinds of stripe: told apart, for log 2, they leave the entropy of their own grey levels.
    entropy = (
        -(stripes * np.log(stripes + 1e-9) + (1 - stripes) * np.log(1 - stripes + 1e-9)).sum(axis=1).mean()
    )
    assert entropy < pca < mean
    # One direction holds both kinds: what is left is their noise, 6 values of variance 0.2^2 / 12.
    assert baselines.pca_error(config, stripes, stripes).mean() == pytest.approx(5 * 0.2**2 / 12, rel=0.2)
