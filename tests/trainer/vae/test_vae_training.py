from __future__ import annotations

import keras
import numpy as np
import pytest

from trainer.vae import training
from trainer.vae.builder import VariationalAutoencoder
from trainer.vae.evaluation import negative_elbo
from trainer.vae.vae_config import Vae, VaeTraining

QUICK = VaeTraining(epochs=4, batch_size=8, learning_rate=0.02, seed=3)


def test_training_finds_the_two_kinds(stripes):
    config = Vae(encoder=(8,), latent=1, activation="tanh")
    options = VaeTraining(epochs=60, batch_size=16, learning_rate=0.03, warmup_epochs=1, weight_average=0.9)
    model, history = training.train(config, options, stripes, stripes)
    untrained = VariationalAutoencoder(config, 6, options.seed)
    untrained.start_from(stripes)
    before, after = (negative_elbo(each, stripes).negative_elbo.mean() for each in (untrained, model))
    # The mean costs 6 log 2 = 4.16; two kinds known for log 2 = 0.69 leave 6 * 0.32 = 1.93 of entropy.
    assert before > 4.1
    assert after < 3.0
    # What was kept are the averaged weights of the best epoch, not the ones training went on with.
    rows = training.tf.data.Dataset.from_tensors(stripes)
    kept = model.evaluate(rows, verbose=0, return_dict=True)["loss"]
    assert kept == pytest.approx(min(history["val_loss"]), rel=1e-5)


def test_the_parts_of_the_loss_are_reported_and_add_up(small, stripes):
    history = training.fit(small(), stripes, stripes, QUICK)
    assert set(history) == {
        prefix + name for prefix in ("", "val_") for name in ("loss", "reconstruction", "kl", "negative_elbo")
    }
    for prefix in ("", "val_"):
        parts = np.add(history[prefix + "reconstruction"], history[prefix + "kl"])
        np.testing.assert_allclose(history[prefix + "negative_elbo"], parts, rtol=1e-5)
        np.testing.assert_allclose(history[prefix + "loss"], parts, rtol=1e-5)


def test_the_same_seed_gives_the_same_weights(stripes):
    config = Vae(encoder=(3,), latent=2, binarization="dynamic")
    first, again = (training.train(config, QUICK, stripes, stripes)[0].get_weights() for _ in range(2))
    for one, other in zip(first, again, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_beta_warms_up_and_early_epochs_do_not_count(small, stripes):
    model = small(beta=2.0, kl_warmup_epochs=2)
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(float(self.model.kl_weight))

    training.fit(model, stripes, stripes, QUICK, callbacks=[Watch()])
    assert seen == [1.0, 2.0, 2.0, 2.0]


def test_the_best_epoch_is_kept_and_a_worse_one_stops_training():
    model = VariationalAutoencoder(Vae(encoder=(3,), latent=2), 6)
    keep = training.KeepBest(patience=2, first_epoch=1)
    keep.set_model(model)
    bias = model.decoder.get_layer("output").bias  # type: ignore[attr-defined]
    for epoch, loss in enumerate([1.0, 5.0, 4.0, float("nan"), 4.5]):
        bias.assign(np.full(6, float(epoch)))
        keep.on_epoch_begin(epoch)
        keep.on_test_end({"loss": loss})
    keep.on_train_end()
    assert model.stop_training
    assert bias.numpy().tolist() == [2.0] * 6


def test_importance_weighted_training_minimizes_the_tighter_bound(small, stripes):
    model = small(importance_samples=5)
    history = training.fit(model, stripes, stripes, QUICK)
    assert history["val_loss"][-1] <= history["val_negative_elbo"][-1]


def test_free_bits_are_charged(small, stripes):
    history = training.fit(small(free_bits=3.0), stripes, stripes, QUICK)
    np.testing.assert_allclose(history["val_loss"], np.add(history["val_reconstruction"], 2 * 3.0), rtol=1e-4)


def epochs_of(vectors, options, *epochs, dynamic=False):
    """The rows of such epochs, in their order."""
    data, order = training.batches(vectors, options, dynamic)
    found = []
    for epoch in epochs:
        order.on_epoch_begin(epoch)
        found.append(np.concatenate([batch.numpy() for batch in data]))
    return found


def test_batches_hold_every_row_once_in_an_order_of_their_own():
    rows, options = np.arange(12, dtype=np.float32)[:, None], VaeTraining(epochs=3, batch_size=4, seed=5)
    first, second, third = (found[:, 0] for found in epochs_of(rows, options, 0, 1, 2))
    assert sorted(first) == sorted(second) == sorted(third) == list(range(12))
    assert (first != second).any()
    # Seed and epoch decide, not how many epochs this process has seen.
    third_alone, first_again = (found[:, 0] for found in epochs_of(rows, options, 2, 0))
    assert (third_alone == third).all()
    assert (first_again == first).all()
    (other_seed,) = epochs_of(rows, options.model_copy(update={"seed": 6}), 0)
    assert (other_seed[:, 0] != first).any()


def test_dynamic_binarization_draws_values_as_probabilities_anew_each_epoch():
    grey = np.tile(np.array([[0.0, 0.3, 1.0]], np.float32), (5_000, 1))
    options = VaeTraining(epochs=2, batch_size=100, seed=5)
    first, second = epochs_of(grey, options, 0, 1, dynamic=True)
    (second_alone,) = epochs_of(grey, options, 1, dynamic=True)
    assert set(np.unique(first)) == {0.0, 1.0}
    np.testing.assert_allclose(first.mean(axis=0), [0.0, 0.3, 1.0], atol=0.03)
    assert (first != second).any()
    assert (second == second_alone).all()


def test_a_batch_larger_than_the_data_is_the_data():
    data, _ = training.batches(np.zeros((3, 2), np.float32), VaeTraining(batch_size=128))
    (batch,) = data
    assert batch.shape == (3, 2)


def test_one_row_is_enough_to_train(small, stripes):
    assert np.isfinite(training.fit(small(), stripes[:1], stripes[:1], QUICK)["loss"]).all()


def test_fixed_binarization_is_one_draw():
    grey = np.full((1_000, 4), 0.3, np.float32)
    drawn = training.binarize(grey)
    assert (drawn == training.binarize(grey)).all()
    assert drawn.mean() == pytest.approx(0.3, abs=0.03)
    assert (training.evaluation_vectors(Vae(binarization="fixed"), grey) == drawn).all()
    assert (training.evaluation_vectors(Vae(), grey) == grey).all()


@pytest.mark.parametrize("binarization", ["none", "dynamic", "fixed"])
def test_an_epoch_is_judged_on_what_the_model_is_evaluated_on(small, stripes, monkeypatch, binarization):
    class Enough(Exception):
        """Stands for a training."""

    def stop(arrays, *_):
        raise Enough(*arrays)

    seen, batches = [], training.batches

    def watch(rows, *options):
        seen.append(rows)
        return batches(rows, *options)

    monkeypatch.setattr(training, "batches", watch)
    monkeypatch.setattr(training, "even_batches", stop)
    with pytest.raises(Enough) as caught:
        training.fit(small(binarization=binarization), stripes, stripes, QUICK)
    expected = stripes if binarization == "none" else training.binarize(stripes)
    np.testing.assert_array_equal(*caught.value.args, expected)  # type: ignore[call-arg]
    # What is drawn once is drawn before, what is drawn anew in each epoch is drawn there.
    np.testing.assert_array_equal(*seen, training.binarize(stripes) if binarization == "fixed" else stripes)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: rows[:, :5], r"\(64, 5\), the model needs \[rows > 0, 6\]"),
        (lambda rows: rows[:0], "rows > 0"),
        (
            lambda rows: np.where(np.arange(384).reshape(64, 6) == 8, np.nan, rows),
            "nan in row 1, dimension 2",
        ),
        (lambda rows: rows * 255, "needs values from 0 to 1"),
    ],
)
def test_vectors_that_cannot_be_learned_from_are_refused(small, stripes, change, words):
    with pytest.raises(ValueError, match=words):
        training.fit(small(), change(stripes), stripes, QUICK)


