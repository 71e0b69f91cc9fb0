"""The order of training rows, which seed and number of the epoch decide alone.

Datasets that keep a random state between epochs give epoch n another order where training resumes there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

# Where tf.data works: what it captures must not lie on a GPU.
HOST = "CPU:0"


def draws(seed: int, epochs: int, count: int) -> tf.Tensor:
    """Random numbers, int64 [epochs, count]; the first rows are the same for any number of epochs."""
    numbers = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True).batch(count).take(1)
    with tf.device(HOST):
        return tf.stack([next(iter(numbers)) for _ in range(epochs)])


class RowOrder(keras.callbacks.Callback):
    """Tables of random numbers, a row for each epoch, and the epoch that `fit` is at.

    Give it to `fit` as a callback, together with the dataset that it made.
    """

    def __init__(self, *tables: tf.Tensor) -> None:
        super().__init__()
        self._tables = tables
        with tf.device(HOST):
            self._epoch = tf.Variable(0, trainable=False, dtype=tf.int64)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Every pass over the dataset that begins from now on is this epoch's."""
        self._epoch.assign(epoch)

    def dataset(self, make: Callable[..., tf.data.Dataset]) -> tf.data.Dataset:
        """The dataset that `make` gives for the epoch's row of each table."""
        return tf.data.Dataset.from_tensors(0).flat_map(
            lambda _: make(*(table[self._epoch] for table in self._tables))
        )

    def batches(self, arrays: tuple[Any, ...], batch_size: int) -> tf.data.Dataset:
        """Rows of `arrays`, a tuple of tensors [batch_size, ...], in the order that the first table gives."""
        rows = len(arrays[0])
        with tf.device(HOST):
            tensors = tuple(map(tf.constant, arrays))
        shuffled = self.dataset(lambda key: row_batches(key[0], rows, batch_size)).map(
            lambda indices: tuple(tf.gather(tensor, indices) for tensor in tensors)
        )
        return shuffled.apply(tf.data.experimental.assert_cardinality(rows // batch_size)).prefetch(16)

    def all_epochs(self, make: Callable[..., tf.data.Dataset]) -> tf.data.Dataset:
        """The dataset of the epoch in which the pass begins, followed by those of all later epochs."""
        last = len(self._tables[0])
        epochs = tf.data.Dataset.from_tensors(0).flat_map(lambda _: tf.data.Dataset.range(self._epoch, last))
        return epochs.flat_map(lambda epoch: make(*(table[epoch] for table in self._tables)))


def in_passes(batches: tf.data.Dataset, steps: int) -> tf.data.Dataset:
    """A dataset of `steps` elements, of which each pass goes on in `batches` where the one before ended.

    It takes longer to make an iterator of nested datasets than to train a small network for ten steps, so all
    epochs share one, which also reads ahead from one epoch into the next. For one device: where several share
    a batch, Keras and TensorFlow take some that they do not train on, and later passes would begin too late.
    """
    with tf.device(HOST):
        going_on = iter(batches)
    return tf.data.Dataset.range(steps).map(lambda _: next(going_on))


def row_batches(key: tf.Tensor, rows: int, batch_size: int) -> tf.data.Dataset:
    """Numbers of rows, int32 [batch_size], in the random order that the scalar `key` gives.

    What is left over is dropped; the next epoch has it. Rows are to be gathered a batch at a time:
    `Dataset.shuffle` handles them one by one and costs more than a small network's training step.
    """
    steps = rows // batch_size
    order = tf.random.experimental.stateless_shuffle(tf.range(rows), seed=tf.stack([key, key]))
    return tf.data.Dataset.from_tensor_slices(tf.reshape(order[: steps * batch_size], [steps, batch_size]))


def even_batches(arrays: tuple[Any, ...], batch_size: int, parts: int) -> tf.data.Dataset:
    """Rows of `arrays` in order, at most `batch_size` together, for evaluation on `parts` devices.

    With several devices all batches have one size that `parts` divides, because the mean over a device's
    empty share is not a number; a few of the first rows then come twice.
    """
    rows = len(arrays[0])
    if parts > 1:
        batch_size = math.ceil(rows / (math.ceil(rows / batch_size) * parts)) * parts
        indices = [at % rows for at in range(math.ceil(rows / batch_size) * batch_size)]
        arrays = tuple(array[indices] for array in arrays)
    with tf.device(HOST):
        batches = tf.data.Dataset.from_tensor_slices(arrays).batch(batch_size, drop_remainder=parts > 1)
    return batches.cache()
