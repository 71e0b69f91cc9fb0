"""Unicode's normalization form KC (UAX #15) in core TensorFlow ops.

tensorflow-text has an op for it, but a graph with that op can only be loaded where the library is. Two
tables of Python's own Unicode data do the same: what each character stands for, and what a letter and a mark
behind it make together. Left out are marks that stand in another than the canonical order, and Korean
syllables spelled as single letters.
"""

from __future__ import annotations

import functools
import sys
import unicodedata

import numpy as np
import tensorflow as tf

# A letter can carry three marks (Greek); each joins what those before have made.
_ROUNDS = 3
_SHIFT = 2**21


def nfkc(points: tf.RaggedTensor) -> tf.RaggedTensor:
    """Code points of texts, int32 [batch, (characters)], to those of their normalized forms."""
    return functools.reduce(lambda composed, _: _compose(composed), range(_ROUNDS), _replace(points))


@functools.cache
def _replacements() -> tuple[np.ndarray, list[list[int]]]:
    """Characters that stand for others, in order, and for which."""
    normal = ((point, unicodedata.normalize("NFKC", chr(point))) for point in range(0x80, sys.maxunicode + 1))
    replacements = {point: list(map(ord, text)) for point, text in normal if text != chr(point)}
    return np.array(list(replacements), np.int32), list(replacements.values())


@functools.cache
def _compositions() -> tuple[np.ndarray, np.ndarray]:
    """Pairs of characters that make one, as first * 2**21 + second, in order; and which one."""
    compositions = {}
    for point in range(0x80, sys.maxunicode + 1):
        parts = unicodedata.decomposition(chr(point)).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            first, second = (int(part, 16) for part in parts)
            if unicodedata.normalize("NFC", chr(first) + chr(second)) == chr(point):
                compositions[first * _SHIFT + second] = point
    pairs = sorted(compositions)
    return np.array(pairs, np.int64), np.array([compositions[pair] for pair in pairs], np.int32)


def _lookup(values: tf.Tensor, keys: np.ndarray) -> tuple[tf.Tensor, tf.Tensor]:
    """Index of each value in `keys`, and True where it is one of them."""
    index = tf.minimum(tf.searchsorted(keys, values), len(keys) - 1)
    return index, tf.equal(tf.gather(tf.constant(keys), index), values)


def _replace(points: tf.RaggedTensor) -> tf.RaggedTensor:
    keys, made = _replacements()
    index, listed = _lookup(points.flat_values, keys)
    # One more row, of nothing, for characters that stay; and those alone.
    others = tf.ragged.constant([*made, []], tf.int32, row_splits_dtype=tf.int64)
    replaced = tf.gather(others, tf.where(listed, index, len(keys)))
    kept = tf.RaggedTensor.from_row_lengths(
        tf.boolean_mask(points.flat_values, ~listed), tf.cast(~listed, tf.int64)
    )
    return points.with_values(tf.concat([kept, replaced], axis=1)).merge_dims(1, 2)


def _compose(points: tf.RaggedTensor) -> tf.RaggedTensor:
    keys, made = _compositions()
    flat, rows = points.flat_values, points.value_rowids()
    following = tf.concat([flat[1:], [0]], axis=0)
    together = tf.equal(rows, tf.concat([rows[1:], [-1]], axis=0))
    pairs = tf.cast(flat, tf.int64) * _SHIFT + tf.cast(following, tf.int64)
    index, listed = _lookup(pairs, keys)
    listed &= together
    flat = tf.where(listed, tf.gather(tf.constant(made), index), flat)
    stays = ~tf.concat([[False], listed], axis=0)[: tf.size(flat)]
    return tf.ragged.boolean_mask(points.with_flat_values(flat), points.with_flat_values(stays))
