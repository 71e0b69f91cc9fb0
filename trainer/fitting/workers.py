"""Training that several machines share, as the variable TF_CONFIG of each describes it.

Every worker runs the same training on the same files; each takes its part of every batch, and their gradients
are added up. All end with the same weights, and the chief alone saves and exports.
"""

from __future__ import annotations

import functools
import json
import os
from typing import Any

import keras
import tensorflow as tf

from trainer.errors import ConfigError, KembarError
from trainer.fitting import devices

VARIABLE = "TF_CONFIG"
_EXAMPLE = (
    '{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, "task": {"type": "worker", "index": 0}}'
)


def count() -> int:
    """The number of workers that train together; 1 where TF_CONFIG is not set or names no other."""
    cluster, _, _ = _described()
    return max(1, sum(len(cluster.get(kind, ())) for kind in ("chief", "worker")))


def is_chief() -> bool:
    """True where this process saves and exports: it is the chief, or the first worker where there is none."""
    cluster, kind, index = _described()
    return count() == 1 or kind == "chief" or (not cluster.get("chief") and index == 0)


def strategy() -> tf.distribute.Strategy:
    """The strategy that divides batches among all workers' devices; with one worker `devices.strategy`.

    With several, call it before anything else uses TensorFlow.

    Raises:
      KembarError: TensorFlow was used before.
    """
    return _joined() if count() > 1 else devices.strategy()


@functools.cache
def _joined() -> tf.distribute.Strategy:
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        raise KembarError(
            f"{VARIABLE} names {count()} workers, and TensorFlow was used in this process before it could "
            f"join them ({error}): train in a process of its own, or unset {VARIABLE}"
        ) from None


def _described() -> tuple[dict[str, list[str]], str, int]:
    """The cluster, and this process' kind and index in it."""
    written = os.environ.get(VARIABLE)
    if not written:
        return {}, "worker", 0
    try:
        description: dict[str, dict[str, Any]] = json.loads(written)
        cluster, task = description.get("cluster", {}), description.get("task", {})
        return (
            {str(k): list(v) for k, v in cluster.items()},
            str(task.get("type", "worker")),
            int(task.get("index", 0)),
        )
    except (ValueError, TypeError, AttributeError):
        raise ConfigError(
            f"{VARIABLE} = {written[:80]!r} describes no cluster: write it as {_EXAMPLE}"
        ) from None


def shared(batches: tf.data.Dataset) -> tf.data.Dataset:
    """`batches`, of each of which every worker takes its own rows; they all read the same files."""
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return batches.with_options(options)


class AcrossWorkers(keras.Model):
    """A Functional model whose `fit` works under MultiWorkerMirroredStrategy.

    Keras 3.15 stops there twice: it averages the first batch over the workers to learn its shapes, which
    TensorFlow refuses, and it averages what a step reports along an axis that scalars do not have.
    """

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        """The model, and its optimizer, are built before `fit`."""

    def train_step(self, data: Any) -> dict[str, Any]:
        """Keras' own, whose scalars become vectors of one number."""
        reported: dict[str, tf.Tensor] = super().train_step(data)
        return {name: keras.ops.reshape(value, (1,)) for name, value in reported.items()}


def fitted(model: keras.Model) -> keras.Model:
    """`model`, or with several workers one that shares its layers and can be fitted."""
    return AcrossWorkers(model.input, model.output, name=model.name) if count() > 1 else model