def test_a_loss_that_is_never_a_number_is_an_error(small, stripes):
    model = small()
    model.decoder.get_layer("output").bias.assign(np.full(6, np.nan))
    with pytest.raises(FloatingPointError, match="learning_rate"):
        training.fit(model, stripes, stripes, QUICK)


def test_the_rate_rises_then_falls():
    rate = training.make_optimizer(  # type: ignore[attr-defined]
        VaeTraining(epochs=10, learning_rate=0.1, warmup_epochs=2), 5
    )._learning_rate
    assert [round(float(rate(step)), 4) for step in (0, 5, 10, 30, 50)] == [0.0, 0.05, 0.1, 0.05, 0.0]
    constant = VaeTraining(epochs=10, learning_rate=0.1, schedule="constant")
    assert float(training.make_optimizer(constant, 5).learning_rate) == pytest.approx(0.1)


def test_a_saved_model_comes_back(small, stripes, tmp_path):
    model = small(likelihood="gaussian", importance_samples=2)
    training.fit(model, stripes, stripes, QUICK)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.config == model.config
    first, second = (negative_elbo(each, stripes).negative_elbo for each in (model, loaded))
    np.testing.assert_allclose(first, second, rtol=1e-6)


def test_decay_shrinks_weights_and_leaves_biases():
    optimizer = training.make_optimizer(
        VaeTraining(learning_rate=0.1, weight_decay=0.5, schedule="constant"), 1
    )
    kernel, bias = (keras.Variable([1.0], name=name) for name in ("kernel", "bias"))
    optimizer.apply([np.zeros(1, np.float32)] * 2, [kernel, bias])
    assert float(kernel[0]) == pytest.approx(1 - 0.1 * 0.5)
    assert float(bias[0]) == 1.0


@pytest.mark.parametrize("latent", [2, 50])
def test_spread_gives_the_first_units_their_deviation(latent):
    model = VariationalAutoencoder(Vae(encoder=(2_000,), latent=latent, spread=3.0), 6)
    kernel, bias = model.decoder.get_layer("decoder_1").get_weights()
    received = np.random.default_rng(1).normal(size=(500, latent)) @ kernel + bias
    assert received.std() == pytest.approx(3.0, rel=0.1)
    assert bias.std() == pytest.approx(3.0 / np.sqrt(2), rel=0.1)
