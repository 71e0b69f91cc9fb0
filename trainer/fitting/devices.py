"""The devices that training runs on: how many GPUs, how they share the work, and in which precision."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from trainer.errors import ConfigError, KembarError

_LOG = logging.getLogger(__name__)
# From this compute capability on (Ampere) the tensor cores know bfloat16.
_BFLOAT16 = (8, 0)
# Steps that run between two looks of Python at the training loop: its cost vanishes, Ctrl-C still answers.
STEPS_PER_EXECUTION = 16


def require_gpus(count: int) -> None:
    """Fails before any work where fewer than `count` GPUs are visible; sets memory growth for those that are.

    Raises:
      KembarError: how many are visible, what TensorFlow is built for, and the fix.
    """
    visible = grow_memory()
    if visible >= count:
        return
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    cuda = tf.test.is_built_with_cuda()
    if not cuda:
        fix = "install tensorflow[and-cuda]"
    elif hidden is not None:
        fix = "unset CUDA_VISIBLE_DEVICES, or let it name that many"
    else:
        fix = "run on a node that has them and their driver, with tensorflow[and-cuda] installed"
    raise KembarError(
        f"{count} GPU{'s' * (count != 1)} asked for, {visible} visible (TensorFlow {tf.__version__}, "
        f"built {'with' if cuda else 'without'} CUDA, CUDA_VISIBLE_DEVICES "
        f"{'not set' if hidden is None else repr(hidden)}): {fix}, or ask for {visible}"
    )


def grow_memory() -> int:
    """Lets every GPU take memory as it needs it, not all at once; the number of visible GPUs.

    Call it before anything uses TensorFlow: afterwards it is too late, and a line in the log says so.
    """
    gpus = tf.config.get_visible_devices("GPU")
    for gpu in gpus:
        try:
            tf.config.experimental.set_memory_growth(gpu, True)
        except RuntimeError as error:
            if not tf.config.experimental.get_memory_growth(gpu):
                _LOG.warning("%s takes all its memory at once: %s", gpu.name, error)
    return len(gpus)


def strategy() -> tf.distribute.Strategy:
    """Every visible GPU with a share of each batch, where there are several; else TensorFlow's default.

    Each replica draws the same dropout masks and noise, for rows of its own.
    """
    return _mirrored() if grow_memory() > 1 else tf.distribute.get_strategy()


@functools.cache
def _mirrored() -> tf.distribute.Strategy:
    """One for the process: messages of a second would have the numbers of its own, and collide."""
    return tf.distribute.MirroredStrategy()


def replicas(model: keras.Model) -> int:
    """The number of devices among which a batch for `model` is divided."""
    return int(model.distribute_strategy.num_replicas_in_sync)


def steps_per_execution(parts: int) -> int:
    """Steps of a small network that run in one call, where `parts` devices share a batch.

    TensorFlow cannot run the devices' exchange of gradients inside Keras' loop of steps.
    """
    return STEPS_PER_EXECUTION if parts == 1 else 1


def check_shares(batch_size: int, rows: int, parts: int) -> None:
    """Refuses a batch that cannot be divided into `parts` of the same size: means over it would be off.

    Raises:
      ConfigError: the batch size is no multiple, or there are fewer rows than devices.
    """
    if batch_size % parts:
        raise ConfigError(
            f"[training] batch_size = {batch_size} cannot be shared evenly among {parts} devices: "
            f"choose {max(1, round(batch_size / parts)) * parts}"
        )
    if rows < parts:
        raise ConfigError(f"{rows} training rows cannot be shared among {parts} devices: use fewer devices")


def policy(mixed: bool) -> str:
    """The Keras dtype policy, `float32` or `mixed_bfloat16`.

    Not float16: it has no room for the gradient of an empty text's cosine, and the pair model ends in NaN.

    Raises:
      ConfigError: a GPU is too old for bfloat16.
    """
    if not mixed:
        return "float32"
    for gpu in tf.config.get_visible_devices("GPU"):
        details = tf.config.experimental.get_device_details(gpu)
        if details.get("compute_capability", _BFLOAT16) < _BFLOAT16:
            raise ConfigError(
                f"[training] mixed_precision = true needs GPUs that know bfloat16 (compute capability 8.0, "
                f"Ampere, or later), and {details.get('device_name', gpu.name)} does not: set it to false"
            )
    return "mixed_bfloat16"


@contextmanager
def precision(mixed: bool) -> Iterator[None]:
    """Models built inside compute in half precision, if `mixed`; weights and losses stay float32."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy(mixed))
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def describe(model: keras.Model) -> dict[str, Any]:
    """Devices, replicas and precision of a training, for its log."""
    names = [
        f"{gpu.name.removeprefix('/physical_device:')} "
        f"{tf.config.experimental.get_device_details(gpu).get('device_name', 'unknown')}"
        for gpu in tf.config.get_visible_devices("GPU")
    ]
    precision = model.dtype_policy.name
    return {"devices": names or ["CPU"], "replicas": replicas(model), "precision": precision}
