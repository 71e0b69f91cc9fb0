"""Parts of every family's training: its examples, its callbacks, its log and its result."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import keras
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from trainer.errors import KembarError
from trainer.features import LABEL, VECTOR
from trainer.fitting import devices
from trainer.fitting.checkpoint import Checkpoint, folder_of
from trainer.fitting.warm_start import Base, Start
from trainer.progress import PROGRESS
from trainer.section import ScheduledTraining, Training
from trainer.undefined import defined, text

# Rows of vectors that are parsed at once.
_POOL_ROWS = 8_192
# What Keras' EarlyStopping knows, besides the best weights.
EARLY_STOPPING = ("wait", "stopped_epoch", "best", "best_epoch")


class FnArgs(Protocol):
    """The arguments that TFX hands to `run_fn` and `tuner_fn`, as far as they are read here."""

    custom_config: dict[str, Any]
    train_files: list[str]
    eval_files: list[str]
    transform_graph_path: str
    model_run_dir: str
    serving_model_dir: str
    working_dir: str
    base_model: str | None
    hyperparameters: Any


@dataclass(frozen=True)
class TransformedData:
    """Transformed examples: split name to TFRecord files, and the transform that made them."""

    files: dict[str, list[str]]
    transform: tft.TFTransformOutput
    log_dir: str | None
    """The folder of curves and pictures; None where none are wanted."""
    checkpoints: str | None = None
    """The folder in which this training, and no other, may save checkpoints."""
    share: tuple[int, int] | None = None
    """Rows of `train` that are used, and rows that there are; None for all. They are spread evenly."""
    base: Base | None = None
    """The model to start from."""

    def pools(self, split: str, rows: int) -> tf.data.Dataset:
        """Parsed examples of one split, in order, `rows` at a time: dicts of tensors [rows, ...]."""
        spec = self.transform.transformed_feature_spec()
        records = self.records(split)
        if split == "train" and self.share is not None:
            used, there = self.share
            records = records.enumerate().filter(lambda at, _: at * used % there < used)
            records = records.map(lambda _, record: record)
        return records.batch(rows).map(lambda batch: tf.io.parse_example(batch, spec))

    def watchers(self) -> list[keras.callbacks.Callback]:
        """The callbacks that write into `log_dir`."""
        return [] if self.log_dir is None else [keras.callbacks.TensorBoard(self.log_dir)]

    def records(self, split: str) -> tf.data.Dataset:
        """Serialized examples of one split, in order."""
        return tf.data.TFRecordDataset(self.files[split], compression_type="GZIP")


@dataclass
class TrainingLog:
    """Figures of a training for the run's summary."""

    epochs: int = 0
    parameters: int = 0
    examples_per_second: float = 0.0
    seconds: float = 0.0
    kept_epoch: int | None = None
    """The index in `history` of the epoch whose weights were kept."""
    history: dict[str, list[float]] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        model: keras.Model,
        history: dict[str, list[Any]],
        rows: int,
        seconds: float,
        details: dict[str, Any] | None = None,
        *,
        kept_epoch: int | None,
    ) -> TrainingLog:
        """The log of a training that saw `rows` examples in each epoch."""
        epochs = len(history["loss"])
        return cls(
            epochs=epochs,
            parameters=model.count_params(),
            examples_per_second=rows * epochs / seconds,
            seconds=seconds,
            kept_epoch=kept_epoch,
            history={name: [float(value) for value in values] for name, values in history.items()},
            details=details or {},
        )


class FittedModel(NamedTuple):
    """The result of a training."""

    model: keras.Model
    """As it is to be served, with the best weights."""
    log: TrainingLog
    threshold: float | None = None
    """The score that divides matches from other pairs, or normal vectors from anomalies; None for others."""


