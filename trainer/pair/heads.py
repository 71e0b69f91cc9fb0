"""Heads, which compare the embeddings of two texts, and the whole model of a pair."""

from __future__ import annotations

from typing import Any, TypeVar

import keras
import tensorflow as tf
from keras import KerasTensor, ops

from trainer.pair.pair_config import PairModel
from trainer.spec import narrow

# A start near the labels of STS-like data: cosine 0 scores 0.12, cosine 1 scores 0.88.
_FIRST_SCALE, _FIRST_BIAS = 4.0, -2.0
# Norms, cosines and scores, whatever the tower computes in.
EXACT = "float32"
_TINY = 1e-12

# While a model is built, and while it runs.
Vectors = TypeVar("Vectors", KerasTensor, tf.Tensor)


@keras.saving.register_keras_serializable("kembar")
class Cosine(keras.layers.Layer):
    """Cosine of two vectors; 0 where one of them is zero, so that an empty text is like no other."""

    def call(self, u: tf.Tensor, v: tf.Tensor) -> tf.Tensor:
        """[batch, dim] and [batch, dim] to [batch, 1], in [-1, 1]."""
        return ops.sum(unit(u) * unit(v), axis=-1, keepdims=True)


def cosine_head(u: KerasTensor, v: KerasTensor, model: PairModel, classes: int) -> KerasTensor:
    """sigmoid(a cos(u, v) + b) with learned a and b; symmetric."""
    if classes:
        raise ValueError("one cosine does not tell classes apart")
    start = {"kernel_initializer": keras.initializers.Constant(_FIRST_SCALE)}
    start["bias_initializer"] = keras.initializers.Constant(_FIRST_BIAS)
    return _score(Cosine(name="cosine", dtype=EXACT)(u, v), 0, **start)


def concatenation_head(u: KerasTensor, v: KerasTensor, model: PairModel, classes: int) -> KerasTensor:
    """w [u; v] + b: the classic baseline, not symmetric and blind to how u and v go together."""
    return _score(keras.layers.Concatenate(name="pair")([u, v]), classes)


def interaction_head(u: KerasTensor, v: KerasTensor, model: PairModel, classes: int) -> KerasTensor:
    """A small network over what two vectors have to do with each other.

    For a score [u + v; |u - v|; u * v; cos(u, v)], which is symmetric; Tai, Socher, Manning 2015, "Improved
    Semantic Representations From Tree-Structured LSTMs", section 4.2, uses the product and the distance. For
    classes [u - v; |u - v|; u * v; cos(u, v)], because what follows from what has a direction. Conneau et al.
    2017, "Supervised Learning of Universal Sentence Representations", section 2, have u and v themselves in
    place of u - v; a few thousand pairs are then learned by heart.
    """
    cosine = Cosine(name="cosine", dtype=EXACT)(u, v)
    # The numbers of a vector of length 1 are about dim ** -0.5, their products dim ** -1: at rates that a
    # pretrained tower bears a network learns next to nothing from them. A tower that begins with nothing is
    # better off so: it has to learn, where a quick network would learn the training pairs by heart.
    length = u.shape[-1] ** 0.5 if model.encoder == "pretrained" and not model.frozen else 1.0
    u, v = (length * scaled for scaled in _to_common_scale(u, v))
    parts = [u - v if classes else u + v, ops.abs(u - v), u * v, cosine]
    hidden = keras.layers.Dense(model.hidden, "relu", name="hidden")(
        keras.layers.Concatenate(name="pair")(parts)
    )
    return _score(keras.layers.Dropout(model.dropout, name="hidden_dropout")(hidden), classes)


def build_pair(model: PairModel, tower: keras.Model, classes: int = 0) -> keras.Model:
    """The model of a pair around a tower, whose weights it shares.

    Args:
        model: sizes and kinds.
        tower: from ids, int64 [batch, length], to embeddings, float [batch, dim]; its name is `tower`.
        classes: how many, where the label is one of several; 0 for a score.

    Returns:
        A model from `{"ids_a": [batch, length], "ids_b": [batch, length]}` to scores [batch, 1] in [0, 1], or
        to probabilities [batch, classes]; its other layer is `head`.
    """
    ids = {name: keras.Input((None,), dtype="int64", name=name) for name in ("ids_a", "ids_b")}
    head = build_head(model, tower.output_shape[-1], classes)
    return keras.Model(ids, head(_embedded(model, tower, *ids.values())), name="pair")


