"""What is measured on the eval split after each epoch."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer.errors import KembarError
from trainer.features import Label
from trainer.pair.losses import LOSSES
from trainer.pair.validation import doubts, scored, watched

BINARY = Label(column="same", kind="binary")
SCORE = Label(column="score", kind="score", range=(0, 5))


def batches(*labels: list[float]) -> tf.data.Dataset:
    """The score of a row is what it has for a text."""
    rows = [(np.array(part, np.float32) / 4, np.array(part, np.float32)) for part in labels]
    return tf.data.Dataset.from_generator(
        lambda: iter(rows), output_signature=(tf.TensorSpec([None]), tf.TensorSpec([None]))
    )


def score() -> keras.Model:
    texts = keras.Input(())
    return keras.Model(texts, keras.layers.Reshape((1,))(texts))


def of_one_label(*scores: list[float]) -> tf.data.Dataset:
    return batches(*scores).map(lambda texts, _: (4 * texts, tf.ones_like(texts)))


@pytest.mark.parametrize("label", [BINARY, SCORE], ids=["binary", "score"])
def test_rows_of_one_label_have_a_loss_to_which_each_adds_the_same(label: Label) -> None:
    model = score()
    found = of_one_label([1.0, 1.0, 1.0], [0.0])
    metric, measure = watched(model, model, LOSSES["mse"], found, label)
    assert metric == "loss"
    # By hand: three rows without an error, and one of 1.
    assert measure() == pytest.approx(0.25)


@pytest.mark.parametrize("loss", ["cosent", "correlation"])
def test_a_loss_of_different_labels_does_without_one_label_in_one_line(loss: str) -> None:
    model = score()
    with pytest.raises(KembarError, match=f"eval split have the same label, and .*loss = '{loss}'.* 'mse'"):
        watched(model, model, LOSSES[loss], of_one_label([0.5], [1.0]), SCORE)


@pytest.mark.parametrize("loss", ["cosent", "correlation"])
def test_different_labels_have_their_metric(loss: str) -> None:
    model = score()
    found = batches([0.0, 1.0, 0.5], [0.25])
    metric, measure = watched(model, model, LOSSES[loss], found, SCORE)
    assert metric == "spearman"
    assert measure() == pytest.approx(1.0)
    labels, scores = scored(model, found)
    np.testing.assert_array_equal(labels, [0, 1, 0.5, 0.25])
    np.testing.assert_array_equal(scores, labels[:, None] / 4)


@pytest.mark.parametrize(
    ("label", "scores", "sentence"),
    [
        (
            BINARY,
            [0.9, 0.8, 0.3, 0.1],
            "eval: auc 0.000 is below 0.5, worse than chance: if 1 means unlike, name",
        ),
        (
            SCORE,
            [0.9, 0.8, 0.3, 0.1],
            "eval: spearman -0.894 is below 0, worse than chance: if a high score",
        ),
        (BINARY, [0.1, 0.3, 0.8, 0.9], ""),
        (BINARY, [0.5, 0.5, 0.5, 0.5], ""),  # chance itself
        (SCORE, [0.5, 0.5, 0.5, 0.5], ""),  # no rank at all
    ],
)
def test_scores_that_fall_as_labels_rise_are_doubted(label, scores, sentence):
    found = doubts(np.array([0.0, 0.0, 1.0, 1.0]), np.array(scores)[:, None], label)
    assert found == [] if not sentence else found[0].startswith(sentence)
