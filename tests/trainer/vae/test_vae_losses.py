from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.stats import bernoulli, norm

from trainer.vae import losses
from trainer.vae.layers import LOG_VARIANCE_FLOOR, LearnedVariance, Sampling

RANDOM = np.random.default_rng(0)
MEAN = RANDOM.normal(size=(4, 3)).astype(np.float32)
LOG_VARIANCE = RANDOM.normal(size=(4, 3)).astype(np.float32)


def numbers(tensor):
    return keras.ops.convert_to_numpy(tensor)


def test_kl_is_zero_at_the_prior_and_positive_elsewhere():
    assert numbers(losses.kl_by_dimension(np.zeros((2, 3)), np.zeros((2, 3)))).tolist() == [[0.0] * 3] * 2
    assert (numbers(losses.kl_by_dimension(MEAN, LOG_VARIANCE)) > 0).all()


def test_kl_has_its_known_value():
    # KL(N(1, 4) || N(0, 1)) = (1 + 4 - 1 - log 4) / 2
    assert numbers(losses.kl_by_dimension(np.array(1.0), np.log(4.0))) == pytest.approx(2 - np.log(2))


def test_kl_agrees_with_monte_carlo():
    deviation = np.exp(LOG_VARIANCE / 2)
    draws = MEAN + deviation * RANDOM.normal(size=(200_000, 4, 3))
    estimate = (norm.logpdf(draws, MEAN, deviation) - norm.logpdf(draws)).mean(axis=0)
    np.testing.assert_allclose(numbers(losses.kl_by_dimension(MEAN, LOG_VARIANCE)), estimate, atol=0.03)


def test_log_ratio_is_log_prior_minus_log_posterior():
    deviation = np.exp(LOG_VARIANCE / 2)
    draws = RANDOM.normal(size=(4, 5, 3)).astype(np.float32)
    posterior = norm.logpdf(draws, MEAN[:, None], deviation[:, None])
    expected = (norm.logpdf(draws) - posterior).sum(axis=-1)
    np.testing.assert_allclose(numbers(losses.log_ratio(draws, MEAN, LOG_VARIANCE)), expected, rtol=1e-4)


def test_bernoulli_likelihood_is_the_probability_of_the_bits():
    logits = RANDOM.normal(size=(4, 6)).astype(np.float32)
    bits = (RANDOM.random((4, 6)) < 0.5).astype(np.float32)
    expected = bernoulli.logpmf(bits, 1 / (1 + np.exp(-logits))).sum(axis=1)
    np.testing.assert_allclose(numbers(losses.log_likelihood(bits, logits, "bernoulli")), expected, rtol=1e-5)


def test_bernoulli_likelihood_stays_finite_at_extreme_logits():
    logits = np.array([[1e4, -1e4], [-1e4, 1e4]], np.float32)
    bits = np.array([[1, 0], [1, 0]], np.float32)
    assert numbers(losses.log_likelihood(bits, logits, "bernoulli")).tolist() == [0.0, -2e4]


def test_gaussian_likelihood_is_the_density():
    target, mean, log_variance = RANDOM.normal(size=(3, 4, 6)).astype(np.float32)
    parameters = np.concatenate([mean, log_variance], axis=1)
    expected = norm.logpdf(target, mean, np.exp(log_variance / 2)).sum(axis=1)
    np.testing.assert_allclose(
        numbers(losses.log_likelihood(target, parameters, "gaussian")), expected, rtol=1e-5
    )


def test_expected_value_is_probability_or_mean():
    parameters = np.array([[0.0, np.log(3.0)]])
    np.testing.assert_allclose(
        numbers(losses.expected_value(parameters, "bernoulli")), [[0.5, 0.75]], rtol=1e-6
    )
    assert numbers(losses.expected_value(parameters, "gaussian")).tolist() == [[0.0]]


def test_leading_axes_stay():
    target = RANDOM.normal(size=(2, 1, 6)).astype(np.float32)
    mean, log_variance = RANDOM.normal(size=(2, 2, 4, 6)).astype(np.float32)
    parameters = np.concatenate([mean, log_variance], axis=-1)
    expected = norm.logpdf(target, mean, np.exp(log_variance / 2)).sum(axis=-1)
    np.testing.assert_allclose(
        numbers(losses.log_likelihood(target, parameters, "gaussian")), expected, rtol=1e-5
    )
    np.testing.assert_array_equal(numbers(losses.expected_value(parameters, "gaussian")), mean)
    np.testing.assert_allclose(
        numbers(losses.importance_bound(mean)), np.log(np.exp(mean).mean(axis=-1)), atol=1e-6
    )


