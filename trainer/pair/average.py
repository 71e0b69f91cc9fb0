"""The encoder `average` as it is served: a text is a bag of tokens, and nothing is padded."""

from __future__ import annotations

import keras
import tensorflow as tf

from trainer.pair.encoders import TOKEN_TABLE, WEIGHT_TABLE
from trainer.spec import narrow

# Ids whose vectors are in memory together: with 256 dimensions half a GB, and as much once more.
AT_ONCE = 2**19


class SparseWeightedSum:
    """The sum of `trainer.pair.encoders.WeightedSum`, in time and memory of a text's own tokens alone.

    There every text costs as much as the longest. Training has texts of like length in a batch; a client's
    batch has a text of 5,000 characters beside one of 10.

    Args:
        tower: Of `trainer.pair.encoders.build_tower`, with the encoder `average`.
    """

    def __init__(self, tower: keras.Model) -> None:
        # The variables of TensorFlow: a gather from one reads the rows that it takes, and no others.
        self._vectors = narrow(tower.get_layer(TOKEN_TABLE), keras.layers.Embedding).embeddings.value
        self._weights = narrow(tower.get_layer(WEIGHT_TABLE), keras.layers.Embedding).embeddings.value

    def __call__(self, ids: tf.SparseTensor) -> tf.Tensor:
        """Ids, int64 [batch, (tokens)], row after row, to embeddings, float32 [batch, dim].

        A text's embedding does not depend on the other texts to the last bit.
        """
        size = tf.shape(self._vectors, tf.int64)[0]
        once, _ = tf.unique(ids.indices[:, 0] * size + ids.values)
        # `tf.unique` keeps the order, so rows rise.
        rows, tokens, count = once // size, once % size, ids.dense_shape[0]
        sums = tf.cond(
            tf.size(once) <= AT_ONCE,
            lambda: self._sums(rows, tokens, count),
            lambda: self._in_parts(rows, tokens, count),
        )
        return tf.ensure_shape(sums, [None, self._vectors.shape[1]])

    def _sums(self, rows: tf.Tensor, tokens: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
        """Sums of `count` texts, float32 [count, dim]; rows and tokens are int64 [ids]."""
        vectors = tf.gather(self._vectors, tokens) * tf.gather(self._weights, tokens)
        # There is no sum for the empty texts at the end.
        sums = tf.math.segment_sum(vectors, rows)
        return tf.pad(sums, [[0, count - tf.shape(sums, tf.int64)[0]], [0, 0]])

    def _in_parts(self, rows: tf.Tensor, tokens: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
        """The same, as many whole texts at a time as have `AT_ONCE` ids; one at least."""
        starts = tf.searchsorted(rows, tf.range(count + 1), out_type=tf.int64)
        parts = tf.TensorArray(
            tf.float32, 0, dynamic_size=True, infer_shape=False, element_shape=[None, self._vectors.shape[1]]
        )

        def part(first: tf.Tensor, parts: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
            fit = tf.searchsorted(starts, starts[first : first + 1] + AT_ONCE, "right", out_type=tf.int64)[0]
            last = tf.maximum(first + 1, fit - 1)
            ids = slice(starts[first], starts[last])
            sums = self._sums(rows[ids] - first, tokens[ids], last - first)
            return last, parts.write(parts.size(), sums)

        start = (tf.zeros([], tf.int64), parts)
        _, parts = tf.while_loop(lambda first, _: first < count, part, start, parallel_iterations=1)
        return parts.concat()
