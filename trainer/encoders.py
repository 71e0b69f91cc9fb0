"""Towers: from the ids of one text to its embedding."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from trainer.config import PairModel

PADDING = 0
WEIGHT_TABLE = "token_weights"


@keras.saving.register_keras_serializable("kembar")
class WeightedSum(keras.layers.Layer):
    """Sum of token vectors by token weights; padding counts nothing and a repeated token counts once.

    Counting once is the binary term frequency of text retrieval.
    """

    def call(self, ids: Any, vectors: Any, weights: Any) -> Any:
        """Ids [batch, length], vectors [batch, length, dim], weights [batch, length, 1] to [batch, dim]."""
        same = ops.cast(ids[:, :, None] == ids[:, None, :], vectors.dtype)
        repeats = ops.sum(same, axis=-1, keepdims=True)
        present = ops.cast(ids[:, :, None] != PADDING, vectors.dtype)
        # A product of matrices, so that no second tensor of the size of `vectors` is made.
        return ops.squeeze(ops.matmul(ops.transpose(weights * present / repeats, (0, 2, 1)), vectors), axis=1)

    def compute_output_shape(self, ids_shape: Any, vectors_shape: Any, weights_shape: Any) -> Any:
        """[batch, dim]."""
        return (vectors_shape[0], vectors_shape[-1])


def build_tower(
    model: PairModel, vocabulary_rows: int, token_weights: np.ndarray | None = None
) -> keras.Model:
    """The encoder that both texts share.

    Args:
        model: sizes and kinds.
        vocabulary_rows: number of ids, the padding id 0 included.
        token_weights: float [vocabulary_rows], first weights of the tokens (see
            `inverse_document_frequency`); ones if None. Encoders that read words in order have no use for
            them.

    Returns:
        A model from ids, int64 [batch, length], padded on the right with 0, to embeddings, float [batch,
        dim]. More padding changes nothing; a text without tokens is the zero vector.
    """
    ids = keras.Input((None,), dtype="int64", name="ids")
    tower = keras.Model(ids, _ENCODERS[model.encoder](ids, model, vocabulary_rows), name="tower")
    if token_weights is not None and model.encoder == "average":
        tower.get_layer(WEIGHT_TABLE).set_weights([np.asarray(token_weights, np.float32)[:, None]])
    return tower


def inverse_document_frequency(frequencies: np.ndarray, documents: int) -> np.ndarray:
    """log((1 + documents) / (1 + frequency)) + 1, smoothed as in scikit-learn's `TfidfTransformer`.

    Args:
        frequencies: int [vocabulary_rows], in how many training texts each id occurs.
        documents: number of training texts.

    Returns:
        float32 [vocabulary_rows]; an id that was never seen weighs most.
    """
    return (np.log((1 + documents) / (1 + frequencies)) + 1).astype(np.float32)


def _average(ids: Any, model: PairModel, rows: int) -> Any:
    # Random vectors of variance 1 / dim are nearly orthogonal: before any training the cosine of two sums is
    # nearly the TF-IDF cosine of the texts (Johnson and Lindenstrauss 1984), and words never seen in training
    # still match themselves.
    random = keras.initializers.RandomNormal(stddev=model.embedding_dim**-0.5)
    vectors = keras.layers.Embedding(rows, model.embedding_dim, random, name="tokens")(ids)
    weights = keras.layers.Embedding(rows, 1, "ones", name=WEIGHT_TABLE)(ids)
    # What is dropped is the weight, so whole tokens go, as in word dropout (Iyyer et al. 2015, section 3.1).
    weights = keras.layers.Dropout(model.dropout, name="token_dropout")(weights)
    return WeightedSum(name="weighted_sum")(ids, vectors, weights)


def _lstm(ids: Any, model: PairModel, rows: int) -> Any:
    vectors = keras.layers.Embedding(rows, model.embedding_dim, name="tokens")(ids)
    present = ops.not_equal(ids, PADDING)
    # cuDNN refuses a batch in which a text has no token at all: such a text keeps its first place of padding
    # and is set to zero afterwards.
    mask = ops.concatenate([ops.ones_like(present[:, :1]), present[:, 1:]], axis=1)
    state = keras.layers.LSTM(model.units, dropout=model.dropout, name="lstm")(vectors, mask=mask)
    return state * ops.cast(ops.any(present, axis=1, keepdims=True), state.dtype)


_ENCODERS = {"average": _average, "lstm": _lstm}
