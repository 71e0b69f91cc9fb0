"""Statistics of the training pairs, made before training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from trainer.features import IDS_A, IDS_B, LABEL, Label
from trainer.pair.batching import lengths
from trainer.pair.encoders import inverse_document_frequency
from trainer.pair.pair_config import PairModel
from trainer.spec import Spec, narrow
from trainer.text.vocabulary import FIRST_ID, VOCABULARY


@dataclass(frozen=True)
class PairStatistics:
    """Statistics of the training split.

    Attributes:
      lengths: Of each pool, the tokens of each pair's longer text, int64 [pairs].
      class_counts: Pairs of each class, or of label 0 and 1; meaningless for scores.
      lowest_label: As they are trained on: scaled to 0..1; of classes the index.
      highest_label: The same.
      token_weights: Inverse document frequency of every id, float32 [rows].
    """

    lengths: list[np.ndarray]
    class_counts: np.ndarray
    lowest_label: float
    highest_label: float
    token_weights: np.ndarray

    @property
    def pairs(self) -> int:
        """Pairs of the whole split."""
        return sum(map(len, self.lengths))


def vocabulary_rows(transform: tft.TFTransformOutput, spec: Spec) -> int:
    """Number of ids: padding, the vocabulary, and the buckets of words that are not in it."""
    buckets = narrow(spec.model, PairModel).oov_buckets
    return FIRST_ID + transform.vocabulary_size_by_name(VOCABULARY) + buckets


def measure_pairs(pools: tf.data.Dataset, rows: int, label: Label) -> PairStatistics:
    """Statistics from one pass over the training split; `rows` is the number of ids, 0 to count none."""
    frequencies = np.zeros(rows, np.int64)
    counts = np.zeros(label.count or 2, np.int64)
    pool_lengths: list[np.ndarray] = []
    lowest, highest = np.inf, -np.inf
    for pool in pools:
        pool_lengths.append(lengths(pool).numpy())
        labels: np.ndarray = pool[LABEL].numpy()
        lowest, highest = min(lowest, float(labels.min())), max(highest, float(labels.max()))
        if label.kind != "score":
            counts += np.bincount(labels.ravel().astype(int), minlength=len(counts))
        for name in (IDS_A, IDS_B) if rows else ():
            ids: tf.SparseTensor = pool[name]
            once = np.unique(np.stack([ids.indices[:, 0], ids.values], axis=1), axis=0)
            frequencies += np.bincount(once[:, 1], minlength=rows)
    weights = inverse_document_frequency(frequencies, 2 * sum(map(len, pool_lengths)))
    return PairStatistics(pool_lengths, counts, lowest, highest, weights)