def _embedded(model: PairModel, tower: keras.Model, a: KerasTensor, b: KerasTensor) -> list[KerasTensor]:
    """Both texts through the tower: in one pass, but where it compares all tokens at little cost for each."""
    if model.encoder == "average":
        return [tower(a), tower(b)]
    return ops.split(tower(Stacked(name="both_texts")(a, b)), 2)


@keras.saving.register_keras_serializable("kembar")
class Stacked(keras.layers.Layer):
    """Two batches of ids as one of twice the rows, padded on the right to the longer one."""

    def call(self, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
        """[batch, length_a] and [batch, length_b] to [2 batch, length]."""
        length = ops.maximum(ops.shape(a)[1], ops.shape(b)[1])

        def padded(ids: tf.Tensor) -> tf.Tensor:
            rows, columns = ops.shape(ids)
            return ops.concatenate([ids, ops.zeros((rows, length - columns), ids.dtype)], axis=1)

        return ops.concatenate([padded(a), padded(b)], axis=0)


@keras.saving.register_keras_serializable("kembar")
class Cosines(keras.layers.Layer):
    """Cosine of every first vector with every second one."""

    def call(self, u: tf.Tensor, v: tf.Tensor) -> tf.Tensor:
        """[batch, dim] and [batch, dim] to [batch, batch]."""
        return ops.matmul(unit(u), ops.transpose(unit(v)))


def build_in_batch(pair: keras.Model, encoder: str) -> keras.Model:
    """From the inputs of `pair` to the cosines of all first texts with all second ones, [batch, batch].

    It shares the layer `encoder` with `pair`, and not the head.
    """
    u, v = (pair.get_layer(encoder)(pair.input[name]) for name in ("ids_a", "ids_b"))
    return keras.Model(pair.input, Cosines(name="cosines", dtype=EXACT)(u, v), name="in_batch")


def build_head(model: PairModel, dim: int, classes: int = 0) -> keras.Model:
    """The part of a pair's model behind the tower.

    Returns:
        A model from two embeddings, each [batch, dim], to scores [batch, 1] or probabilities [batch,
        classes]; its last layer is called `score`.
    """
    u, v = (keras.Input((dim,), name=name) for name in ("u", "v"))
    head = HEADS[model.head or ("interaction" if classes else "cosine")]
    return keras.Model([u, v], head(u, v, model, classes), name="head")


def turn_round(pair: keras.Model) -> None:
    """Makes a cosine head begin with high scores for unlike texts; another head learns that by itself.

    Scores that fall with the cosine are far from a start at which they rise: the tower gives way first.
    """
    score = narrow(pair.get_layer("head"), keras.Model).get_layer("score")
    kernel, bias = score.get_weights()
    if kernel.shape == (1, 1):
        score.set_weights([-kernel, -bias])


HEADS = {"cosine": cosine_head, "concatenation": concatenation_head, "interaction": interaction_head}


def _score(features: KerasTensor, classes: int, **start: Any) -> KerasTensor:
    kind = "softmax" if classes else "sigmoid"
    return keras.layers.Dense(classes or 1, kind, name="score", dtype=EXACT, **start)(features)


def _to_common_scale(u: KerasTensor, v: KerasTensor) -> tuple[KerasTensor, KerasTensor]:
    """Both vectors, float32, divided by the root mean square of their lengths.

    With a length of their own each the tokens that both texts have would not cancel out in the difference.
    """
    u, v = (ops.cast(vector, EXACT) for vector in (u, v))
    squares = ops.sum(ops.square(u) + ops.square(v), axis=-1, keepdims=True) / 2
    scale = ops.rsqrt(ops.maximum(squares, _TINY))
    return u * scale, v * scale


def unit(vectors: Vectors) -> Vectors:
    """Vectors [batch, dim] brought to length 1; zero stays zero."""
    # The maximum stands inside the root: the gradient of a zero vector is then zero, not NaN.
    return vectors * ops.rsqrt(ops.maximum(ops.sum(ops.square(vectors), axis=-1, keepdims=True), _TINY))
