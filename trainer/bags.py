"""The encoder `average` as it is served: a text is a bag of tokens, and nothing is padded."""

from __future__ import annotations

import keras
import tensorflow as tf

from trainer.encoders import TOKEN_TABLE, WEIGHT_TABLE


class Bags:
    """What `trainer.encoders.WeightedSum` makes of padded ids, in time and memory of its tokens alone.

    There every text costs as much as the longest. Training has texts of like length in a batch; a client's
    batch has a text of 5,000 characters beside one of 10.

    Args:
        tower: Of `trainer.encoders.build_tower`, with the encoder `average`.
    """

    def __init__(self, tower: keras.Model) -> None:
        # The variables of TensorFlow: a gather from one reads the rows that it takes, and no others.
        self._vectors = tower.get_layer(TOKEN_TABLE).embeddings.value
        self._weights = tower.get_layer(WEIGHT_TABLE).embeddings.value

    def __call__(self, ids: tf.SparseTensor) -> tf.Tensor:
        """Ids, int64 [batch, (tokens)], row after row, to embeddings, float32 [batch, dim].

        A text's embedding does not depend on the other texts to the last bit.
        """
        size = tf.shape(self._vectors, tf.int64)[0]
        once, _ = tf.unique(ids.indices[:, 0] * size + ids.values)
        rows, tokens = once // size, once % size
        vectors = tf.gather(self._vectors, tokens) * tf.gather(self._weights, tokens)
        # `tf.unique` keeps the order, so rows rise; there is no sum for the empty texts at the end.
        sums = tf.math.segment_sum(vectors, rows)
        missing = ids.dense_shape[0] - tf.shape(sums, tf.int64)[0]
        return tf.ensure_shape(tf.pad(sums, [[0, missing], [0, 0]]), [None, self._vectors.shape[1]])
