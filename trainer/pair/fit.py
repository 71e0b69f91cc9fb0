"""The training of a pair model: from transformed examples to the weights of the best epoch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainer.diagnosis import advice, check_labels
from trainer.errors import KembarError
from trainer.features import IDS_A, IDS_B, LABEL, Label
from trainer.fitting import devices, workers
from trainer.fitting.order import RowOrder, draws, in_passes
from trainer.fitting.training import FittedModel, TrainingLog, TransformedData, run_epochs
from trainer.fitting.warm_start import carry_over, growth
from trainer.pair import pretrained
from trainer.pair.batching import POOL_ROWS, make_dataset, rows_within, steps
from trainer.pair.calibration import calibrate_model
from trainer.pair.encoders import TOKEN_TABLE, build_tower
from trainer.pair.heads import build_head, build_in_batch, build_pair, turn_round
from trainer.pair.kernels import lstm_kernels, lstms
from trainer.pair.losses import balanced, make_loss, shared
from trainer.pair.optimizers import make_optimizer
from trainer.pair.pair_config import PairModel, PairTraining
from trainer.pair.statistics import PairStatistics, measure_pairs, vocabulary_rows
from trainer.pair.validation import doubts, scored, watched
from trainer.pair.vectors import start_vectors
from trainer.spec import Spec, narrow
from trainer.text.pieces import WordPiece
from trainer.text.vocabulary import FIRST_ID, VOCABULARY, vocabulary

_EVAL_ROWS = 1_024
# With 256 dimensions half a GB: one long text pads all of its batch.
_EVAL_TOKENS = 2**19
_XLA_MULTIPLE = 8
# Ids of a token and its n-grams of one length, which few words are longer than: texts with more ids are no
# sentences, and one alone would pad its whole batch.
_IDS_OF_A_TOKEN = 11
# Where the rows of a batch cost more: 64 texts of 100 word pieces are 5 GB in a BERT of 12 layers.
_EVAL_ROWS_PRETRAINED = 64

Pools = dict[str, tf.data.Dataset]


def fit(data: TransformedData, spec: Spec) -> FittedModel:
    """Trains, stops when the eval split's metric does, and keeps the best epoch's weights."""
    config = narrow(spec.model, PairModel)
    keras.utils.set_random_seed(narrow(spec.training, PairTraining).seed)
    for split in ("train", "eval"):
        if not list(data.pools(split, 1).take(1)):
            raise KembarError(f"the {split} split has no row: give [data] files or [data] split more rows")
    if config.encoder != "pretrained":
        return _from_scratch(data, spec, config)
    piece = WordPiece(narrow(config.weights, Path), config.max_tokens)
    pools = {split: data.pools(split, POOL_ROWS).map(piece.pool) for split in ("train", "eval")}
    return (_frozen if config.frozen else _fine_tuned)(data, spec, config, pools)


def _from_scratch(data: TransformedData, spec: Spec, config: PairModel) -> FittedModel:
    rows = vocabulary_rows(data.transform, spec)
    pools = {split: data.pools(split, POOL_ROWS) for split in ("train", "eval")}
    statistics = measure_pairs(pools["train"], rows, narrow(spec.label, Label))
    tokens = data.transform.vocabulary_by_name(VOCABULARY)

    def build(first: bool) -> keras.Model:
        tower = build_tower(config, rows, statistics.token_weights if first else None)
        if first and config.token_vectors:
            table = tower.get_layer(TOKEN_TABLE)
            table.set_weights([start_vectors(config, tokens, table.get_weights()[0], FIRST_ID)])
        model = build_pair(config, tower, _classes(spec))
        if first and data.base is not None:
            carry_over(model, data.base, tokens, config.oov_buckets)
        return model

    base = data.base
    grown = growth(base, vocabulary(data.transform), config.vocabulary_size) if base is not None else {}
    fitted = _train_on_ids(data, spec, pools, statistics, build)
    fitted.log.details |= grown
    for layer in lstms(_tower(fitted.model)):
        layer.use_cudnn = False
    return fitted


def _fine_tuned(data: TransformedData, spec: Spec, config: PairModel, pools: Pools) -> FittedModel:
    statistics = measure_pairs(pools["train"], 0, narrow(spec.label, Label))

    def build(first: bool) -> keras.Model:
        load = first and data.base is None
        model = build_pair(config, pretrained.build_tower(config, load), _classes(spec))
        if first and data.base is not None:
            carry_over(model, data.base)
        return model

    return _train_on_ids(data, spec, pools, statistics, build)


def _frozen(data: TransformedData, spec: Spec, config: PairModel, pools: Pools) -> FittedModel:
    """Texts become vectors once, and what stands behind the trunk is trained on those."""
    training = narrow(spec.training, PairTraining)
    statistics = measure_pairs(pools["train"], 0, narrow(spec.label, Label))
    served = build_pair(config, pretrained.build_tower(config), _classes(spec))
    trunk = narrow(_tower(served).get_layer(pretrained.TRUNK), keras.Model)
    rows = {split: _rows(pools[split]) for split in pools}
    vectors = pretrained.embed(trunk, [ids for split in rows.values() for ids in split[:2]])
    train, held_out = ((*vectors[at : at + 2], rows[split][2]) for at, split in ((0, "train"), (2, "eval")))

    def build() -> keras.Model:
        dim = trunk.output_shape[-1]
        top, head = pretrained.build_top(config, dim), build_head(config, dim, _classes(spec))
        inputs = {name: keras.Input((dim,), name=name) for name in (IDS_A, IDS_B)}
        model = keras.Model(inputs, head([top(vector) for vector in inputs.values()]), name="pair")
        if data.base is not None:
            carry_over(model, data.base)
        return model

    order = RowOrder(draws(training.seed, training.epochs, 2))
    size = min(training.batch_size, statistics.pairs)
    judged = tf.data.Dataset.from_tensor_slices(held_out).batch(_EVAL_ROWS).map(_named).cache()
    batches, count = order.batches(train, size).map(_named), statistics.pairs // size
    model, log = _train(data, spec, build, statistics, batches, judged, order, count)
    _tower(served).get_layer("top").set_weights(model.get_layer("top").get_weights())
    served.get_layer("head").set_weights(model.get_layer("head").get_weights())
    log.parameters = served.count_params()
    return _calibrated(served, log, scored(model, judged), spec)


def _train_on_ids(
    data: TransformedData,
    spec: Spec,
    pools: Pools,
    statistics: PairStatistics,
    build: Callable[[bool], keras.Model],
) -> FittedModel:
    """Trains `build(True)` on ids; served is `build(False)`, in float32, with its weights."""
    training = narrow(spec.training, PairTraining)
    pretrained_tower = narrow(spec.model, PairModel).encoder == "pretrained"
    parts = workers.strategy().num_replicas_in_sync
    order = RowOrder(draws(training.seed, training.epochs, 2))
    size, multiple = training.batch_size, _XLA_MULTIPLE if training.compiled else 1
    tokens = training.tokens_per_batch or bound_of(spec, statistics)
    count = steps(statistics.lengths, size, parts, multiple, tokens)
    alone, ids = parts == 1, pools["train"]
    train = make_dataset(
        ids, size, order=order, parts=parts, multiple=multiple, tokens=tokens, all_epochs=alone
    )
    known = tf.data.experimental.assert_cardinality(count)
    train = in_passes(train, count) if alone else train.apply(known)
    rows = _EVAL_ROWS_PRETRAINED if pretrained_tower else rows_within(pools["eval"], _EVAL_ROWS, _EVAL_TOKENS)
    held_out = make_dataset(pools["eval"], rows)
    model, log = _train(data, spec, lambda: build(True), statistics, train, held_out, order, count)
    # Served in float32 and on any machine, whatever it was trained in and on.
    served = build(False)
    served.set_weights(model.get_weights())
    return _calibrated(served, log, scored(served, held_out), spec)


def _calibrated(
    served: keras.Model, log: TrainingLog, judged: tuple[np.ndarray, np.ndarray], spec: Spec
) -> FittedModel:
    """The result of a training; `judged` are labels and scores of the eval split."""
    threshold = calibrate_model(served, *judged, spec)
    if threshold is not None:
        log.details["threshold"] = threshold
    if warnings := doubts(*judged, narrow(spec.label, Label)):
        log.details["warnings"] = warnings
    return FittedModel(served, log, threshold)


def bound_of(spec: Spec, statistics: PairStatistics) -> int | None:
    """Padded ids of both texts in a batch at most, where a text is longer than ordinary ones can be."""
    config = narrow(spec.model, PairModel)
    ordinary = config.max_tokens * (1 + (_IDS_OF_A_TOKEN - 1) * max(1, len(config.ngrams)))
    longest = max(int(pool.max()) for pool in statistics.lengths)
    return 2 * narrow(spec.training, PairTraining).batch_size * ordinary if longest > ordinary else None


def _train(
    data: TransformedData,
    spec: Spec,
    build: Callable[[], keras.Model],
    statistics: PairStatistics,
    batches: tf.data.Dataset,
    held_out: tf.data.Dataset,
    order: RowOrder,
    steps_per_epoch: int,
) -> tuple[keras.Model, TrainingLog]:
    training, label = narrow(spec.training, PairTraining), narrow(spec.label, Label)
    config = narrow(spec.model, PairModel)
    in_batch = training.loss_for(label.kind) == "in_batch"
    if not in_batch or not statistics.highest_label:  # it learns from matches
        low, high = (0.0, 1.0) if label.kind == "classes" else label.bounds
        lowest, highest = statistics.lowest_label, statistics.highest_label
        scale = high - low
        check_labels(label, low + scale * lowest, low + scale * highest, statistics.pairs)
    fine_tuned = config.encoder == "pretrained" and not config.frozen
    with devices.precision(training.mixed_precision), workers.strategy().scope():
        model = build()
        turned = statistics.unlike and data.base is None and not in_batch
        if turned:
            turn_round(model)
        parts = devices.replicas(model)
        # What is trained shares its layers with what scores.
        trained = workers.fitted(build_in_batch(model, _encoder(model)) if in_batch else model)
        weights = balanced(statistics.class_counts) if training.class_weights == "balanced" else None
        loss = make_loss(training.loss_for(label.kind), label.count, training.label_smoothing, weights)
        # Each length of batch is compiled again: on a GPU Keras' own choice can be XLA.
        trained.compile(
            make_optimizer(training, steps_per_epoch, parts),
            loss=shared(loss, parts),
            jit_compile=training.compiled and parts == 1,
            # A step of a whole BERT hides Python's part in it.
            steps_per_execution=1 if fine_tuned else devices.steps_per_execution(parts),
        )
        # Keras would make its variables inside the first step, where several workers cannot.
        trained.optimizer.build(trained.trainable_variables)
    devices.check_shares(training.batch_size, statistics.pairs, parts)
    metric, measure = watched(model, trained, loss, held_out, label)
    details: dict[str, Any] = lstm_kernels(model) if _encoder(model) == "tower" else {}
    details |= {"labels": "higher where texts share less"} if turned else {}

    def judge(epoch: int, logs: dict[str, Any]) -> None:
        """Runs before the callbacks that look at the metric."""
        logs[f"eval_{metric}"] = float(measure())

    def advised(rate: float) -> str:
        return advice(rate, training.mixed_precision, not training.clip_norm, "")

    judging = keras.callbacks.LambdaCallback(on_epoch_end=judge)
    log = run_epochs(
        trained, workers.shared(batches), data, training, rows=statistics.pairs, metric=f"eval_{metric}",
        measure=measure, advice=advised, callbacks=[order, judging], **details,
    )  # fmt: skip
    log.parameters = model.count_params()
    return model, log


def _encoder(model: keras.Model) -> str:
    """The layer of a pair's model that makes vectors: the whole tower, or what is behind a frozen one."""
    return "tower" if "tower" in {layer.name for layer in model.layers} else "top"


def _tower(model: keras.Model) -> keras.Model:
    return narrow(model.get_layer("tower"), keras.Model)


def _rows(pools: tf.data.Dataset) -> tuple[tf.RaggedTensor, tf.RaggedTensor, np.ndarray]:
    """Ids a, ids b and labels float32 [rows] of a whole split."""
    loaded = list(pools)
    ids = (tf.concat([pool[name] for pool in loaded], axis=0) for name in (IDS_A, IDS_B))
    return *ids, np.concatenate([pool[LABEL].numpy() for pool in loaded]).ravel().astype(np.float32)


def _named(a: Any, b: Any, label: Any) -> tuple[dict[str, Any], Any]:
    return {IDS_A: a, IDS_B: b}, label


def _classes(spec: Spec) -> int:
    return narrow(spec.label, Label).count
