"""The signatures of the exported pair model. One scoring function stands behind all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
import tensorflow_transform as tft

from trainer.features import IDS_A, IDS_B, TEXT_A, TEXT_B, Label
from trainer.pair.average import SparseWeightedSum
from trainer.pair.pair_config import PairModel
from trainer.spec import Spec, narrow
from trainer.text.pieces import WordPiece


class PairServing(tf.Module):
    """Raw texts in, scores in the label's own range out; the vocabulary is inside.

    Signatures:
      serving_default: text_a, text_b (string [batch]) -> score (float [batch]); label (int64 [batch])
        where labels are binary. For classes -> probabilities (float [batch, classes]) and label (string
        [batch]).
      embed: text (string [batch]) -> embedding (float [batch, dim]).
      serve_examples: examples (serialized tf.Example [batch]) -> the outputs of serving_default.
      evaluate: examples -> evaluation (float [batch, n]): the score; the score and the label, for binary
        labels; the probabilities, for classes.
    """

    def __init__(
        self, model: keras.Model, transform: tft.TFTransformOutput, spec: Spec, threshold: float | None = None
    ) -> None:
        """`threshold` is the score, in 0..1, from which on `label` is 1; binary labels need it."""
        super().__init__()
        self._model = model
        self._tower = narrow(model.get_layer("tower"), keras.Model)
        self._threshold = threshold
        config = narrow(spec.model, PairModel)
        # Held here so that the vocabulary is saved with this module.
        self._piece: Any = None
        self._transform: Any = None
        if config.encoder == "pretrained":
            self._piece = WordPiece(narrow(config.weights, Path), config.max_tokens)
        else:
            self._transform = transform.transform_features_layer()
        self._sparse_sum = SparseWeightedSum(self._tower) if config.encoder == "average" else None
        self._label = narrow(spec.label, Label)

    def served(self) -> dict[str, Any]:
        """Signature name to concrete function, for tf.saved_model.save."""
        examples = tf.TensorSpec([None], tf.string, "examples")
        return {
            "serving_default": self.score_texts.get_concrete_function(
                tf.TensorSpec([None], tf.string, TEXT_A), tf.TensorSpec([None], tf.string, TEXT_B)
            ),
            "embed": self.embed.get_concrete_function(tf.TensorSpec([None], tf.string, "text")),
            "serve_examples": self.score_examples.get_concrete_function(examples),
            "evaluate": self.evaluate.get_concrete_function(examples),
        }

    def _score(self, text_a: tf.Tensor, text_b: tf.Tensor) -> dict[str, tf.Tensor]:
        answers = self._answers(text_a, text_b)
        if self._label.classes is not None:
            names = tf.constant(self._label.classes)
            return {"probabilities": answers, "label": tf.gather(names, tf.argmax(answers, axis=-1))}
        scaled = tf.reshape(answers, [-1])
        low, high = self._label.bounds
        outputs = {"score": low + (high - low) * scaled}
        if self._label.kind == "binary":
            outputs["label"] = tf.cast(scaled >= narrow(self._threshold, float), tf.int64)
        return outputs

    def _answers(self, text_a: tf.Tensor, text_b: tf.Tensor) -> tf.Tensor:
        sizes = [tf.size(text_a), tf.size(text_b)]
        # Else one row would be compared with all others, or both texts cut in the wrong place.
        same = tf.debugging.assert_equal(sizes[0], sizes[1], "text_a and text_b: as many rows in both")
        with tf.control_dependencies([same]):
            text_a = tf.identity(text_a)
        # One pass over both: what makes ids of texts is most of the graph, and of the time of its first call.
        texts = tf.concat([text_a, text_b], axis=0)
        if self._sparse_sum is None:
            a, b = tf.split(self._ids(texts), sizes)
            return self._model({IDS_A: a, IDS_B: b}, training=False)
        return self._model.get_layer("head")(tf.split(self._embed(texts), sizes), training=False)

    @tf.function
    def score_texts(self, text_a: tf.Tensor, text_b: tf.Tensor) -> dict[str, tf.Tensor]:
        """text_a, text_b: string [batch]."""
        return self._score(text_a, text_b)

    @tf.function
    def score_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """examples: serialized tf.Example [batch]; features that are not texts are passed over."""
        texts = {name: tf.io.FixedLenFeature([], tf.string) for name in (TEXT_A, TEXT_B)}
        parsed = tf.io.parse_example(examples, texts)
        return self._score(parsed[TEXT_A], parsed[TEXT_B])

    @tf.function
    def evaluate(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """examples: serialized tf.Example [batch]."""
        outputs = self.score_examples(examples)
        if self._label.classes is not None:
            return {"evaluation": outputs["probabilities"]}
        columns = [outputs["score"]]
        if self._label.kind == "binary":
            columns.append(tf.cast(outputs["label"], tf.float32))
        return {"evaluation": tf.stack(columns, axis=-1)}

    @tf.function
    def embed(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """text: string [batch]."""
        return {"embedding": self._embed(text)}

    def _embed(self, texts: tf.Tensor) -> tf.Tensor:
        """String [batch] to float [batch, dim]."""
        if self._sparse_sum is None:
            return self._tower(self._ids(texts), training=False)
        return self._sparse_sum(self._sparse_ids(texts))

    def _ids(self, texts: tf.Tensor) -> tf.Tensor:
        """String [batch] to int64 [batch, length]; both texts have one vocabulary."""
        return _dense(self._sparse_ids(texts)) if self._piece is None else self._piece(texts).to_tensor()

    def _sparse_ids(self, texts: tf.Tensor) -> tf.SparseTensor:
        return self._transform({TEXT_A: texts[:, tf.newaxis]})[IDS_A]


def _dense(ids: Any) -> tf.Tensor:
    """Ids, sparse [batch, (tokens)], padded on the right with 0; one column of padding at least."""
    dense = tf.sparse.to_dense(ids)
    return tf.cond(
        tf.shape(dense)[1] > 0, lambda: dense, lambda: tf.zeros([tf.shape(dense)[0], 1], dense.dtype)
    )
