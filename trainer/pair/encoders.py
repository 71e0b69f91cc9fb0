"""Towers: from the ids of one text to its embedding."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from keras import KerasTensor, ops

from trainer.pair.pair_config import PairModel
from trainer.text.vocabulary import PADDING

# Layers of a tower: vectors of the tokens, and what they weigh.
TOKEN_TABLE, WEIGHT_TABLE = "tokens", "token_weights"
# Tokens that a filter of the CNN spans.
_WIDTHS = (2, 3, 4)
_HEADS = 4
# Below any state of an LSTM and any activation, and within bfloat16.
_LOWEST = -1e9


@keras.saving.register_keras_serializable("kembar")
class WeightedSum(keras.layers.Layer):
    """Sum of token vectors by token weights; padding counts nothing and a repeated token counts once.

    Counting once is the binary term frequency of text retrieval.
    """

    def call(self, ids: tf.Tensor, vectors: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Ids [batch, length], vectors [batch, length, dim], weights [batch, length, 1] to [batch, dim]."""
        repeats = ops.cast(_repeats(ids), vectors.dtype)[:, :, None]
        present = ops.cast(ids[:, :, None] != PADDING, vectors.dtype)
        # A product of matrices, so that no second tensor of the size of `vectors` is made.
        return ops.squeeze(ops.matmul(ops.transpose(weights * present / repeats, (0, 2, 1)), vectors), axis=1)


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
    if model.encoder == "pretrained":
        raise ValueError("trainer.pair.pretrained builds that tower")
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


def _average(ids: KerasTensor, model: PairModel, rows: int) -> KerasTensor:
    # Random vectors of variance 1 / dim are nearly orthogonal: before any training the cosine of two sums is
    # nearly the TF-IDF cosine of the texts (Johnson and Lindenstrauss 1984), and words never seen in training
    # still match themselves.
    random = keras.initializers.RandomNormal(stddev=model.embedding_dim**-0.5)
    vectors = keras.layers.Embedding(rows, model.embedding_dim, random, name=TOKEN_TABLE)(ids)
    weights = keras.layers.Embedding(rows, 1, "ones", name=WEIGHT_TABLE)(ids)
    # What is dropped is the weight, so whole tokens go, as in word dropout (Iyyer et al. 2015, section 3.1).
    weights = keras.layers.Dropout(model.dropout, name="token_dropout")(weights)
    return WeightedSum(name="weighted_sum")(ids, vectors, weights)


def _lstm(ids: KerasTensor, model: PairModel, rows: int) -> KerasTensor:
    """The last state of an LSTM (Hochreiter and Schmidhuber 1997)."""
    state = keras.layers.LSTM(model.units, name="lstm")(_vectors(ids, model, rows), mask=_cudnn_mask(ids))
    return state * ops.cast(ops.any(_present(ids), axis=1, keepdims=True), state.dtype)


def _bilstm(ids: KerasTensor, model: PairModel, rows: int) -> KerasTensor:
    """The maximum over all states of an LSTM in each direction.

    Conneau et al. 2017, "Supervised Learning of Universal Sentence Representations", section 3.2.2.
    """
    lstm = keras.layers.LSTM(model.units, return_sequences=True, name="lstm")
    both = keras.layers.Bidirectional(lstm, name="bilstm")
    return _max_over_time(ids, both(_vectors(ids, model, rows), mask=_cudnn_mask(ids)))


def _cnn(ids: KerasTensor, model: PairModel, rows: int) -> KerasTensor:
    """Filters over runs of tokens, and each one's maximum over the text (Kim 2014)."""
    vectors = _vectors(ids, model, rows)
    # Behind the last token stands what stands behind the batch's longest text: zeros.
    vectors = vectors * ops.cast(_present(ids)[:, :, None], vectors.dtype)
    feature_maps = [
        keras.layers.Conv1D(model.units, width, padding="same", activation="relu", name=f"filters_{width}")(
            vectors
        )
        for width in _WIDTHS
    ]
    return _max_over_time(ids, keras.layers.Concatenate(name="filters")(feature_maps))


