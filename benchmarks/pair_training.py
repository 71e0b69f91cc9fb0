"""Pairs a second in training: the classic two-tower LSTM as it is often written, and what each step adds.

STS Benchmark's training pairs, on the classic sizes: 10,000 words, 128 dimensions, 32 units, batches of 64,
rmsprop, cross-entropy. The first way is verbatim: two towers, each with its own LSTM over one embedding, all
texts padded on the left to 100 tokens, arrays given to `fit`. Then come one shared tower, padding to the
longest text of a batch, pairs of similar length together by the input pipeline of this project, both texts in
one pass, several steps in one call, and an optimizer that leaves rows alone which a batch does not have.

Times come from rounds in which every way has its turn. Told is the median of a way's rates, and of its ratios
to the first way's rate in the same round: a machine is not as fast in one minute as in the next. Losses come
from trainings of their own, for each seed, with a look at eval after each quarter of an epoch, because this
model knows what it will ever know within the first or second one; ten seeds, since they differ by more than
the ways do. Ways that differ in speed alone are left out there.

    python benchmarks/pair_training.py [--epochs 3] [--rounds 3] [--seeds 1 2 ... 10]
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from pair_quality import load, vocabulary

from pipeline.config import configuration
from trainer.fitting.devices import STEPS_PER_EXECUTION
from trainer.fitting.order import RowOrder, draws, in_passes
from trainer.pair.batching import POOL_ROWS, make_dataset, steps
from trainer.pair.encoders import build_tower
from trainer.pair.heads import build_head, build_pair
from trainer.pair.optimizers import RowRMSprop
from trainer.pair.pair_config import PairModel
from trainer.spec import narrow
from trainer.text.tokens import text_features

CONFIG = Path(__file__).parents[1] / "configs" / "seed.toml"
LENGTH, BATCH = 100, 64
# Times that the loss on eval is measured, in an epoch.
EVALUATIONS = 4

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


def stacked(rows: int, model: PairModel) -> keras.Model:
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
    order = RowOrder(draws(seed, epochs, 2))
    pools = tf.data.Dataset.from_tensor_slices(split).batch(POOL_ROWS)
    batches = make_dataset(pools, BATCH, order=order, all_epochs=True)
    return in_passes(batches, steps([split["label"]], BATCH)), [order]


def _dense(row: Split) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    return {name: row[name].to_tensor() for name in ("ids_a", "ids_b")}, row["label"]


@dataclass(frozen=True)
class Way:
    """One way to train: model, batches, and what `fit` is told."""

    name: str
    build: Callable[..., keras.Model]
    feed: Callable[..., Any]
    optimizer: type[keras.optimizers.Optimizer] = keras.optimizers.RMSprop
    steps: int = 1
    left: bool = False
    learns: bool = True
    """Something else than the way before, and not only faster."""

    def fit(self, data: Data, epochs: int, seed: int, watch: keras.callbacks.Callback) -> None:
        """Trains, with `watch` looking on."""
        keras.utils.set_random_seed(seed)
        model = self.build(data.rows, data.model)
        model.compile(
            self.optimizer(1e-3), "binary_crossentropy", jit_compile=False, steps_per_execution=self.steps
        )
        batches, callbacks = self.feed(data.splits["train"], epochs, seed)
        model.fit(batches, epochs=epochs, verbose=0, shuffle=False, callbacks=[*callbacks, watch])


@dataclass(frozen=True)
class Data:
    """What all ways train on."""

    splits: dict[str, Split]
    rows: int
    model: PairModel

    @property
    def pairs(self) -> int:
        """How many there are to train on."""
        return len(self.splits["train"]["label"])


WAYS = [
    Way("two towers, padded to 100, verbatim", verbatim, partial(from_arrays, left=True), left=True),
    Way("one shared tower, padded to 100", shared, partial(from_arrays, left=False), learns=False),
    Way("padded to the longest of the batch", shared, longest_of_batch),
    Way("similar lengths together, own pipeline", shared, by_length),
    Way("both texts in one pass", stacked, by_length, learns=False),
    Way(
        f"{STEPS_PER_EXECUTION} steps in one call",
        stacked,
        by_length,
        steps=STEPS_PER_EXECUTION,
        learns=False,
    ),
    Way("rows of the batch alone in rmsprop", stacked, by_length, RowRMSprop, STEPS_PER_EXECUTION),
]


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the rates, and then the losses."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=3, help="timed ones; one more goes before them")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seeds", type=int, nargs="*", default=range(1, 11), help="of the losses")
    options = parser.parse_args(arguments)
    model = narrow(configuration.load(CONFIG).model, PairModel)
    data = Data(*numbered(model), model)
    if options.rounds:
        tell_rates(data, options.epochs, options.rounds)
    if options.seeds:
        tell_losses(data, options.epochs, options.seeds)


def tell_rates(data: Data, epochs: int, rounds: int) -> None:
    """Prints how fast each way is."""
    rates = np.array([timed(data, epochs, seed=1) for _ in range(rounds)])
    ratios = rates / rates[:, :1]
    for way, rate, ratio, of_rounds in zip(
        WAYS, np.median(rates, 0), np.median(ratios, 0), ratios.T, strict=True
    ):
        by_round = " ".join(f"{ratio_of_round:.1f}" for ratio_of_round in of_rounds)
        print(f"{way.name:40s} {rate:7.0f} pairs/s  {ratio:5.1f} x, by round {by_round}", flush=True)


def tell_losses(data: Data, epochs: int, seeds: Sequence[int]) -> None:
    """Prints the least loss on eval of each way that learns something else."""
    for way in WAYS:
        if not way.learns:
            continue
        least = []
        for seed in seeds:
            evaluations = PeriodicLoss(
                *padded_arrays(data.splits["eval"], way.left), every=data.pairs / BATCH / EVALUATIONS
            )
            way.fit(data, epochs, seed, evaluations)
            least.append(min(evaluations.losses))
        error = np.std(least) / max(1, len(least) - 1) ** 0.5
        by_seed = " ".join(f"{loss:.4f}" for loss in least)
        mean = f"{np.mean(least):.4f} (standard error {error:.4f})"
        print(f"{way.name:40s} least eval loss {mean}, by seed {by_seed}", flush=True)


def timed(data: Data, epochs: int, seed: int) -> list[float]:
    """Pairs a second of each way, in its best epoch behind the first."""
    rates = []
    for way in WAYS:
        clock = Clock()
        way.fit(data, epochs + 1, seed, clock)
        rates.append(data.pairs / min(clock.seconds[1:]))
    return rates


class Clock(keras.callbacks.Callback):
    """Seconds of each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self._started = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Starts."""
        self._started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Stops."""
        self.seconds.append(time.perf_counter() - self._started)


class PeriodicLoss(keras.callbacks.Callback):
    """The loss on eval whenever another `every` steps are done."""

    def __init__(self, texts: dict[str, np.ndarray], labels: np.ndarray, every: float) -> None:
        super().__init__()
        self.losses: list[float] = []
        self._eval = (texts, labels)
        self._every = every

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Measures it, as often in every way."""
        done = int(keras.ops.convert_to_numpy(self.model.optimizer.iterations))
        if done >= (len(self.losses) + 1) * self._every:
            self.losses.append(self.model.evaluate(*self._eval, batch_size=256, verbose=0))


if __name__ == "__main__":
    main()
