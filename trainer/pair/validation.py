"""The metric of the eval split that a pair model's training watches."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from trainer.errors import KembarError
from trainer.features import PRIMARY, Label
from trainer.metrics import pair_metrics
from trainer.pair.batching import Batches
from trainer.pair.losses import COMPARING, Loss


def watched(
    model: keras.Model, trained: keras.Model, loss: Loss, held_out: Batches, label: Label
) -> tuple[str, Callable[[], float]]:
    """The metric of the eval split that training watches, and how it is measured.

    Where all labels are the same, as with matches alone, no metric is defined, and it is the loss; that of
    `in_batch` is of the batches that `held_out` is made of.
    """

    @tf.function(reduce_retracing=True)
    def score(texts: dict[str, tf.Tensor]) -> tf.Tensor:
        return model(texts, training=False)

    @tf.function(reduce_retracing=True)
    def lose(texts: dict[str, tf.Tensor], labels: tf.Tensor) -> tf.Tensor:
        return loss(labels, trained(texts, training=False))

    def mean_loss() -> float:
        # Each row counts the same, whatever the size of its batch.
        losses = [(lose(texts, labels).numpy(), len(labels)) for texts, labels in held_out]
        values, rows = zip(*losses, strict=True)
        return float(np.average(values, weights=rows))

    metric = PRIMARY[label.kind]
    seen = np.unique(np.concatenate([labels.numpy() for _, labels in held_out]))
    if len(seen) < 2 and label.kind != "classes":
        if loss in COMPARING:
            raise KembarError(
                f"all rows of the eval split have the same label, and [training] loss = '{COMPARING[loss]}' "
                "compares rows of different labels: give [data] eval such rows, or set loss = 'mse'"
            )
        return "loss", mean_loss
    return metric, lambda: pair_metrics(*scored(score, held_out), label)[metric]


def scored(
    model: Callable[[dict[str, tf.Tensor]], tf.Tensor], held_out: Batches
) -> tuple[np.ndarray, np.ndarray]:
    """Labels [rows] and scores [rows, 1 or classes] of the eval split."""
    labels, scores = zip(*((label.numpy(), model(texts).numpy()) for texts, label in held_out), strict=True)
    return np.concatenate(labels), np.concatenate(scores)


def doubts(labels: np.ndarray, scores: np.ndarray, label: Label) -> list[str]:
    """A sentence where scores of the eval split fall as its labels rise; none where they do not.

    Args:
      labels: [rows], scaled to 0..1; of classes the index.
      scores: [rows, 1] or [rows, classes].
      label: What they mean.
    """
    metric, chance = {"binary": ("auc", 0.5), "score": ("spearman", 0.0)}.get(label.kind, ("", 0.0))
    value = pair_metrics(labels, scores, label).get(metric, chance)
    if not value < chance:
        return []
    meaning = "1 means unlike" if label.kind == "binary" else "a high score means unlike"
    named = "name the value that is 1 ([data] label positive), or " if label.kind == "binary" else ""
    return [
        f"eval: {metric} {value:.3f} is below {chance:g}, worse than chance: if {meaning}, {named}let the "
        "head learn it ([model] head = 'interaction')"
    ]
