"""Losses of a pair model's training.

Every loss takes labels and scores in [0, 1], float [batch] or [batch, 1], and gives a scalar: the mean over
the batch, or one number for the batch where its rows are compared with each other. For classes labels are
their indices, [batch], and scores probabilities, [batch, classes].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import keras
import numpy as np
import tensorflow as tf
from keras import ops

# 20 is the temperature of the reference implementation, made for cosines in [-1, 1].
COSENT_SCALE = IN_BATCH_SCALE = 20.0
_MARGIN = 0.5
_TINY = 1e-7

Numbers: TypeAlias = tf.Tensor | np.ndarray
Loss = Callable[[Numbers, Numbers], tf.Tensor]


def cross_entropy(labels: Numbers, scores: Numbers) -> tf.Tensor:
    """Binary cross-entropy against a label between 0 and 1; least, though not 0, where score and label agree.

    Tai, Socher, Manning 2015, "Improved Semantic Representations From Tree-Structured LSTMs", section 4.2,
    trains relatedness as a distribution; with two classes its KL divergence is this loss less a constant.
    """
    return ops.mean(smoothed_cross_entropy(0.0)(labels, scores))


def mean_squared_error(labels: Numbers, scores: Numbers) -> tf.Tensor:
    """Mean squared error, as in Mueller and Thyagarajan 2016, "Siamese Recurrent Architectures" (MaLSTM)."""
    return ops.mean(_squares(labels, scores))


def correlation(labels: Numbers, scores: Numbers) -> tf.Tensor:
    """1 less Pearson's correlation over the batch, in [0, 2]; 1 where labels or scores do not vary.

    The measure of the task itself (Cer et al. 2017, "SemEval-2017 Task 1") used as a loss.
    """
    labels, scores = _flat(labels, scores)
    labels = labels - ops.mean(labels)
    scores = scores - ops.mean(scores)
    norm = ops.sqrt(ops.sum(ops.square(labels)) * ops.sum(ops.square(scores)) + _TINY**2)
    return 1.0 - ops.sum(labels * scores) / norm


def cosent(labels: Numbers, scores: Numbers) -> tf.Tensor:
    """log(1 + sum of exp(20 (s_i - s_j))) over pairs of rows where label i is below label j: order alone.

    Huang et al. 2024, "CoSENT: Consistent Sentence Embedding via Similarity Ranking".
    """
    labels, scores = _flat(labels, scores)
    below = labels[:, None] < labels[None, :]
    gaps = ops.where(below, COSENT_SCALE * (scores[:, None] - scores[None, :]), -1e9)
    return ops.logsumexp(ops.concatenate([ops.zeros((1,), gaps.dtype), ops.reshape(gaps, (-1,))]))


def class_cross_entropy(classes: int, smoothing: float = 0.0) -> Loss:
    """Cross-entropy of class probabilities; labels may be smoothed.

    Szegedy et al. 2016, "Rethinking the Inception Architecture", section 7: of each label a share
    `smoothing` is spread evenly over all classes.
    """

    def loss(labels: Numbers, scores: Numbers) -> tf.Tensor:
        given = ops.one_hot(ops.cast(ops.reshape(labels, (-1,)), "int32"), classes)
        given = given * (1.0 - smoothing) + smoothing / classes
        logs = ops.log(ops.maximum(ops.reshape(scores, (-1, classes)), _TINY))
        return -ops.sum(given * logs, axis=-1)

    return loss


def smoothed_cross_entropy(smoothing: float) -> Loss:
    """`cross_entropy` by rows, with labels moved towards a half by the same rule."""

    def loss(labels: Numbers, scores: Numbers) -> tf.Tensor:
        labels, scores = _flat(labels, scores)
        return keras.losses.binary_crossentropy(labels[:, None], scores[:, None], label_smoothing=smoothing)

    return loss


def make_loss(name: str, classes: int = 0, smoothing: float = 0.0, weights: np.ndarray | None = None) -> Loss:
    """The configured loss.

    Args:
        name: one of `LOSSES`; "cross_entropy" alone where there are classes, smoothing or weights.
        classes: how many, 0 for a score.
        smoothing: share of each label that goes to all answers alike.
        weights: of the rows of each class; for binary labels of 0 and of 1.
    """
    if not (classes or smoothing or weights is not None):
        return LOSSES[name]
    if classes or name == "cross_entropy":
        by_row = class_cross_entropy(classes, smoothing) if classes else smoothed_cross_entropy(smoothing)
    elif name == "mse":
        by_row = _squares
    else:
        raise ValueError(f"loss {name!r} compares rows with each other: it has no weights of classes")
    table = None if weights is None else np.asarray(weights, np.float32)

    def loss(labels: Numbers, scores: Numbers) -> tf.Tensor:
        losses = by_row(labels, scores)
        if table is not None:
            losses = losses * ops.take(table, ops.cast(ops.reshape(labels, (-1,)), "int32"))
        return ops.mean(losses)

    return loss


def balanced(counts: np.ndarray) -> np.ndarray:
    """Weights that make all classes count the same, rows / (classes * count); 0 for a class without rows.

    King and Zeng 2001, "Logistic Regression in Rare Events Data", section 4.2.
    """
    counts = np.asarray(counts, np.float64)
    present = counts > 0
    return np.where(present, counts.sum() / (present.sum() * np.maximum(counts, 1)), 0.0)


def contrastive(labels: Numbers, scores: Numbers) -> tf.Tensor:
    """Half of label * d^2 + (1 - label) * max(0, m - d)^2, distance d = 1 - score, margin m = 0.5.

    Hadsell, Chopra, LeCun 2006, "Dimensionality Reduction by Learning an Invariant Mapping", equation 4:
    pairs that do not match are let alone once they are far enough apart.
    """
    labels, scores = _flat(labels, scores)
    distance = 1.0 - scores
    apart = ops.maximum(_MARGIN - distance, 0.0)
    return ops.mean(labels * ops.square(distance) + (1.0 - labels) * ops.square(apart)) / 2


def in_batch(labels: Numbers, cosines: Numbers) -> tf.Tensor:
    """Each first text of a match has to find its second text among all second texts of the batch.

    Henderson et al. 2017, "Efficient Natural Language Response Suggestion for Smart Reply", section 4.4, with
    the cosines times 20. Rows whose label is below a half ask nothing; their texts are among the answers.

    Args:
        labels: [batch] or [batch, 1], 0 or 1.
        cosines: [batch, batch], of each first text with each second text.
    """
    cosines = ops.convert_to_tensor(cosines)
    matches = ops.cast(ops.reshape(labels, (-1,)) >= 0.5, cosines.dtype)
    logs = ops.log_softmax(IN_BATCH_SCALE * cosines, axis=-1)
    return -ops.sum(matches * ops.diagonal(logs)) / ops.maximum(ops.sum(matches), 1.0)


LOSSES: dict[str, Loss] = {
    "contrastive": contrastive,
    "in_batch": in_batch,
    "cross_entropy": cross_entropy,
    "mse": mean_squared_error,
    "correlation": correlation,
    "cosent": cosent,
}
# What compares rows of different labels, and is constant where there are none.
COMPARING: dict[Loss, str] = {correlation: "correlation", cosent: "cosent"}


def _squares(labels: Numbers, scores: Numbers) -> tf.Tensor:
    labels, scores = _flat(labels, scores)
    return ops.square(labels - scores)


def _flat(labels: Numbers, scores: Numbers) -> tuple[tf.Tensor, tf.Tensor]:
    scores = ops.reshape(ops.convert_to_tensor(scores), (-1,))
    return ops.reshape(ops.cast(labels, scores.dtype), (-1,)), scores


def shared(loss: Loss, parts: int) -> Loss:
    """Keras adds up the losses of `parts` devices; their mean is what is meant."""
    if parts == 1:
        return loss

    def share(labels: Numbers, scores: Numbers) -> tf.Tensor:
        return loss(labels, scores) / parts

    return share
