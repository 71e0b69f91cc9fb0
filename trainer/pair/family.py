"""The family `pair`: two texts, one shared tower, one score."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pyarrow as pa
import tensorflow as tf
import tensorflow_transform as tft

from trainer import metrics as measures
from trainer import tables
from trainer.families import BATCH, ContractSignature, Tensor
from trainer.features import IDS_A, IDS_B, LABEL, PRIMARY, TEXT_A, TEXT_B, Label
from trainer.fitting.warm_start import Base
from trainer.pair.baselines import METHODS
from trainer.pair.fit import fit as fit
from trainer.pair.pair_config import PairModel
from trainer.pair.signatures import PairServing
from trainer.pair.slices import pair_slices
from trainer.spec import Spec, narrow
from trainer.text.tokens import text_features
from trainer.text.vocabulary import FIRST_ID, VOCABULARY

EVALUATED = "evaluate"
SCORE = "evaluation"
PREPROCESSING = PairModel.PREPROCESSING
EVALUATION = PairModel.EVALUATION
SHAPE = (
    "encoder", "weights", "layers", "frozen", "head", "hidden", "oov_buckets", "ngrams", "embedding_dim",
    "units", "lowercase",
)  # fmt: skip


def preprocess(inputs: dict[str, Any], spec: Spec, base: Base | None = None) -> dict[str, Any]:
    """`text_a`, `text_b`, `label` [batch, 1] to ids, sparse [batch, (tokens)], and the label scaled to 0..1.

    A class keeps its place in the list of classes. Both texts share one vocabulary, learned from both. It
    begins with that of `base`; the most frequent others follow while there is room in `vocabulary_size`.
    """
    model, label = narrow(spec.model, PairModel), _label(spec)
    low, high = (0.0, 1.0) if label.kind == "classes" else label.bounds
    outputs: dict[str, Any] = {LABEL: (tf.cast(inputs[LABEL], tf.float32) - low) / (high - low)}
    if model.weights is not None:  # which brings its own tokens
        return {TEXT_A: inputs[TEXT_A], TEXT_B: inputs[TEXT_B], **outputs}
    texts = {
        ids: text_features(tf.reshape(inputs[text], [-1]), model.max_tokens, model.ngrams, model.lowercase)
        for ids, text in ((IDS_A, TEXT_A), (IDS_B, TEXT_B))
    }
    strings = tf.concat([texts[IDS_A].flat_values, texts[IDS_B].flat_values], axis=0)
    known = base.tokens if base is not None else ()
    room = model.vocabulary_size - len(known)
    if known:
        strings = _unknown(strings, known) if room > 0 else strings[:0]
    vocabulary = tft.vocabulary(
        strings,
        # Strings with a weight are counted batch by batch before they leave the graph.
        weights=tf.ones_like(strings, tf.float32),
        top_k=max(1, room),
        frequency_threshold=model.min_frequency,
        vocab_filename=VOCABULARY,
        reserved_tokens=known or None,
    )
    for name, tokens in texts.items():
        ids = tft.apply_vocabulary(tokens.to_sparse(), vocabulary, num_oov_buckets=model.oov_buckets)
        outputs[name] = tf.SparseTensor(ids.indices, ids.values + FIRST_ID, ids.dense_shape)
    return outputs


def _unknown(strings: tf.Tensor, known: tuple[bytes, ...]) -> tf.Tensor:
    """Those of `strings` that are not known."""
    table = tft.make_and_track_object(
        lambda: tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(tf.constant(known), tf.ones([len(known)], tf.int64)), 0
        ),
        name="known_tokens",
    )
    return tf.boolean_mask(strings, table.lookup(strings) == 0)


def export(
    model: keras.Model, transform: tft.TFTransformOutput, spec: Spec, threshold: float | None = None
) -> PairServing:
    """The served module, with `serving_default`, `embed`, `serve_examples` and `evaluate`."""
    return PairServing(model, transform, spec, threshold)


def objectives(spec: Spec) -> dict[str, str]:
    """The primary metric; the loss, which is measured instead where all eval labels are the same."""
    return {primary_metric(spec): f"eval_{primary_metric(spec)}", "loss": "eval_loss"}


def metrics(label: np.ndarray, score: np.ndarray, spec: Spec) -> dict[str, float]:
    """Metrics of the outputs of the signature `evaluate`."""
    return measures.pair_metrics(label, score, _label(spec))


def primary_metric(spec: Spec) -> str:
    """Spearman for scores, average precision for binary labels, accuracy for classes."""
    return PRIMARY[_label(spec).kind]


def baselines(
    train: pa.Table, splits: dict[str, pa.Table], spec: Spec
) -> dict[str, dict[str, dict[str, float]]]:
    """The simple methods for such labels, measured on each of `splits`."""
    columns_of = {split: _columns(table) for split, table in splits.items()}
    measured: dict[str, dict[str, dict[str, float]]] = {}
    for name, method in METHODS[_label(spec).kind].items():
        predict = method(_columns(train), _label(spec))
        measured[name] = {
            split: metrics(columns[LABEL], predict(columns), spec) for split, columns in columns_of.items()
        }
    return measured


def slices(train: pa.Table, rows: pa.Table, spec: Spec) -> dict[str, np.ndarray]:
    """By length, by words in common, by words that training does not know."""
    del spec
    return pair_slices(tables.texts(train), tables.texts(rows))


def golden_requests(spec: Spec) -> dict[str, dict[str, list]]:
    """Texts that have broken models before: empty, long, without known words, not in Latin script."""
    del spec
    texts = [
        "A man is playing a guitar.",
        "",
        "zzzqx 🎸🎸",
        "ひとりの男がギターを弾いている。",
        "word " * 5_000,
        "رجل يعزف",
    ]
    return {"serving_default": {"text_a": texts, "text_b": texts[::-1]}, "embed": {"text": texts}}


def contract(spec: Spec) -> dict[str, ContractSignature]:
    """The signatures of `PairServing`."""
    label = _label(spec)
    outputs = {"score": Tensor("float32")}
    if label.kind == "binary":
        outputs["label"] = Tensor("int64")
    elif label.kind == "classes":
        count = len(narrow(label.classes, tuple))
        outputs = {"probabilities": Tensor("float32", (BATCH, count)), "label": Tensor("string")}
    text, examples = Tensor("string"), {"examples": Tensor("string")}
    return {
        "serving_default": ContractSignature({TEXT_A: text, TEXT_B: text}, outputs),
        "embed": ContractSignature({"text": text}, {"embedding": Tensor("float32", (BATCH, "dim"))}),
        "serve_examples": ContractSignature(examples, outputs),
    }


def _label(spec: Spec) -> Label:
    return narrow(spec.label, Label)


def _columns(table: pa.Table) -> dict[str, np.ndarray]:
    return {**tables.texts(table), LABEL: tables.labels(table)}
