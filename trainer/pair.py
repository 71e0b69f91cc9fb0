"""The family `pair`: two texts, one shared tower, one score."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pyarrow as pa
import tensorflow as tf
import tensorflow_transform as tft

from trainer import devices, tables
from trainer import metrics as measures
from trainer.baselines import average_label, tfidf_cosine
from trainer.batching import POOL_ROWS, make_dataset, steps
from trainer.checkpoint import Checkpoint
from trainer.config import PairModel, Training
from trainer.encoders import inverse_document_frequency
from trainer.features import IDS_A, IDS_B, LABEL, PRIMARY, TEXT_A, TEXT_B, Label
from trainer.fitting import EARLY_STOPPING, Data, EvalMetric, Progress, TrainingLog, announce
from trainer.heads import build_pair
from trainer.kernels import lstm_kernels, lstms
from trainer.losses import LOSSES, Loss
from trainer.order import Order, draws
from trainer.signatures import PairServing
from trainer.spec import Spec, narrow
from trainer.text import text_features

EVALUATED = "serve_examples"
SCORE = "score"
VOCABULARY = "tokens"
# What `preprocess` reads of the model.
EVALUATION: tuple[str, ...] = ()
PREPROCESSING = ("max_tokens", "ngrams", "vocabulary_size", "min_frequency", "oov_buckets")
# Id 0 is padding, so what the vocabulary calls 0 is 1.
_FIRST_ID = 1


def preprocess(inputs: dict[str, Any], spec: Spec) -> dict[str, Any]:
    """`text_a`, `text_b`, `label` [batch, 1] to ids, sparse [batch, (tokens)], and the label scaled to 0..1.

    Both texts share one vocabulary, learned from both.
    """
    model, label = narrow(spec.model, PairModel), _label(spec)
    texts = {
        ids: text_features(tf.reshape(inputs[text], [-1]), model.max_tokens, model.ngrams)
        for ids, text in ((IDS_A, TEXT_A), (IDS_B, TEXT_B))
    }
    strings = tf.concat([texts[IDS_A].flat_values, texts[IDS_B].flat_values], axis=0)
    vocabulary = tft.vocabulary(
        strings,
        # Strings with a weight are counted batch by batch before they leave the graph.
        weights=tf.ones_like(strings, tf.float32),
        top_k=model.vocabulary_size,
        frequency_threshold=model.min_frequency,
        vocab_filename=VOCABULARY,
    )
    low, high = label.bounds
    outputs: dict[str, Any] = {LABEL: (tf.cast(inputs[LABEL], tf.float32) - low) / (high - low)}
    for name, tokens in texts.items():
        found = tft.apply_vocabulary(tokens.to_sparse(), vocabulary, num_oov_buckets=model.oov_buckets)
        outputs[name] = tf.SparseTensor(found.indices, found.values + _FIRST_ID, found.dense_shape)
    return outputs


def fit(data: Data, spec: Spec) -> tuple[keras.Model, TrainingLog]:
    """Trains, stops when the eval split's metric does, and keeps the best epoch's weights."""
    config, training = narrow(spec.model, PairModel), narrow(spec.training, Training)
    keras.utils.set_random_seed(training.seed)
    rows = vocabulary_rows(data.transform, spec)
    weights, pool_sizes = document_weights(data, rows)
    pairs = sum(pool_sizes)
    with devices.precision(training.mixed_precision), devices.strategy().scope():
        model, _ = build_pair(config, rows, weights)
        optimizer = keras.optimizers.get(
            {"class_name": training.optimizer, "config": {"learning_rate": training.learning_rate}}
        )
        # Each length of batch would be compiled again: on a GPU Keras' own choice can be XLA.
        parts = devices.replicas(model)
        model.compile(optimizer, loss=_share(LOSSES[training.loss], parts), jit_compile=False)
    devices.check_shares(training.batch_size, pairs, parts)
    order = Order(draws(training.seed, training.epochs, 2))
    train = make_dataset(
        data.pools("train", POOL_ROWS), training.batch_size, order=order, parts=parts, cache=True
    ).apply(tf.data.experimental.assert_cardinality(steps(pool_sizes, training.batch_size, parts)))
    held_out = make_dataset(data.pools("eval", POOL_ROWS), 1_024, cache=True)
    labels = np.concatenate([label.numpy() for _, label in held_out])
    metric = primary_metric(spec)

    def measure() -> float:
        scores = np.concatenate([model(texts, training=False).numpy().ravel() for texts, _ in held_out])
        return measures.pair_metrics(labels, scores, _label(spec))[metric]

    stopping = keras.callbacks.EarlyStopping(
        f"eval_{metric}", mode="max", patience=training.patience, restore_best_weights=True
    )
    details = announce({**devices.describe(model), **lstm_kernels(model)})
    checkpoint = Checkpoint(data.checkpoints)
    history = model.fit(
        train,
        initial_epoch=checkpoint.restore(model, stopping, EARLY_STOPPING, training.epochs),
        epochs=training.epochs,
        verbose=0,
        shuffle=False,
        callbacks=[
            order,
            EvalMetric(metric, measure),
            stopping,
            keras.callbacks.TensorBoard(data.log_dir),
            Progress(training.epochs),
            checkpoint,
        ],
    ).history
    log = TrainingLog.of(model, history, pairs, checkpoint.seconds, {**details, **checkpoint.details})
    # Served in float32 and on any machine, whatever it was trained in and on.
    served, tower = build_pair(config, rows)
    served.set_weights(model.get_weights())
    for layer in lstms(tower):
        layer.use_cudnn = False
    return served, log


def vocabulary_rows(transform: tft.TFTransformOutput, spec: Spec) -> int:
    """Number of ids: padding, the vocabulary, and the buckets of words that are not in it."""
    return (
        _FIRST_ID + transform.vocabulary_size_by_name(VOCABULARY) + narrow(spec.model, PairModel).oov_buckets
    )


def document_weights(data: Data, rows: int) -> tuple[np.ndarray, list[int]]:
    """Inverse document frequency of every id in training, float32 [rows]; and the pairs of each pool."""
    frequencies = np.zeros(rows, np.int64)
    pairs = []
    for pool in data.pools("train", POOL_ROWS):
        pairs.append(int(pool[LABEL].shape[0]))
        for name in (IDS_A, IDS_B):
            once = np.unique(np.stack([pool[name].indices[:, 0], pool[name].values], axis=1), axis=0)
            frequencies += np.bincount(once[:, 1], minlength=rows)
    return inverse_document_frequency(frequencies, 2 * sum(pairs)), pairs


def export(model: keras.Model, transform: tft.TFTransformOutput, spec: Spec) -> PairServing:
    """The served module, with `serving_default`, `embed` and `serve_examples`."""
    return PairServing(model, transform, spec)


def metrics(label: np.ndarray, score: np.ndarray, spec: Spec) -> dict[str, float]:
    """Metrics of scores in the label's own range."""
    return measures.pair_metrics(label, score, _label(spec))


