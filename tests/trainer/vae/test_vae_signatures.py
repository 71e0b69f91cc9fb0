from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from trainer.vae import evaluation, signatures


@pytest.fixture(scope="module")
def served(small, stripes, tmp_path_factory):
    model = small(score_samples=4)
    module = signatures.Signatures(model, signatures.anomaly_threshold(model, stripes))
    path = str(tmp_path_factory.mktemp("vae"))
    tf.saved_model.save(module, path, signatures=module.served())
    return model, module, tf.saved_model.load(path).signatures


def integer(value):
    return tf.constant(value, tf.int64)


def test_the_reloaded_model_answers_the_same(served, stripes):
    _, module, loaded = served
    rows = tf.constant(stripes)
    for name in ("score", "encode", "reconstruct"):
        expected = getattr(module, name)(rows)
        answer = loaded[name](vector=rows)
        assert set(answer) == set(expected)
        for key in expected:
            np.testing.assert_allclose(answer[key], expected[key], rtol=1e-5)
    default = loaded["serving_default"](vector=rows)
    np.testing.assert_array_equal(default["elbo"], loaded["score"](vector=rows)["elbo"])


def test_reconstruct_is_decode_of_encode_and_deterministic(served, stripes):
    _, _, loaded = served
    rows = tf.constant(stripes)
    returned = loaded["reconstruct"](vector=rows)["vector"]
    decoded = loaded["decode"](latent=loaded["encode"](vector=rows)["mean"])["vector"]
    np.testing.assert_array_equal(returned, loaded["reconstruct"](vector=rows)["vector"])
    np.testing.assert_allclose(returned, decoded, rtol=1e-6)


def test_a_sample_repeats_with_its_seed_and_grows_at_its_end(served):
    _, _, loaded = served
    five, again, nine, other = (
        loaded["sample"](seed=integer(seed), count=integer(count))["vector"].numpy()
        for seed, count in ((1, 5), (1, 5), (1, 9), (2, 5))
    )
    assert five.shape == (5, 6)
    assert (five == again).all()
    assert (five != other).any()
    np.testing.assert_allclose(nine[:5], five, rtol=1e-6)


def test_score_is_the_elbo_and_does_not_depend_on_the_batch(served, stripes):
    model, _, loaded = served
    answer = loaded["score"](vector=tf.constant(stripes))
    np.testing.assert_allclose(answer["elbo"], -(answer["reconstruction"] + answer["kl"]), rtol=1e-6)
    alone = loaded["score"](vector=tf.constant(stripes[7:8]))
    np.testing.assert_allclose(alone["elbo"][0], answer["elbo"][7], rtol=1e-5)
    bound = evaluation.negative_elbo(model, stripes, samples=1_000)
    np.testing.assert_allclose(answer["kl"], bound.kl, rtol=1e-4)
    assert -answer["elbo"].numpy().mean() == pytest.approx(bound.negative_elbo.mean(), abs=0.3)
    assert answer["anomaly"].numpy().mean() == pytest.approx(1 / 64, abs=1e-6)


def test_the_score_at_the_mean_is_that_of_the_reconstruction(small, stripes):
    model = small()
    answer = signatures.score(model, tf.constant(stripes), -np.inf)
    returned = signatures.reconstruct(model, tf.constant(stripes))["vector"].numpy()
    expected = -(stripes * np.log(returned) + (1 - stripes) * np.log1p(-returned)).sum(axis=1)
    np.testing.assert_allclose(answer["reconstruction"], expected, rtol=1e-4)
    assert not answer["anomaly"].numpy().any()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -3.0, 255.0])
def test_impossible_values_are_anomalies(served, value):
    _, _, loaded = served
    rows = np.full((2, 6), 0.5, np.float32)
    rows[1, 3] = value
    assert loaded["score"](vector=tf.constant(rows))["anomaly"].numpy()[1]


def test_an_empty_batch_has_an_empty_answer(served):
    _, _, loaded = served
    none = tf.zeros([0, 6])
    assert {key: value.shape[0] for key, value in loaded["score"](vector=none).items()} == {
        "elbo": 0, "reconstruction": 0, "kl": 0, "anomaly": 0,
    }  # fmt: skip
    assert loaded["encode"](vector=none)["mean"].shape == (0, 2)
    assert loaded["reconstruct"](vector=none)["vector"].shape == (0, 6)
    assert loaded["decode"](latent=tf.zeros([0, 2]))["vector"].shape == (0, 6)
    assert loaded["sample"](seed=integer(1), count=integer(0))["vector"].shape == (0, 6)


@pytest.mark.parametrize(
    ("name", "inputs", "words"),
    [
        ("encode", {"vector": tf.zeros([2, 5])}, "vector: each row must hold 6 values"),
        ("score", {"vector": tf.zeros([2, 7])}, "vector: each row must hold 6 values"),
        ("decode", {"latent": tf.zeros([2, 3])}, "latent: each row must hold 2 values"),
        ("sample", {"seed": integer(1), "count": integer(-1)}, "sample: count is negative"),
        ("sample", {"seed": integer(1), "count": integer(10**9)}, "sample: count is more than 10000"),
    ],
)
def test_bad_input_is_answered_with_a_sentence(served, name, inputs, words):
    _, _, loaded = served
    with pytest.raises(tf.errors.InvalidArgumentError, match=words):
        loaded[name](**inputs)


def test_raw_vectors_go_in_and_come_out(small, stripes):
    model = small()
    module = signatures.Signatures(
        model, 0.0, scale=lambda raw: raw / 255.0, unscale=lambda value: value * 255.0
    )
    plain = signatures.Signatures(model, 0.0)
    raw, scaled = tf.constant(stripes * 255), tf.constant(stripes)
    np.testing.assert_allclose(module.score(raw)["elbo"], plain.score(scaled)["elbo"], rtol=1e-4)
    returned, expected = module.reconstruct(raw)["vector"], plain.reconstruct(scaled)["vector"] * 255
    np.testing.assert_allclose(returned, expected, rtol=1e-4)
