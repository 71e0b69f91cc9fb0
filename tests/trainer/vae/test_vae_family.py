from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from tests.trainer.small_trainings import data_of, spec_of
from trainer.errors import DataRejected, KembarError
from trainer.features import VECTOR
from trainer.spec import Spec, VectorSpec
from trainer.vae import family
from trainer.vae.builder import VariationalAutoencoder
from trainer.vae.serving import VaeServing
from trainer.vae.signatures import anomaly_threshold, score
from trainer.vae.vae_config import Vae, VaeTraining

N = 4
GAUSSIAN = Spec(
    vector=VectorSpec(dimension=N),
    model=Vae(likelihood="gaussian", encoder=(4,), latent=2, anomaly_quantile=0.8),
    training=VaeTraining(epochs=2, batch_size=32),
)


@pytest.mark.parametrize(
    "binarization", ["dynamic", *(pytest.param(other, marks=pytest.mark.slow) for other in ("none", "fixed"))]
)
def test_the_threshold_is_the_quantile_of_eval_vectors_as_they_are_scored(tmp_path, binarization):
    spec = spec_of("vae")
    changes = {"binarization": binarization, "anomaly_quantile": 0.8}
    spec = spec.model_copy(update={"model": spec.model.model_copy(update=changes)})
    data = data_of("vae", tmp_path, rows=100)
    model, log, threshold = family.fit(data, spec)
    assert threshold == log.details["anomaly_threshold"]
    (rows,) = [pool["vector"] for pool in data.pools("eval", 100)]
    flagged = score(model, tf.constant(rows), threshold)["anomaly"].numpy()
    assert flagged.mean() == pytest.approx(0.2, abs=0.01)


def serialized(rows: np.ndarray) -> list[bytes]:
    def feature(row):
        return tf.train.Feature(float_list=tf.train.FloatList(value=row))

    return [
        tf.train.Example(features=tf.train.Features(feature={VECTOR: feature(row)})).SerializeToString()
        for row in rows
    ]


def table(rows: np.ndarray) -> pa.Table:
    return pa.table({VECTOR: pa.array(list(rows), pa.list_(pa.float32()))})


def standardizing(mean: float, deviation: float) -> SimpleNamespace:
    """Stands for a TFTransformOutput that standardizes."""
    return SimpleNamespace(
        transform_features_layer=lambda: lambda x: {VECTOR: (x[VECTOR] - mean) / deviation}
    )


def of_standard_normal(deviation: float) -> VaeServing:
    """A model whose density of raw vectors is N(0, 1), trained where their deviation was another one."""
    model = VariationalAutoencoder(GAUSSIAN.model, N)
    model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    # What the decoder's last layer learns is the variance of scaled vectors.
    layer = model.decoder.get_layer("output_variance")
    layer.log_variance.assign(np.full(N, -2 * np.log(deviation), np.float32))  # type: ignore[attr-defined]
    return VaeServing(model, 0.0, standardizing(0.0, deviation), N)


@pytest.mark.parametrize("deviation", [1.0, 1.1, 100.0, 1e-3])
def test_the_same_density_of_raw_vectors_has_the_same_nats_whatever_the_scaling(deviation):
    rows = np.random.default_rng(0).normal(size=(50, N)).astype(np.float32)
    expected = 0.5 * (rows.astype(np.float64) ** 2 + np.log(2 * np.pi)).sum(axis=1)
    served = of_standard_normal(deviation)
    evaluated = served.evaluate_examples(tf.constant(serialized(rows)))["evaluation"].numpy()
    named = dict(zip(family.COLUMNS, evaluated.T, strict=True))
    for name in ("negative_elbo", "nll", "reconstruction"):
        np.testing.assert_allclose(named[name], expected, rtol=1e-4)
    np.testing.assert_allclose(named["elbo"], -expected, rtol=1e-4)
    np.testing.assert_allclose(named["kl"], 0, atol=1e-6)
    scored = served.served()["serving_default"](vector=tf.constant(rows))
    np.testing.assert_allclose(scored["elbo"], -expected, rtol=1e-4)
    np.testing.assert_allclose(scored["reconstruction"], expected, rtol=1e-4)