def primary_metric(spec: Spec) -> str:
    """Spearman for scores, average precision for binary labels."""
    return PRIMARY[_label(spec).kind]


def baselines(
    train: pa.Table, splits: dict[str, pa.Table], spec: Spec
) -> dict[str, dict[str, dict[str, float]]]:
    """The mean label and the TF-IDF cosine, measured on each of `splits`."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for name, method in (("majority", average_label), ("tfidf_cosine", tfidf_cosine)):
        predict = method(_columns(train), _label(spec))
        found[name] = {}
        for split, table in splits.items():
            columns = _columns(table)
            found[name][split] = metrics(columns[LABEL], predict(columns), spec)
    return found


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
    return {
        "serving_default": {"text_a": texts, "text_b": texts[::-1]},
        "embed": {"text": texts},
    }


def _share(loss: Loss, parts: int) -> Loss:
    """Keras adds up the losses of `parts` devices; their mean is what is meant."""
    if parts == 1:
        return loss

    def share(labels: Any, scores: Any) -> Any:
        return loss(labels, scores) / parts

    return share


def _label(spec: Spec) -> Label:
    return narrow(spec.label, Label)


def _columns(table: pa.Table) -> dict[str, np.ndarray]:
    return {**tables.texts(table), LABEL: tables.labels(table)}
