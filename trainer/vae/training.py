"""From arrays to a trained model: batches, optimizer, the best epoch's weights."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainer.fitting import devices
from trainer.fitting.checkpoint import Checkpoint
from trainer.fitting.order import HOST, RowOrder, draws, even_batches, row_batches
from trainer.fitting.training import EARLY_STOPPING, announce, learning_rate
from trainer.fitting.warm_start import Base, Start, carry_over
from trainer.vae.builder import VariationalAutoencoder
from trainer.vae.vae_config import Vae, VaeTraining

# Rows that are evaluated together.
_EVALUATED_ROWS = 1_000
# Drawn apart from the model's seed, so that all seeds are evaluated on the same binary images.
BINARIZATION_SEED = 20_260


def binarize(vectors: np.ndarray, seed: int = BINARIZATION_SEED) -> np.ndarray:
    """One draw of each value of [rows, n] in [0, 1] as 0 or 1, float32; the same for the same seed."""
    draws = np.random.default_rng(seed).random(vectors.shape, dtype=np.float32)
    return (draws < vectors).astype(np.float32)


def evaluation_vectors(config: Vae, vectors: np.ndarray) -> np.ndarray:
    """Vectors [rows, n] for evaluation: as they are, or one draw if the model learns from draws."""
    return vectors.astype(np.float32) if config.binarization == "none" else binarize(vectors)


def batches(
    vectors: np.ndarray, training: VaeTraining, dynamic: bool = False, parts: int = 1
) -> tuple[tf.data.Dataset, RowOrder]:
    """Batches [batch_size, n] of one epoch, and the callback that tells them the epoch.

    `dynamic` draws each value anew as 0 or 1 (Burda et al. 2016, section 5): here and not in a layer, because
    the compiled training step would take three times as long; XLA's random numbers are slow on a CPU.
    Fewer rows than a batch are one batch; `parts` devices share it evenly.
    """
    rows = len(vectors)
    batch_size = min(training.batch_size, rows - rows % parts)
    steps = rows // batch_size
    with tf.device(HOST):
        table = tf.constant(vectors, tf.float32)
    # Every second draw: Keras makes two iterators an epoch, and once took a draw for each. The figures in
    # docs/lab/vector_quality.md were measured so.
    numbers = [draws(training.seed, 2 * training.epochs, 1)[::2]]
    if dynamic:
        numbers.append(draws(training.seed + 1, 2 * training.epochs, steps)[::2])
    order = RowOrder(*numbers)

    def epoch(key: tf.Tensor, *keys: tf.Tensor) -> tf.data.Dataset:
        vectors = row_batches(key[0], rows, batch_size).map(lambda indices: tf.gather(table, indices))
        if not dynamic:
            return vectors
        return tf.data.Dataset.zip(vectors, tf.data.Dataset.from_tensor_slices(keys[0])).map(draw)

    def draw(probabilities: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        uniform = tf.random.stateless_uniform(tf.shape(probabilities), seed=tf.stack([key, key]))
        return tf.cast(uniform < probabilities, tf.float32)

    dataset = order.dataset(epoch).apply(tf.data.experimental.assert_cardinality(steps))
    return dataset.prefetch(devices.STEPS_PER_EXECUTION), order


def make_optimizer(training: VaeTraining, steps_per_epoch: int, parts: int = 1) -> keras.optimizers.Optimizer:
    """AdamW (Loshchilov & Hutter 2019) with the configured schedule, clipping and weight average.

    Keras clips what each of `parts` devices has before it adds them up, so each gets its part of the norm.
    """
    optimizer = keras.optimizers.AdamW(
        learning_rate(training, steps_per_epoch),
        weight_decay=training.weight_decay,
        global_clipnorm=training.clip_norm / parts or None,
        use_ema=training.weight_average > 0,
        ema_momentum=training.weight_average or 0.99,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "log_variance"])
    return optimizer


class KeepBest(keras.callbacks.EarlyStopping):
    """Ends with the weights of the lowest validation loss; stops after `patience` epochs without a lower one.

    Epochs in which the KL weight still rises do not count: their loss is of another objective.
    Keras' own looks when the averaged weights are out again; this looks while they are in.
    """

    def __init__(self, patience: int, first_epoch: int) -> None:
        forever = patience or sys.maxsize
        super().__init__(
            "eval_loss", patience=forever, mode="min", restore_best_weights=True, start_from_epoch=first_epoch
        )
        self.epoch = 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Remember which epoch it is."""
        self.epoch = epoch

    def on_test_end(self, logs: dict[str, float] | None = None) -> None:
        """Compare this epoch with the best one; a loss that is no number is the worst."""
        loss = float((logs or {})["loss"])
        super().on_epoch_end(self.epoch, {self.monitor: loss if math.isfinite(loss) else math.inf})

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Nothing: this epoch has been compared."""


def kept_epoch(history: dict[str, list[float]], config: Vae) -> int:
    """The epoch, from 0, whose weights `KeepBest` puts back; the last one where none counts."""
    losses = np.array(history["val_loss"])
    losses[: config.kl_warmup_epochs] = np.inf
    losses[~np.isfinite(losses)] = np.inf
    return int(losses.argmin()) if np.isfinite(losses).any() else len(losses) - 1


def train(
    config: Vae,
    training: VaeTraining,
    vectors: np.ndarray,
    evaluation: np.ndarray,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    checkpoint: Checkpoint | None = None,
    base: Base | None = None,
) -> tuple[VariationalAutoencoder, dict[str, list[float]]]:
    """A new model, trained on vectors [rows, n], and its curves; see `fit`.

    With `base` it begins with that model's weights.
    """
    with devices.precision(training.mixed_precision), devices.strategy().scope():
        model = VariationalAutoencoder(config, vectors.shape[-1], training.seed)
        model.start_from(vectors)
        if base is not None:
            carry_over(model, base)
    return model, fit(model, vectors, evaluation, training, callbacks, checkpoint, base is not None)


def fit(
    model: VariationalAutoencoder,
    train: np.ndarray,
    evaluation: np.ndarray,
    training: VaeTraining,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    checkpoint: Checkpoint | None = None,
    started: bool = False,
) -> dict[str, list[float]]:
    """Train on `train` [rows, n], keep the epoch that is best on `evaluation`; the curves by name.

    Values are as the decoder is to give them back: in [0, 1] for a Bernoulli likelihood. The curves hold
    `loss`, `reconstruction`, `kl`, `negative_elbo` and the same with `val_`: nats per example, by epoch.
    With a `checkpoint` a training that was killed goes on where it was saved last. If it has `started` from
    another model's weights, those stay if no epoch is better.

    Raises:
        ValueError: an array is empty, has another width than the model, or values it cannot have.
        FloatingPointError: the loss on `evaluation` is finite in no epoch.
    """
    for name, vectors in (("train", train), ("evaluation", evaluation)):
        check_vectors(model, vectors, name)
    config = model.config
    train = binarize(train) if config.binarization == "fixed" else train
    parts = devices.replicas(model)
    devices.check_shares(training.batch_size, len(train), parts)
    data, order = batches(train, training, config.binarization == "dynamic", parts)
    # Two cores, 784-400-400-50, batches of 128: XLA saves a quarter of the ELBO's step (22 ms against 29),
    # but k = 5 draws need five times the random numbers, where XLA is slow (70 ms against 49).
    compiled = config.importance_samples == 1 if training.compiled is None else training.compiled
    with model.distribute_strategy.scope():
        model.compile(
            optimizer=make_optimizer(training, int(data.cardinality()), parts),
            jit_compile=compiled and parts == 1,
            steps_per_execution=devices.steps_per_execution(parts),
        )
    keep = KeepBest(training.patience, config.kl_warmup_epochs)
    checkpoint = checkpoint or Checkpoint()
    announce(model)
    held_out = even_batches((evaluation_vectors(config, evaluation),), _EVALUATED_ROWS, parts)

    def measure() -> float:
        return model.evaluate(held_out, verbose=0, return_dict=True)["loss"]

    # The weights that training begins with count as an epoch before those that count.
    starts = [Start(model, keep, measure)] if started else []

    def warm_up(epoch: int, logs: Any) -> None:
        """Raises the weight of the KL in the first epochs to beta (Bowman et al. 2016)."""
        model.kl_weight.assign(config.beta * min(1.0, (epoch + 1) / max(1, config.kl_warmup_epochs)))

    watchers = [order, keras.callbacks.LambdaCallback(on_epoch_begin=warm_up), keep, *starts]
    averaging = [keras.callbacks.SwapEMAWeights()] if training.weight_average else []
    history = model.fit(
        data,
        initial_epoch=checkpoint.restore(model, keep, EARLY_STOPPING, training.epochs),
        epochs=training.epochs,
        shuffle=False,
        validation_data=held_out,
        # The average goes in before KeepBest looks and comes out after: Keras calls them in this order.
        callbacks=[*watchers, *averaging, *callbacks, checkpoint],
        verbose=0,
    ).history
    if not np.isfinite(history["val_loss"]).any():
        raise FloatingPointError(f"the loss was never a number with learning_rate = {training.learning_rate}")
    return history


def check_vectors(model: Any, vectors: np.ndarray, name: str) -> None:
    """Refuse vectors that the model cannot learn from, naming row and dimension."""
    if vectors.ndim != 2 or vectors.shape[1] != model.dimension or not len(vectors):
        raise ValueError(
            f"{name} vectors have shape {vectors.shape}, the model needs [rows > 0, {model.dimension}]"
        )
    if not np.isfinite(vectors).all():
        row, column = np.argwhere(~np.isfinite(vectors))[0]
        raise ValueError(f"{name} vectors hold {vectors[row, column]} in row {row}, dimension {column}")
    if model.config.likelihood == "bernoulli" and (vectors.min() < 0 or vectors.max() > 1):
        row, column = np.argwhere((vectors < 0) | (vectors > 1))[0]
        raise ValueError(
            f"{name} vectors hold {vectors[row, column]} in row {row}, dimension {column}: a Bernoulli "
            'likelihood needs values from 0 to 1; scale them, or use likelihood = "gaussian"'
        )
