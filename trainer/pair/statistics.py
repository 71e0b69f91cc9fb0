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

# Of Fisher's z, in its deviations: by chance it is lower once in 30,000 trainings.
_CLEAR = -4.0
# More than any id.
_IDS = 1 << 32


@dataclass(frozen=True)
class PairStatistics:
    """Statistics of the training split.

    Attributes:
      lengths: Of each pool, the tokens of each pair's longer text, int64 [pairs].
      class_counts: Pairs of each class, or of label 0 and 1; meaningless for scores.
      lowest_label: As they are trained on: scaled to 0..1; of classes the index.
      highest_label: The same.
      token_weights: Inverse document frequency of every id, float32 [rows].
      overlap_correlation: Of labels with the share of ids that both texts have, Pearson's; 0 where there is
        none, as with labels that are all the same.
    """

    lengths: list[np.ndarray]
    class_counts: np.ndarray
    lowest_label: float
    highest_label: float
    token_weights: np.ndarray
    overlap_correlation: float = 0.0

    @property
    def pairs(self) -> int:
        """Pairs of the whole split."""
        return sum(map(len, self.lengths))

    @property
    def unlike(self) -> bool:
        """True where labels clearly are the higher the less two texts share."""
        z = np.arctanh(np.clip(self.overlap_correlation, -0.999, 0.999))
        return bool(z * np.sqrt(max(self.pairs - 3, 0)) < _CLEAR)


def vocabulary_rows(transform: tft.TFTransformOutput, spec: Spec) -> int:
    """Number of ids: padding, the vocabulary, and the buckets of words that are not in it."""
    buckets = narrow(spec.model, PairModel).oov_buckets
    return FIRST_ID + transform.vocabulary_size_by_name(VOCABULARY) + buckets


def measure_pairs(pools: tf.data.Dataset, rows: int, label: Label) -> PairStatistics:
    """Statistics from one pass over the training split; `rows` is the number of ids, 0 to count none."""
    frequencies = np.zeros(rows, np.int64)
    counts = np.zeros(label.count or 2, np.int64)
    pool_lengths: list[np.ndarray] = []
    overlaps: list[np.ndarray] = []
    for pool in pools:
        pool_lengths.append(lengths(pool).numpy())
        labels: np.ndarray = pool[LABEL].numpy().ravel()
        if label.kind != "score":
            counts += np.bincount(labels.astype(int), minlength=len(counts))
        a, b = _once(pool[IDS_A]), _once(pool[IDS_B])
        for keys in (a, b) if rows else ():
            frequencies += np.bincount(keys % _IDS, minlength=rows)
        overlaps.append(np.stack([labels, _overlap(a, b, len(labels))]))
    texts = 2 * sum(map(len, pool_lengths))
    by_pair = np.concatenate(overlaps, axis=1)
    spread = by_pair.std(axis=1)
    return PairStatistics(
        pool_lengths,
        counts,
        float(by_pair[0].min()),
        float(by_pair[0].max()),
        inverse_document_frequency(frequencies, texts),
        float(np.corrcoef(by_pair)[0, 1]) if label.kind != "classes" and spread.all() else 0.0,
    )


def _once(ids: tf.SparseTensor | tf.RaggedTensor) -> np.ndarray:
    """The different ids of each text, as row * 2**32 + id, sorted."""
    ragged = ids if isinstance(ids, tf.RaggedTensor) else tf.RaggedTensor.from_sparse(ids)
    return np.unique(ragged.value_rowids().numpy() * _IDS + ragged.flat_values.numpy())


def _overlap(a: np.ndarray, b: np.ndarray, pairs: int) -> np.ndarray:
    """Share of their different ids that both texts of a pair have (Jaccard's index), [pairs]; 0 of none."""
    shared, either = (
        np.bincount(keys // _IDS, minlength=pairs)
        for keys in (np.intersect1d(a, b, assume_unique=True), np.union1d(a, b))
    )
    return shared / np.maximum(either, 1)
