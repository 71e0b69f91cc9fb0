"""Training of text pairs: every kind of label is learned, and odd splits are borne."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.trainer.small_trainings import data_of, spec_of, train
from trainer.errors import DataRejected, KembarError
from trainer.features import Label
from trainer.fitting.order import RowOrder, draws
from trainer.fitting.training import TransformedData
from trainer.metrics import best_threshold
from trainer.pair import fit as pair_fit
from trainer.pair.batching import make_dataset
from trainer.pair.losses import balanced
from trainer.pair.pair_config import PairModel, PairTraining
from trainer.pair.statistics import PairStatistics
from trainer.spec import Spec

IDS = {name: np.array([[1, 2], [3, 0]]) for name in ("ids_a", "ids_b")}


def only(
    data: TransformedData, split: str, label: float, folder: Path, rows: int = 10_000
) -> TransformedData:
    """The same data, with only the rows of one label in a split, and at most so many."""
    path = folder / f"{split}_{label:g}.gz"
    with tf.io.TFRecordWriter(str(path), tf.io.TFRecordOptions(compression_type="GZIP")) as writer:
        kept = 0
        for record in tf.data.TFRecordDataset(data.files[split], compression_type="GZIP"):
            [value] = tf.train.Example.FromString(record.numpy()).features.feature["label"].float_list.value
            if value == label and kept < rows:
                writer.write(record.numpy())
                kept += 1
    return replace(data, files={**data.files, split: [str(path)]})


def answers(model) -> np.ndarray:
    return model(IDS).numpy()


@pytest.mark.parametrize(
    ("longest", "bound"), [(1_100, None), (1_101, 2 * 8 * 1_100), (99_990, 2 * 8 * 1_100)]
)
def test_a_text_longer_than_ordinary_ones_bounds_the_ids_of_a_batch(longest, bound):
    spec = Spec(label=Label(column="l", kind="binary"), training=PairTraining(batch_size=8))
    survey = PairStatistics([np.array([3, 7]), np.array([longest, 5])], np.zeros(2), 0.0, 1.0, np.zeros(0))
    assert pair_fit.bound_of(spec, survey) == bound


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weights", ["none", "balanced"])
def test_the_loss_has_the_weights_of_classes_and_the_smoothing_that_are_configured(
    weights, smoothing, tmp_path, monkeypatch
):
    class Enough(Exception):
        """Stands for a training."""

    def stop(*arguments):
        raise Enough(*arguments)

    data = data_of("binary", tmp_path)
    monkeypatch.setattr(pair_fit, "make_loss", stop)
    with pytest.raises(Enough) as caught:
        train("binary", data, loss="cross_entropy", class_weights=weights, label_smoothing=smoothing)
    labels = next(iter(data.pools("train", 1_000)))["label"].numpy().ravel()
    counts = np.bincount(labels.astype(int))
    *others, given = caught.value.args
    assert others == ["cross_entropy", 0, smoothing]
    np.testing.assert_array_equal(given, balanced(counts) if weights == "balanced" else None)


@pytest.mark.parametrize(("metric", "mode"), [("spearman", "max"), ("loss", "min")])
def test_training_stops_by_its_metric_after_its_patience_and_keeps_the_best(
    tmp_path, monkeypatch, metric, mode
):
    class Asked(Exception):
        """What was wanted is known before the first step."""

    asked = {}

    def stopping(monitor, **options):
        asked.update(monitor=monitor, **options)
        raise Asked

    monkeypatch.setattr(pair_fit, "watched", lambda *_: (metric, lambda: 0.0))
    monkeypatch.setattr(keras.callbacks, "EarlyStopping", stopping)
    with pytest.raises(Asked):
        train("pair", data_of("pair", tmp_path), patience=5)
    assert asked == {
        "monitor": f"eval_{metric}", "mode": mode, "patience": 5, "restore_best_weights": True,
    }  # fmt: skip


def test_one_long_text_does_not_pad_all_others(tmp_path):
    """Its batch has it alone: 1,500 ids a text are more than 11 for each of the 2 tokens that are kept."""
    rows = [[1] * (1_500 if at == 7 else 2) for at in range(64)]
    pool = {name: tf.ragged.constant(rows, dtype=tf.int64) for name in ("ids_a", "ids_b")}
    pools = tf.data.Dataset.from_tensors({**pool, "label": np.zeros(64, np.float32)})
    spec = Spec(
        label=Label(column="l", kind="binary"),
        model=PairModel(max_tokens=2),
        training=PairTraining(batch_size=32),
    )
    survey = PairStatistics([np.array(list(map(len, rows)))], np.zeros(2), 0.0, 1.0, np.zeros(0))
    batches = make_dataset(pools, 32, order=RowOrder(draws(1, 1, 2)), tokens=pair_fit.bound_of(spec, survey))
    sizes = sorted(tuple(texts["ids_a"].shape) for texts, _ in batches)
    assert sizes == [(1, 1_500), (31, 2), (32, 2)]


def test_the_seed_of_the_configuration_decides_the_order_of_rows(tmp_path, monkeypatch):
    class Enough(Exception):
        """Stands for a training."""

    def stop(*arguments):
        raise Enough(*arguments)

    monkeypatch.setattr(pair_fit, "draws", stop)
    with pytest.raises(Enough) as caught:
        train("pair", data_of("pair", tmp_path), seed=7, epochs=3)
    assert caught.value.args == (7, 3, 2)


@pytest.mark.parametrize("kind", ["pair", "binary", "classes"])
def test_training_lowers_the_loss_and_answers_are_probabilities(kind, tmp_path):
    model, log = train(kind, data_of(kind, tmp_path), dropout=0.0)
    assert log.history["loss"][-1] < log.history["loss"][0]
    found = answers(model)
    assert found.shape == (2, 2 if kind == "classes" else 1)
    assert found.min() >= 0
    assert found.max() <= 1


def test_binary_labels_get_the_threshold_that_is_best_on_eval(tmp_path):
    data = data_of("binary", tmp_path)
    model, log, threshold = pair_fit.fit(data, spec_of("binary", dropout=0.0))
    assert threshold == log.details["threshold"] != 0.5
    rows = next(iter(data.pools("eval", 1_000)))
    ids = {name: tf.sparse.to_dense(rows[name]) for name in IDS}
    assert threshold == pytest.approx(best_threshold(rows["label"].numpy(), model(ids).numpy()), abs=1e-5)


@pytest.mark.parametrize("kind", ["binary", "pair"])
def test_labels_that_mean_unlike_are_learned_by_a_cosine(kind, tmp_path):
    """The head begins the other way round; else it has 0.38 and -0.61 after these epochs."""
    data = turned(data_of(kind, tmp_path, rows=200), tmp_path)
    _, log = train(kind, data, dropout=0.0, epochs=3)
    metric = "eval_average_precision" if kind == "binary" else "eval_spearman"
    assert log.details["labels"] == "higher where texts share less"
    assert max(log.history[metric]) > 0.7
    assert "warnings" not in log.details


def turned(data: TransformedData, folder: Path) -> TransformedData:
    """The same data with labels that say the opposite."""
    files = {}
    for split, [path] in data.files.items():
        target = str(folder / f"turned_{split}.gz")
        files[split] = [target]
        with tf.io.TFRecordWriter(target, tf.io.TFRecordOptions(compression_type="GZIP")) as writer:
            for record in tf.data.TFRecordDataset(path, compression_type="GZIP"):
                example = tf.train.Example.FromString(record.numpy())
                label = example.features.feature["label"].float_list
                label.value[0] = 1 - label.value[0]
                writer.write(example.SerializeToString())
    return replace(data, files=files)


def test_calibration_keeps_the_order_and_lowers_the_error_on_eval(tmp_path):
    data = data_of("pair", tmp_path)
    rows = next(iter(data.pools("eval", 1_000)))
    ids = {name: tf.sparse.to_dense(rows[name]) for name in IDS}
    plain, bent = (
        train("pair", data, dropout=0.0, epochs=2, calibrated=wanted)[0](ids).numpy()
        for wanted in (False, True)
    )
    np.testing.assert_array_equal(
        np.argsort(plain, axis=0, kind="stable"), np.argsort(bent, axis=0, kind="stable")
    )
    errors = [np.mean((scores - rows["label"].numpy()) ** 2) for scores in (plain, bent)]
    assert errors[1] < errors[0]


@pytest.mark.slow  # what the loss makes of a batch is in test_losses.py
def test_matches_alone_teach_to_find_the_other_text(tmp_path):
    data = data_of("binary", tmp_path)
    for split in ("train", "eval"):
        data = only(data, split, 1.0, tmp_path)
    model, log = train("binary", data, loss="in_batch", dropout=0.0)
    assert log.history["eval_loss"][-1] < log.history["eval_loss"][0]
    same, other = model({"ids_a": np.array([[1], [1]]), "ids_b": np.array([[1], [2]])}).numpy().ravel()
    assert same > other


@pytest.mark.parametrize("optimizer", [pytest.param("adam", marks=pytest.mark.slow), "rmsprop"])
def test_xla_gives_the_same_weights(optimizer, tmp_path):
    data = data_of("pair", tmp_path)
    plain, compiled = (
        train("pair", data, dropout=0.0, epochs=1, optimizer=optimizer, compiled=wanted)[0]
        for wanted in (False, True)
    )
    for one, other in zip(plain.get_weights(), compiled.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_classes_are_told_apart(tmp_path):
    _, log = train("classes", data_of("classes", tmp_path), dropout=0.0, epochs=25, patience=25)
    assert max(log.history["eval_accuracy"]) > 0.8


@pytest.mark.parametrize(
    "kind", ["pair", *(pytest.param(other, marks=pytest.mark.slow) for other in ("binary", "classes"))]
)
def test_an_eval_split_of_one_row_and_so_of_one_label_still_gives_a_model(kind, tmp_path):
    data = only(data_of(kind, tmp_path), "eval", 1.0, tmp_path, rows=1)
    model, log = train(kind, data, epochs=2, patience=2)
    assert log.epochs == 2
    assert np.isfinite(answers(model)).all()


@pytest.mark.parametrize(("kind", "name"), [("pair", "1"), ("binary", "1"), ("classes", "b")])
def test_a_training_split_of_one_label_is_refused(kind, name, tmp_path):
    data = only(data_of(kind, tmp_path), "train", 1.0, tmp_path)
    with pytest.raises(
        DataRejected, match=rf"column 'y' is '{name}' in all \d+ training rows.* sorted by label"
    ):
        train(kind, data, epochs=2)


def test_pairs_that_match_are_enough_to_learn_in_batches(tmp_path):
    data = only(data_of("binary", tmp_path), "train", 1.0, tmp_path)
    _, log = train("binary", data, epochs=2, loss="in_batch", dropout=0.0)
    assert np.isfinite(log.history["loss"]).all()
    none = only(data, "train", 0.0, tmp_path)
    with pytest.raises(KembarError):
        train("binary", none, epochs=2, loss="in_batch", dropout=0.0)


def test_balanced_classes_bear_one_that_is_missing(tmp_path):
    spec = spec_of("classes", epochs=8, patience=8, class_weights="balanced")
    label = Label(column="y", kind="classes", classes=("a", "b", "c"))
    model, log, _ = pair_fit.fit(data_of("classes", tmp_path), spec.model_copy(update={"label": label}))
    assert np.isfinite(log.history["loss"]).all()
    assert (answers(model).argmax(axis=1) != 2).all()


@pytest.mark.parametrize("split", ["train", "eval"])
def test_a_split_without_rows_is_one_line(split, tmp_path):
    data = only(data_of("pair", tmp_path), split, 1.0, tmp_path, rows=0)
    with pytest.raises(KembarError, match=f"the {split} split has no row: give"):
        train("pair", data)


@pytest.mark.parametrize("label", [0.0, pytest.param(1.0, marks=pytest.mark.slow)])
def test_a_class_that_eval_does_not_have_is_borne(label, tmp_path):
    data = only(data_of("classes", tmp_path), "eval", label, tmp_path)
    model, log = train("classes", data, epochs=2)
    assert np.isfinite(log.history["eval_accuracy"]).all()
    assert np.isfinite(answers(model)).all()


@pytest.mark.parametrize(
    ("changes", "rate"), [({}, "1e"), ({"schedule": "cosine", "warmup_epochs": 1.0}, r"[0-9.]+e")]
)
def test_a_loss_that_is_no_number_stops_with_step_and_rate(changes, rate, tmp_path):
    data = data_of("pair", tmp_path)
    with pytest.raises(
        KembarError,
        match=rf"loss became nan in steps 1 to \d+ with learning rate {rate}.*: lower .training. learning_",
    ):
        train("pair", data, encoder="cnn", learning_rate=1e38, **changes)
