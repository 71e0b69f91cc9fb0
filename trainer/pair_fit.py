"""How a pair model is trained: from transformed examples to the weights of the best epoch."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from trainer import devices
from trainer.batching import POOL_ROWS, make_dataset, steps
from trainer.checkpoint import Checkpoint
from trainer.config import PairModel, Training
from trainer.encoders import inverse_document_frequency
from trainer.features import IDS_A, IDS_B, LABEL, PRIMARY, Label
from trainer.fitting import EARLY_STOPPING, Data, EvalMetric, Progress, TrainingLog, announce
from trainer.heads import build_pair
from trainer.kernels import lstm_kernels, lstms
from trainer.losses import Loss, balanced, make_loss
from trainer.metrics import pair_metrics
from trainer.order import Order, draws
from trainer.spec import Spec, narrow

VOCABULARY = "tokens"
# Id 0 is padding, so what the vocabulary calls 0 is 1.
FIRST_ID = 1
_EVAL_ROWS = 1_024


@dataclass(frozen=True)
class Survey:
    """What is known of the training split before training.

    Attributes:
      pool_sizes: Pairs in each pool.
      token_weights: Inverse document frequency of every id, float32 [rows].
      class_counts: Pairs of each class, or of label 0 and 1; meaningless for scores.
    """

    pool_sizes: list[int]
    token_weights: np.ndarray
    class_counts: np.ndarray

    @property
    def pairs(self) -> int:
        """Pairs of the whole split."""
        return sum(self.pool_sizes)


def fit(data: Data, spec: Spec) -> tuple[keras.Model, TrainingLog]:
    """Trains, stops when the eval split's metric does, and keeps the best epoch's weights."""
    config, training, label = (
        narrow(spec.model, PairModel),
        narrow(spec.training, Training),
        narrow(spec.label, Label),
    )
    keras.utils.set_random_seed(training.seed)
    rows = vocabulary_rows(data.transform, spec)
    survey = take_survey(data, rows, label)
    with devices.precision(training.mixed_precision), devices.strategy().scope():
        model, _ = build_pair(config, rows, survey.token_weights, label.count)
        optimizer = keras.optimizers.get(
            {"class_name": training.optimizer, "config": {"learning_rate": training.learning_rate}}
        )
        # Each length of batch would be compiled again: on a GPU Keras' own choice can be XLA.
        parts = devices.replicas(model)
        loss = _loss(training, label, survey)
        model.compile(optimizer, loss=_share(loss, parts), jit_compile=False)
    devices.check_shares(training.batch_size, survey.pairs, parts)
    order = Order(draws(training.seed, training.epochs, 2))
    train = make_dataset(
        data.pools("train", POOL_ROWS), training.batch_size, order=order, parts=parts, cache=True
    ).apply(tf.data.experimental.assert_cardinality(steps(survey.pool_sizes, training.batch_size, parts)))
    held_out = make_dataset(data.pools("eval", POOL_ROWS), _EVAL_ROWS, cache=True)
    labels = np.concatenate([label.numpy() for _, label in held_out])
    metric = PRIMARY[label.kind]

    def measure() -> float:
        scores = np.concatenate([model(texts, training=False).numpy() for texts, _ in held_out])
        return pair_metrics(labels, scores, label)[metric]

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
    log = TrainingLog.of(model, history, survey.pairs, checkpoint.seconds, {**details, **checkpoint.details})
    # Served in float32 and on any machine, whatever it was trained in and on.
    served, tower = build_pair(config, rows, classes=label.count)
    served.set_weights(model.get_weights())
    for layer in lstms(tower):
        layer.use_cudnn = False
    return served, log


def vocabulary_rows(transform: tft.TFTransformOutput, spec: Spec) -> int:
    """Number of ids: padding, the vocabulary, and the buckets of words that are not in it."""
    return (
        FIRST_ID + transform.vocabulary_size_by_name(VOCABULARY) + narrow(spec.model, PairModel).oov_buckets
    )


def take_survey(data: Data, rows: int, label: Label) -> Survey:
    """One pass over the training split, whose ids are below `rows`."""
    frequencies = np.zeros(rows, np.int64)
    counts = np.zeros(label.count or 2, np.int64)
    pairs = []
    for pool in data.pools("train", POOL_ROWS):
        pairs.append(int(pool[LABEL].shape[0]))
        if label.kind != "score":
            counts += np.bincount(pool[LABEL].numpy().ravel().astype(int), minlength=len(counts))
        for name in (IDS_A, IDS_B):
            once = np.unique(np.stack([pool[name].indices[:, 0], pool[name].values], axis=1), axis=0)
            frequencies += np.bincount(once[:, 1], minlength=rows)
    return Survey(pairs, inverse_document_frequency(frequencies, 2 * sum(pairs)), counts)


def _loss(training: Training, label: Label, survey: Survey) -> Loss:
    weights = balanced(survey.class_counts) if training.class_weights == "balanced" else None
    return make_loss(training.loss_for(label.kind), label.count, training.label_smoothing, weights)


def _share(loss: Loss, parts: int) -> Loss:
    """Keras adds up the losses of `parts` devices; their mean is what is meant."""
    if parts == 1:
        return loss

    def share(labels: object, scores: object) -> object:
        return loss(labels, scores) / parts

    return share