def _attention(ids: KerasTensor, model: PairModel, rows: int) -> KerasTensor:
    """One block of self-attention over tokens and their positions, and the mean of what it makes of them.

    Vaswani et al. 2017, "Attention Is All You Need", sections 3.1 to 3.5; normalized before each part, which
    trains without a warm-up (Xiong et al. 2020).
    """
    vectors = _vectors(ids, model, rows)
    vectors = vectors + ops.cast(_positions(ids, model.embedding_dim), vectors.dtype)
    attention = keras.layers.MultiHeadAttention(_HEADS, max(1, model.units // _HEADS), name="attention")
    normal = keras.layers.LayerNormalization(name="before_attention")(vectors)
    vectors = vectors + attention(normal, normal, attention_mask=_present(ids)[:, None, :])
    normal = keras.layers.LayerNormalization(name="before_feed_forward")(vectors)
    hidden = keras.layers.Dense(2 * model.units, "relu", name="feed_forward")(normal)
    vectors = vectors + keras.layers.Dense(model.embedding_dim, name="feed_back")(hidden)
    return mean_over_tokens(ids, keras.layers.LayerNormalization(name="after")(vectors))


_ENCODERS = {"average": _average, "lstm": _lstm, "bilstm": _bilstm, "cnn": _cnn, "attention": _attention}


def mean_over_tokens(ids: KerasTensor, vectors: KerasTensor) -> KerasTensor:
    """Vectors [batch, length, dim] to the mean of those that are no padding, [batch, dim]; none: zeros."""
    present = ops.cast(_present(ids)[:, :, None], vectors.dtype)
    return ops.sum(vectors * present, axis=1) / ops.maximum(ops.sum(present, axis=1), 1)


def _repeats(ids: tf.Tensor) -> tf.Tensor:
    """Number of times that each id of a text is in that text, int32 [batch, length]."""
    # To compare a text's ids with each other takes length ** 2 numbers.
    in_order = tf.sort(ids, axis=1)
    return tf.searchsorted(in_order, ids, side="right") - tf.searchsorted(in_order, ids, side="left")


def _vectors(ids: KerasTensor, model: PairModel, rows: int) -> KerasTensor:
    """Token vectors [batch, length, dim], for encoders that read them in order; whole tokens are dropped."""
    vectors = keras.layers.Embedding(rows, model.embedding_dim, name=TOKEN_TABLE)(ids)
    drop = keras.layers.Dropout(model.dropout, noise_shape=(None, None, 1), name="token_dropout")
    return drop(vectors)


def _present(ids: KerasTensor) -> KerasTensor:
    return ops.not_equal(ids, PADDING)


def _cudnn_mask(ids: KerasTensor) -> KerasTensor:
    # cuDNN refuses a batch in which a text has no token at all: such a text keeps its first place of padding
    # and is set to zero afterwards.
    present = _present(ids)
    return ops.concatenate([ops.ones_like(present[:, :1]), present[:, 1:]], axis=1)


def _max_over_time(ids: KerasTensor, states: KerasTensor) -> KerasTensor:
    """States [batch, length, dim] to the maximum of those that are no padding; none: zeros."""
    present = _present(ids)[:, :, None]
    most = ops.max(ops.where(present, states, ops.cast(_LOWEST, states.dtype)), axis=1)
    return ops.where(ops.any(present, axis=1), most, ops.zeros_like(most))


def _positions(ids: KerasTensor, dim: int) -> KerasTensor:
    """Sines and cosines of each position in the text, [batch, length, dim]: any length, nothing learned."""
    positions = ops.cast(ops.cumsum(ops.ones_like(ids), axis=1) - 1, "float32")
    pairs = np.arange(dim) // 2 * 2
    angles = positions[:, :, None] * np.power(1e4, -pairs / dim).astype(np.float32)
    return ops.where(np.arange(dim) % 2 == 0, ops.sin(angles), ops.cos(angles))