def load_vectors(data: TransformedData, split: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Vectors [rows, n] and labels [rows] of a split; None where there are no labels."""
    pools = list(data.pools(split, _POOL_ROWS).as_numpy_iterator())
    if not pools:
        raise ValueError(f"the split {split} is empty")
    labels = np.concatenate([pool[LABEL].ravel() for pool in pools]) if LABEL in pools[0] else None
    return np.concatenate([pool[VECTOR] for pool in pools]), labels


def learning_rate(
    course: ScheduledTraining, steps_per_epoch: int
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """The rate by step: a straight rise, then constant or a cosine's fall.

    Loshchilov and Hutter 2017, "SGDR: Stochastic Gradient Descent with Warm Restarts", section 3, one period.
    """
    warmup = round(course.warmup_epochs * steps_per_epoch)
    if course.schedule == "constant" and not warmup:
        return course.learning_rate
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup else course.learning_rate,
        decay_steps=max(1, course.epochs * steps_per_epoch - warmup),
        # A cosine that falls to all of its height is a constant.
        alpha=1.0 if course.schedule == "constant" else course.final_fraction,
        warmup_target=course.learning_rate if warmup else None,
        warmup_steps=warmup,
    )


def split_files(fn_args: FnArgs) -> dict[str, list[str]]:
    """All files of each split, in order."""
    patterns = {"train": fn_args.train_files, "eval": fn_args.eval_files}
    return {split: sorted(tf.io.gfile.glob(given)) for split, given in patterns.items()}


def own_folder(fn_args: FnArgs, files: dict[str, list[str]], *settings: str) -> str | None:
    """The folder of just this work for what it saves: the settings hold seed and sizes, the rest says of what
    it learns. None where there are no "checkpoints".
    """
    config = fn_args.custom_config
    parts = [config.get("code", ""), config.get("reads", ""), json.dumps(files, sort_keys=True)]
    parts += [fn_args.transform_graph_path, fn_args.base_model or ""]
    return folder_of(config.get("checkpoints"), [*settings, *parts])


def announce(model: keras.Model, **details: Any) -> dict[str, Any]:
    """One line on what a training runs on; the same details, for its log."""
    details = {**devices.describe(model), **details}
    shown = (
        f"{name} {', '.join(value) if isinstance(value, list) else value}" for name, value in details.items()
    )
    PROGRESS.info("training on  %s", "  ".join(shown))
    return details


class Progress(keras.callbacks.Callback):
    """One line an epoch, and an error that names the place when the loss is no number any more."""

    def __init__(self, epochs: int, advice: Callable[[float], str]) -> None:
        """Args: `advice` is asked, with the learning rate, what to do about a loss that is no number."""
        super().__init__()
        self._epochs = epochs
        self._advice = advice
        self._started = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Starts the clock."""
        self._started = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Raises KembarError at the first loss that is not finite."""
        if logs and not math.isfinite(logs["loss"]):
            optimizer = self.model.optimizer
            rate = float(keras.ops.convert_to_numpy(optimizer.learning_rate))
            last = int(keras.ops.convert_to_numpy(optimizer.iterations))
            # Keras looks up behind so many steps, fewer where an epoch ends.
            first = max(1, last - self.model.steps_per_execution + 1)
            where = f"at step {last}" if first == last else f"in steps {first} to {last}"
            raise KembarError(
                f"the loss became {logs['loss']} {where} with learning rate {rate:g}: {self._advice(rate)}"
            )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Reports losses and metrics."""
        shown = "  ".join(f"{name} {text(defined(value))}" for name, value in (logs or {}).items())
        PROGRESS.info(
            "epoch %d/%d  %s  %.1f s", epoch + 1, self._epochs, shown, time.monotonic() - self._started
        )


def run_epochs(
    model: keras.Model,
    batches: tf.data.Dataset,
    data: TransformedData,
    training: Training,
    *,
    rows: int,
    metric: str,
    measure: Callable[[], float],
    advice: Callable[[float], str],
    callbacks: Sequence[keras.callbacks.Callback],
    held_out: tf.data.Dataset | None = None,
    **details: str,
) -> TrainingLog:
    """Trains until a metric of the eval split gets no better; `model`, compiled, then has its best weights.

    `metric` is its name in an epoch's log, and `measure` gives it of the weights as they are. `callbacks` run
    before it is looked at, `advice` is as `Progress` has it, and `details` go into the log, as `rows` do: the
    examples of an epoch.
    """
    shown = announce(model, **details)
    mode = "min" if metric.endswith("loss") else "max"
    stopping = keras.callbacks.EarlyStopping(
        metric, mode=mode, patience=training.patience, restore_best_weights=True
    )
    started = [Start(model, stopping, measure)] if data.base is not None else []
    watchers = [*data.watchers(), Progress(training.epochs, advice)]
    checkpoint = Checkpoint(data.checkpoints)
    history = model.fit(
        batches,
        validation_data=held_out,
        initial_epoch=checkpoint.restore(model, stopping, EARLY_STOPPING, training.epochs),
        epochs=training.epochs,
        verbose=0,
        shuffle=False,
        callbacks=[*callbacks, stopping, *started, *watchers, checkpoint],
    ).history
    shown |= checkpoint.details
    for start in started:
        shown |= start.details
    return TrainingLog.of(model, history, rows, checkpoint.seconds, shown, kept_epoch=stopping.best_epoch)