def test_importance_bound_of_one_draw_is_its_weight():
    assert numbers(losses.importance_bound(np.array([[-3.0], [2.0]]))).tolist() == [-3.0, 2.0]


def test_importance_bound_survives_weights_no_float_can_hold():
    bound = numbers(losses.importance_bound(np.array([[-2000.0, -2000.0], [2000.0, -np.inf]])))
    np.testing.assert_allclose(bound, [-2000.0, 2000.0 - np.log(2.0)])


def test_importance_bound_grows_with_the_draws():
    weights = RANDOM.normal(scale=2.0, size=(20_000, 8)).astype(np.float32)
    bounds = [
        float(numbers(losses.importance_bound(weights.reshape(-1, draws))).mean()) for draws in (1, 2, 4, 8)
    ]
    # The log of the mean weight, exp(2^2 / 2), is what they approach from below.
    assert bounds == sorted(bounds)
    assert bounds[0] == pytest.approx(0.0, abs=0.05)
    assert bounds[-1] < 2.0


def test_free_bits_charge_the_floor_and_nothing_below():
    kl = np.array([[0.1, 2.0], [0.3, 4.0]], np.float32)
    assert float(losses.free_bits_kl(kl, 0.5)) == pytest.approx(0.5 + 3.0)
    assert float(losses.free_bits_kl(kl, 0.0)) == pytest.approx(0.2 + 3.0)


def test_free_bits_are_of_the_mean_over_the_batch_and_not_of_each_row():
    # Means 1 and 2; by rows it would be (1 + 4) / 2 + (2 + 1) / 2.
    assert float(losses.free_bits_kl(np.array([[0.0, 4.0], [2.0, 0.0]]), 1.0)) == pytest.approx(3.0)


def test_draws_have_the_posteriors_mean_and_variance():
    mean, log_variance = np.array([[1.0, -2.0]], np.float32), np.array([[0.0, np.log(0.25)]], np.float32)
    draws = numbers(Sampling(samples=100_000, seed=3)(mean, log_variance, training=True))
    np.testing.assert_allclose(draws.mean(axis=0), [1.0, -2.0], atol=0.02)
    np.testing.assert_allclose(draws.std(axis=0), [1.0, 0.5], atol=0.02)


def test_draws_are_new_in_training_and_the_same_in_inference():
    layer = Sampling(samples=2, seed=3)
    first, second = (numbers(layer(MEAN, LOG_VARIANCE, training=True)) for _ in range(2))
    assert (first != second).all()
    assert first.shape == (8, 3)
    first, second = (numbers(layer(MEAN, LOG_VARIANCE)) for _ in range(2))
    assert (first == second).all()


def test_draws_of_a_row_stand_together():
    certain = np.full((4, 3), -80.0, np.float32)
    draws = numbers(Sampling(samples=2)(MEAN, certain))
    np.testing.assert_allclose(draws, np.repeat(MEAN, 2, axis=0), atol=1e-6)


def test_a_constant_column_has_the_smallest_variance():
    layer = LearnedVariance()
    layer.build((None, 2))
    layer.start_from(np.array([0.0, np.exp(-1.0)]))
    assert numbers(layer(np.array([[3.0, 4.0]], np.float32))).tolist() == [
        [3.0, 4.0, LOG_VARIANCE_FLOOR, -1.0]
    ]


@pytest.mark.parametrize(
    "options", [{}, {"likelihood": "gaussian"}, {"importance_samples": 3}, {"beta": 2.0}]
)
def test_gradients_agree_with_numerical_differences(small, stripes, options):
    """The reparameterized estimator, its noise held: fixed noise makes the loss an ordinary function."""
    model = small(activation="tanh", **options)
    rows = tf.constant(stripes[:4])

    def loss():
        return model.compute_loss(x=rows, y_pred=model(rows, training=False))

    with tf.GradientTape() as tape:
        value = loss()
    for variable, gradient in zip(
        model.trainable_variables, tape.gradient(value, model.trainable_variables), strict=True
    ):
        place = np.unravel_index(np.argmax(np.abs(gradient)), gradient.shape)
        start, step = variable.numpy(), 1e-2
        both = []
        for change in (step, -step):
            moved = start.copy()
            moved[place] += change
            variable.assign(moved)
            both.append(float(loss()))
        variable.assign(start)
        assert (both[0] - both[1]) / (2 * step) == pytest.approx(float(gradient[place]), rel=0.02, abs=2e-3)
