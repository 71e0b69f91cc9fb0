"""What training makes small.

Every loss takes labels and scores in [0, 1], float [batch] or [batch, 1], and gives a scalar: the mean over
the batch, or one number for the batch where its rows are compared with each other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

# 20 is the temperature of the reference implementation, made for cosines in [-1, 1].
COSENT_SCALE = 20.0
_TINY = 1e-7

Loss = Callable[[Any, Any], Any]


def cross_entropy(labels: Any, scores: Any) -> Any:
    """Binary cross-entropy against a label between 0 and 1; least, though not 0, where score and label agree.

    Tai, Socher, Manning 2015, "Improved Semantic Representations From Tree-Structured LSTMs", section 4.2,
    trains relatedness as a distribution; with two classes its KL divergence is this loss less a constant.
    """
    labels, scores = _flat(labels, scores)
    return ops.mean(keras.losses.binary_crossentropy(labels[:, None], scores[:, None]))


def mean_squared_error(labels: Any, scores: Any) -> Any:
    """Mean squared error, as in Mueller and Thyagarajan 2016, "Siamese Recurrent Architectures" (MaLSTM)."""
    labels, scores = _flat(labels, scores)
    return ops.mean(ops.square(labels - scores))


def correlation(labels: Any, scores: Any) -> Any:
    """1 less Pearson's correlation over the batch, in [0, 2]; 1 where labels or scores do not vary.

    The measure of the task itself (Cer et al. 2017, "SemEval-2017 Task 1") used as a loss.
    """
    labels, scores = _flat(labels, scores)
    labels = labels - ops.mean(labels)
    scores = scores - ops.mean(scores)
    norm = ops.sqrt(ops.sum(ops.square(labels)) * ops.sum(ops.square(scores)) + _TINY**2)
    return 1.0 - ops.sum(labels * scores) / norm


def cosent(labels: Any, scores: Any) -> Any:
    """log(1 + sum of exp(20 (s_i - s_j))) over pairs of rows where label i is below label j: order alone.

    Huang et al. 2024, "CoSENT: Consistent Sentence Embedding via Similarity Ranking".
    """
    labels, scores = _flat(labels, scores)
    below = labels[:, None] < labels[None, :]
    gaps = ops.where(below, COSENT_SCALE * (scores[:, None] - scores[None, :]), -1e9)
    return ops.logsumexp(ops.concatenate([ops.zeros((1,), gaps.dtype), ops.reshape(gaps, (-1,))]))


LOSSES: dict[str, Loss] = {
    "cross_entropy": cross_entropy,
    "mse": mean_squared_error,
    "correlation": correlation,
    "cosent": cosent,
}


def _flat(labels: Any, scores: Any) -> tuple[Any, Any]:
    scores = ops.reshape(ops.convert_to_tensor(scores), (-1,))
    return ops.reshape(ops.cast(labels, scores.dtype), (-1,)), scores
