"""Pairs a second in training: the classic two-tower LSTM as it is often written, and what each step adds.

STS Benchmark's training pairs, on the classic sizes: 10,000 words, 128 dimensions, 32 units, batches of 64,
rmsprop, cross-entropy. The first way is verbatim: two towers, each with its own LSTM over one embedding, all
texts padded on the left to 100 tokens, arrays given to `fit`. Then come one shared tower, padding to the
longest text of a batch, pairs of similar length together, the input pipeline of this project, and both texts
in one pass. After the same number of epochs the loss on eval is measured.

    python benchmarks/pair_training.py [--epochs 3] [--seed 1]
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from pair_quality import load, vocabulary

from pipeline import config as configuration
from trainer.batching import POOL_ROWS, make_dataset
from trainer.config import PairModel
from trainer.encoders import build_tower
from trainer.heads import build_head, build_pair
from trainer.order import Order, draws
from trainer.spec import narrow
from trainer.text import text_features

CONFIG = Path(__file__).parents[1] / "configs" / "seed.toml"
LENGTH, BATCH = 100, 64

Split = dict[str, Any]


def numbered(model: PairModel) -> tuple[dict[str, Split], int]:
    """Ragged ids and labels in 0..1 of train and eval, and the number of ids."""
    config = configuration.load(CONFIG)
    tables = {split: load(config, split) for split in ("train", "eval")}
    strings = {
        split: [text_features(tf.constant(table[text].tolist()), LENGTH) for text in ("text_a", "text_b")]
        for split, table in tables.items()
    }
    known = vocabulary(tf.concat(strings["train"], 0), model)
    table = tf.lookup.StaticVocabularyTable(
        tf.lookup.KeyValueTensorInitializer(known, np.arange(len(known), dtype=np.int64)), model.oov_buckets
    )
    return {
        split: {
            "ids_a": table.lookup(a) + 1,
            "ids_b": table.lookup(b) + 1,
            "label": (tables[split]["label"] / 5).astype(np.float32),
        }
        for split, (a, b) in strings.items()
    }, 1 + len(known) + model.oov_buckets


def verbatim(rows: int, model: PairModel) -> keras.Model:
    """One embedding and an LSTM for each text; padding is read like words."""
    words = keras.layers.Embedding(rows, model.embedding_dim)
    inputs = {name: keras.Input((None,), dtype="int64", name=name) for name in ("ids_a", "ids_b")}
    towers = [keras.layers.LSTM(model.units)(words(ids)) for ids in inputs.values()]
    score = keras.layers.Dense(1, "sigmoid")(keras.layers.Concatenate()(towers))
    return keras.Model(inputs, score)


def shared(rows: int, model: PairModel) -> keras.Model:
    """One tower, called twice, that skips padding."""
    tower = build_tower(model, rows)
    inputs = {name: keras.Input((None,), dtype="int64", name=name) for name in ("ids_a", "ids_b")}
    head = build_head(model, tower.output_shape[-1])
    return keras.Model(inputs, head([tower(ids) for ids in inputs.values()]))


def one_pass(rows: int, model: PairModel) -> keras.Model:
    """What this project trains."""
    return build_pair(model, build_tower(model, rows))


def padded_arrays(split: Split, left: bool) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """All texts padded to 100, as `pad_sequences` does it."""
    side = "pre" if left else "post"
    texts = {
        name: keras.utils.pad_sequences(split[name].to_list(), LENGTH, padding=side, truncating="post")
        for name in ("ids_a", "ids_b")
    }
    return {name: ids.astype(np.int64) for name, ids in texts.items()}, split["label"]


def from_arrays(split: Split, epochs: int, seed: int, left: bool) -> tuple[Any, list[Any]]:
    """Arrays for `fit`, which shuffles and cuts them."""
    texts, labels = padded_arrays(split, left)
    data = tf.data.Dataset.from_tensor_slices((texts, labels))
    return data.shuffle(len(labels), seed=seed).batch(BATCH), []


def longest_of_batch(split: Split, epochs: int, seed: int) -> tuple[Any, list[Any]]:
    """Rows one by one, padded to the longest of the batch they fall into."""
    rows = tf.data.Dataset.from_tensor_slices(split).shuffle(len(split["label"]), seed=seed).batch(BATCH)
    return rows.map(_dense, num_parallel_calls=tf.data.AUTOTUNE), []


def by_length(split: Split, epochs: int, seed: int) -> tuple[Any, list[Any]]:
    """The project's own input pipeline: pools, similar lengths together, cached and prefetched."""
    order = Order(draws(seed, epochs, 2))
    pools = tf.data.Dataset.from_tensor_slices(split).batch(POOL_ROWS)
    return make_dataset(pools, BATCH, order=order, cache=True), [order]


def _dense(row: Split) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    return {name: row[name].to_tensor() for name in ("ids_a", "ids_b")}, row["label"]


WAYS: list[tuple[str, Callable[..., keras.Model], Callable[..., Any], bool]] = [
    ("two towers, padded to 100, verbatim", verbatim, partial(from_arrays, left=True), True),
    ("one shared tower, padded to 100", shared, partial(from_arrays, left=False), False),
    ("padded to the longest of the batch", shared, longest_of_batch, False),
    ("similar lengths together, own pipeline", shared, by_length, False),
    ("both texts in one pass", one_pass, by_length, False),
]


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints one line a way."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=3, help="timed ones; one more goes before them")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    config = narrow(configuration.load(CONFIG).model, PairModel)
    splits, rows = numbered(config)
    pairs, first = len(splits["train"]["label"]), 0.0
    for name, build, feed, left in WAYS:
        keras.utils.set_random_seed(options.seed)
        model = build(rows, config)
        model.compile(keras.optimizers.RMSprop(1e-3), "binary_crossentropy", jit_compile=False)
        batches, callbacks = feed(splits["train"], options.epochs + 1, options.seed)
        watch = Watch(*padded_arrays(splits["eval"], left))
        model.fit(batches, epochs=options.epochs + 1, verbose=0, shuffle=False, callbacks=[*callbacks, watch])
        rate = pairs / min(watch.seconds[1:])
        first = first or rate
        best = int(np.argmin(watch.losses))
        print(
            f"{name:40s} {rate:7.0f} pairs/s  {rate / first:5.1f} x  "
            f"eval loss {watch.losses[best]:.4f} after epoch {best + 1}, {watch.losses[-1]:.4f} at the end",
            flush=True,
        )


class Watch(keras.callbacks.Callback):
    """Seconds of each epoch, and the loss on eval behind it, which is not timed."""

    def __init__(self, texts: dict[str, np.ndarray], labels: np.ndarray) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self.losses: list[float] = []
        self._eval = (texts, labels)
        self._started = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Starts the clock."""
        self._started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Stops it, and looks at eval."""
        self.seconds.append(time.perf_counter() - self._started)
        self.losses.append(self.model.evaluate(*self._eval, batch_size=256, verbose=0))


if __name__ == "__main__":
    main()