@pytest.mark.parametrize("unit", [1.0, 1_000.0])
def test_baselines_are_nats_of_raw_vectors(unit):
    rng = np.random.default_rng(1)
    train, test = (unit * (5 + rng.normal(size=(2_000, N)).astype(np.float32)) for _ in range(2))
    found = family.baselines(table(train), {"test": table(test)}, GAUSSIAN)
    entropy = N * (0.5 * np.log(2 * np.pi * np.e) + np.log(unit))
    for numbers in (found["mean_vector"]["test"], found["pca"]["test"]):
        for value in numbers.values():
            assert value == pytest.approx(entropy, abs=0.1)


def test_a_density_has_its_threshold_in_the_same_nats(tmp_path):
    mean, deviation = 1e5, 250.0
    rows = (mean + deviation * np.random.default_rng(2).normal(size=(200, N))).astype(np.float32)
    transform = standardizing(mean, deviation)
    scaled = transform.transform_features_layer()({VECTOR: rows})[VECTOR]
    data = SimpleNamespace(
        transform=transform,
        pools=lambda *_: tf.data.Dataset.from_tensors({VECTOR: scaled}),
        watchers=list, checkpoints=None, log_dir=None, base=None,
    )  # fmt: skip
    model, log, threshold = family.fit(data, GAUSSIAN)
    module = family.export(model, transform, GAUSSIAN, threshold)
    served = module.served()["serving_default"](vector=tf.constant(rows))
    below = served["elbo"].numpy() < log.details["anomaly_threshold"]
    assert below.mean() == pytest.approx(0.2, abs=0.01)
    np.testing.assert_array_equal(served["anomaly"], below)


FILL = 9.96921e36


class Splits:
    """Stands for a training's data: standardized vectors of each split."""

    transform = standardizing(20.0, 5.0)
    checkpoints = log_dir = base = None

    def __init__(self, **splits: np.ndarray) -> None:
        self._splits = splits

    def pools(self, split: str, rows: int) -> tf.data.Dataset:
        return tf.data.Dataset.from_tensors({VECTOR: self._splits[split]})

    def watchers(self) -> list:
        return []


@pytest.mark.parametrize(
    ("split", "value", "error", "said"),
    [
        (
            "eval",
            1e36,
            DataRejected,
            r"^\[data\] eval: .*column '\[2\]' holds 5e\+36, .* deviations from the mean",
        ),
        (
            "train",
            30.0,
            KembarError,
            r"column '\[2\]' holds 170, 30 deviations .*; or lower \[training\] learning_",
        ),
        (
            "train",
            3.0,
            KembarError,
            r"never a number in 2 epochs: lower \[training\] learning_rate or set clip_",
        ),
    ],
)
def test_a_loss_that_is_never_a_number_names_its_likely_cause(monkeypatch, split, value, error, said):
    def fails(*arguments, **options):
        raise FloatingPointError

    monkeypatch.setattr(family, "train", fails)
    rows = np.random.default_rng(1).normal(size=(40, N)).clip(-2, 2).astype(np.float32)
    odd = rows.copy()
    odd[7, 2] = value
    data = Splits(**{"train": rows, "eval": rows, split: odd})
    with pytest.raises(error, match=said):
        family.fit(data, GAUSSIAN)


def test_one_fill_value_leaves_baselines_finite_and_the_model_without_a_metric():
    rows = np.random.default_rng(2).normal(size=(60, N)).astype(np.float32)
    test = rows.copy()
    test[3, 1] = FILL
    found = family.baselines(table(rows), {"test": table(test)}, GAUSSIAN)
    assert all(np.isfinite(value) for one in found.values() for value in one["test"].values())
    score = np.ones((60, len(family.COLUMNS)))
    score[3, :3] = np.nan, np.inf, -np.inf
    measured = family.metrics(np.zeros((60, 0)), score, GAUSSIAN)
    assert [name for name, value in measured.items() if np.isfinite(value)] == ["reconstruction", "kl"]
    assert measured["nll"].reason == "the model gives no finite number for 1 of 60 rows"  # type: ignore[attr-defined]


def test_eval_vectors_without_a_finite_score_have_no_part_in_the_threshold():
    model = VariationalAutoencoder(GAUSSIAN.model, N, seed=1)
    rows = np.random.default_rng(2).normal(size=(50, N)).astype(np.float32)
    expected = anomaly_threshold(model, rows)
    assert float(np.float32(expected)) == expected
    odd = np.concatenate([rows, np.full((3, N), FILL, np.float32)])
    assert anomaly_threshold(model, odd) == pytest.approx(expected)
    with pytest.raises(DataRejected, match="none of the 3 eval rows has a finite ELBO"):
        anomaly_threshold(model, odd[-3:])
