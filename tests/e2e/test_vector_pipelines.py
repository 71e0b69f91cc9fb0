"""The presets of the vector families, end to end with few epochs, and the signatures that come out."""

import json
import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.datasets import load_digits

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]


def run(copies, name, workdir, *settings):
    flags = [part for setting in settings for part in ("--set", setting)]
    command = ["kembar", "run", f"configs/{name}.toml", "--workdir", str(workdir), *flags]
    return copies.run(command, os.environ, ROOT)


def run_preset(copies, name, workdir, *settings):
    ran = run(copies, name, workdir, *settings)
    assert ran.status == 0, ran.err + ran.out
    return json.loads((workdir / "summary.json").read_text())


@pytest.fixture(scope="module")
def digits():
    return load_digits().data.astype(np.float32)


@pytest.fixture(scope="module")
def vae(copies, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("digits_vae")
    settings = ("training.epochs=12", "gates.beat_baselines=false", "gates.ceilings={ negative_elbo = 40 }")
    summary = run_preset(copies, "digits_vae", workdir, *settings)
    return workdir, summary, load(summary)


def load(summary):
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf

    return tf.saved_model.load(summary["model"]["path"])


def ask(model, signature, **inputs):
    return {name: value.numpy() for name, value in model.signatures[signature](**inputs).items()}


def serialized(vectors):
    import tensorflow as tf

    return [
        tf.train.Example(
            features=tf.train.Features(
                feature={"vector": tf.train.Feature(float_list=tf.train.FloatList(value=v))}
            )
        ).SerializeToString()
        for v in vectors
    ]


def test_every_digit_is_in_one_split(vae):
    _, summary, _ = vae
    assert summary["status"] == "pushed"
    assert summary["data"]["rows_read"] == summary["data"]["rows_kept"] == 1_797
    assert sum(summary["data"]["splits"].values()) == 1_797
    assert set(summary["data"]["splits"]) == {"train", "eval", "test"}


def test_metrics_are_nats_an_image_and_stand_beside_the_baselines(vae):
    _, summary, _ = vae
    test = summary["metrics"]["test"]
    assert test["negative_elbo"] == pytest.approx(test["reconstruction"] + test["kl"], abs=1e-3)
    # Jensen: the bound with many draws is tighter than the ELBO.
    assert test["nll"] <= test["negative_elbo"]
    assert 20 < test["nll"] < 40
    assert set(summary["baselines"]) == {"mean_vector", "pca"}
    assert summary["baselines"]["mean_vector"]["test"]["nll"] == pytest.approx(27.0, abs=1.0)


def test_the_signatures_agree_with_each_other(vae, digits):
    import tensorflow as tf

    _, _, model = vae
    vectors = tf.constant(digits[:20])
    scored = ask(model, "serving_default", vector=vectors)
    np.testing.assert_allclose(scored["elbo"], -(scored["reconstruction"] + scored["kl"]), rtol=1e-5)
    again = ask(model, "serve_examples", examples=tf.constant(serialized(digits[:20])))
    for name in scored:
        np.testing.assert_allclose(again[name], scored[name], rtol=1e-5)
    evaluated = ask(model, "evaluate", examples=tf.constant(serialized(digits[:20])))["evaluation"]
    np.testing.assert_allclose(evaluated[:, 0], scored["elbo"], rtol=1e-5)
    encoded = ask(model, "encode", vector=vectors)
    decoded = ask(model, "decode", latent=tf.constant(encoded["mean"]))["vector"]
    rebuilt = ask(model, "reconstruct", vector=vectors)["vector"]
    np.testing.assert_allclose(decoded, rebuilt, atol=1e-4)
    # In the data's own range, and nearer to the digit than the mean digit is.
    assert rebuilt.min() >= 0
    assert rebuilt.max() <= 16
    assert np.square(rebuilt - digits[:20]).mean() < np.square(digits.mean(0) - digits[:20]).mean()


def test_a_row_is_evaluated_the_same_in_any_batch(vae, digits):
    import tensorflow as tf

    _, _, model = vae
    rows = ask(model, "evaluate", examples=tf.constant(serialized(digits)))["evaluation"]
    # Jensen's inequality, row by row: -log p from many draws is below -ELBO from the same draws.
    assert (rows[:, 2] <= rows[:, 1] + 1e-3).all()
    together = ask(model, "evaluate", examples=tf.constant(serialized(digits[:8])))["evaluation"]
    alone = [
        ask(model, "evaluate", examples=tf.constant(serialized([d])))["evaluation"][0] for d in digits[:8]
    ]
    np.testing.assert_allclose(together, alone, rtol=1e-4)


def test_samples_repeat_with_their_seed(vae):
    import tensorflow as tf

    _, _, model = vae

    def sample(seed, count):
        inputs = {"seed": tf.constant(seed, tf.int64), "count": tf.constant(count, tf.int64)}
        return ask(model, "sample", **inputs)["vector"]

    assert sample(1, 5).shape == (5, 64)
    np.testing.assert_array_equal(sample(1, 5), sample(1, 5))
    assert not np.allclose(sample(1, 5), sample(2, 5))
    assert sample(1, 0).shape == (0, 64)
    with pytest.raises(tf.errors.InvalidArgumentError, match="count is negative"):
        sample(1, -1)


def test_noise_is_an_anomaly_and_digits_are_not(vae, digits):
    import tensorflow as tf

    _, _, model = vae
    noise = np.random.default_rng(0).uniform(0, 16, (50, 64)).astype(np.float32)
    assert ask(model, "serving_default", vector=tf.constant(noise))["anomaly"].mean() > 0.95
    assert ask(model, "serving_default", vector=tf.constant(digits))["anomaly"].mean() < 0.05


def test_wrong_and_empty_batches_are_answered_with_a_sentence(vae):
    import tensorflow as tf

    _, _, model = vae
    with pytest.raises(tf.errors.InvalidArgumentError, match="each row must hold 64 values"):
        ask(model, "encode", vector=tf.zeros([2, 3]))
    with pytest.raises(tf.errors.InvalidArgumentError, match="latent: each row must hold 8 values"):
        ask(model, "decode", latent=tf.zeros([2, 3]))
    assert ask(model, "serving_default", vector=tf.zeros([0, 64]))["elbo"].shape == (0,)


def test_pictures_are_drawn(vae):
    workdir, _, _ = vae
    names = {path.name for path in (workdir / "pictures").iterdir()}
    assert names == {
        "kl_by_dimension.svg", "latent_scatter.svg", "loss_curves.svg", "reconstructions.png", "samples.png",
    }  # fmt: skip
    assert (workdir / "pictures" / "samples.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow  # its functions are in tests/trainer/dense/, a run of vectors above
def test_the_dense_classifier(copies, tmp_path, digits):
    import tensorflow as tf

    unlabelled = "bulk.input=package:sklearn/datasets/data/digits.csv.gz"
    settings = ("training.epochs=12", "gates.beat_baselines=false", unlabelled)
    summary = run_preset(copies, "digits_dense", tmp_path, *settings)
    assert summary["status"] == "pushed"
    assert summary["metrics"]["test"]["accuracy"] > 0.9
    # 64 * 64 + 64, 64 * 32 + 32, 32 * 10 + 10
    assert summary["model"]["parameters"] == 6_570
    model = load(summary)
    answer = ask(model, "serving_default", vector=tf.constant(digits))
    np.testing.assert_allclose(answer["probabilities"].sum(axis=1), 1.0, atol=1e-5)
    named = np.array([int(label) for label in answer["label"]])
    assert (named == answer["probabilities"].argmax(axis=1)).all()
    assert (named == load_digits().target).mean() > 0.95
    again = ask(model, "serve_examples", examples=tf.constant(serialized(digits[:5])))
    np.testing.assert_allclose(again["probabilities"], answer["probabilities"][:5], atol=1e-5)
    # The same rows once more, as if nobody knew their classes.
    bulk = pq.read_table(tmp_path / "bulk.parquet")
    assert bulk.column_names == ["file", "line", "vector", "label", "probabilities"]
    np.testing.assert_array_equal(bulk["vector"].to_pylist(), digits)
    np.testing.assert_allclose(bulk["probabilities"].to_pylist(), answer["probabilities"], atol=1e-5)
    assert bulk["label"].to_pylist() == [label.decode() for label in answer["label"]]


def test_a_gaussian_names_the_constant_column(copies, tmp_path):
    assert run(copies, "digits_vae", tmp_path, "model.likelihood=gaussian").status == 3
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["status"] == "data_rejected"
    assert "column 'pixel0' has the same value in all" in summary["reason"]
