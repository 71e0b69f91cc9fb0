"""Batches of pairs: shuffled, of similar length, padded on the right to the longest text of the batch.

Work is done by pools of thousands of rows, never row by row: a pool is parsed, shuffled, sorted and cut with
a few ops.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

from trainer.fitting.order import RowOrder
from trainer.spec import narrow

# Rows to parse at once: `records.batch(POOL_ROWS).map(parse)`. Shuffling reaches as far as a pool, and 16,384
# pairs of 20 ids are 5 MB.
POOL_ROWS = 16_384
# Pools in the shuffle buffer, which mixes rows of different files.
_POOL_BUFFER = 8

# Start and number of rows of each batch, beside a pool's own features.
_BATCHES = "batches"

Features = Mapping[str, Any]
# Padded ids by name, and labels.
Batches: TypeAlias = "tf.data.Dataset[tuple[dict[str, tf.Tensor], tf.Tensor]]"
# Pairs in a batch at most, tokens at most, devices that share it, and what lengths are multiples of.
Size = tuple[int, int | None, int, int]


def make_dataset(
    pools: tf.data.Dataset,
    batch_size: int,
    *,
    order: RowOrder | None = None,
    parts: int = 1,
    multiple: int = 1,
    tokens: int | None = None,
    all_epochs: bool = False,
) -> Batches:
    """Batches for `keras.Model.fit`, `evaluate` and `predict`.

    Args:
        pools: parsed rows, many at a time: dicts with `ids_a` and `ids_b`, int64 [rows, (length)], sparse or
            ragged, and `label`, float [rows] or [rows, 1]; other keys are left out. They stay in memory.
        batch_size: pairs in a batch; the last one of a pool may be smaller.
        order: for training: shuffles anew each epoch, by two random numbers for each, and puts pairs of
            similar length together. Otherwise the order of rows stays.
        parts: devices that share a batch. Its size becomes a multiple of it: of each pool up to parts - 1
            rows are left out.
        multiple: lengths are padded to multiples of it, so that there are few different ones.
        tokens: padded tokens of both texts that a batch has at most, with `order` alone; batches of long
            texts then hold fewer pairs than `batch_size`.
        all_epochs: with `order` alone: those of all epochs that are left, and not of one.

    Returns:
        `({"ids_a": int64 [batch, length_a], "ids_b": int64 [batch, length_b]}, labels float32 [batch])`.
    """
    pools = pools.map(_to_ragged, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).cache()
    if order is not None:
        size = (batch_size, tokens, parts, multiple)
        ordered = order.all_epochs if all_epochs else order.dataset
        pools = ordered(lambda seed: _shuffle_pools(pools, seed, size))
    return pools.flat_map(lambda pool: _cut(pool, batch_size, parts, multiple)).prefetch(tf.data.AUTOTUNE)


def steps(
    pools: Iterable[np.ndarray], batch_size: int, parts: int = 1, multiple: int = 1, tokens: int | None = None
) -> int:
    """Number of batches that `make_dataset` cuts out of pools with pairs of such `lengths`."""
    if tokens is not None:
        return sum(len(_sizes(np.sort(pool), (batch_size, tokens, parts, multiple))) for pool in pools)
    return sum(math.ceil((len(pool) - len(pool) % parts) / batch_size) for pool in pools)


def rows_within(pools: Iterable[Features], rows: int, tokens: int) -> int:
    """Rows of a batch, `rows` at most, so that no batch of one text of each pair has more padded tokens."""
    longest = max((int(tf.reduce_max(lengths(pool))) for pool in pools), default=1)
    return max(1, min(rows, tokens // max(1, longest)))


def lengths(pool: Features) -> tf.Tensor:
    """Tokens of the longer text of each pair, int64 [rows]."""
    rows = _to_ragged(pool)
    return tf.maximum(rows["ids_a"].row_lengths(), rows["ids_b"].row_lengths())


def _to_ragged(pool: Features) -> dict[str, Any]:
    rows = {name: pool[name] for name in ("ids_a", "ids_b")}
    for name, ids in rows.items():
        if isinstance(ids, tf.SparseTensor):
            rows[name] = tf.RaggedTensor.from_sparse(ids)
    return {**rows, "label": tf.reshape(tf.cast(pool["label"], tf.float32), [-1])}


def _shuffle_pools(pools: tf.data.Dataset, seed: tf.Tensor, size: Size) -> tf.data.Dataset:
    pools = pools.shuffle(_POOL_BUFFER, seed=seed[0], reshuffle_each_iteration=False)
    # `_shuffle` uses the seed and the one after it.
    return pools.enumerate().map(lambda at, pool: _shuffle(pool, seed + 2 * at, size))


def _shuffle(pool: Features, seed: tf.Tensor, size: Size) -> dict[str, Any]:
    """Random order within a length, lengths together within a batch, batches in random order."""
    batch_size, tokens, *_ = size
    count = tf.size(pool["label"], tf.int64)
    order = tf.random.experimental.stateless_shuffle(tf.range(count), seed)
    length = lengths(pool)
    order = tf.gather(order, tf.argsort(tf.gather(length, order), stable=True))
    if tokens is not None:
        sizes = _sizes(tf.gather(length, order), size)
        batches = tf.stack([tf.cumsum(sizes, exclusive=True), sizes], axis=1)
        batches = tf.random.experimental.stateless_shuffle(batches, seed + 1)
        return {**{name: tf.gather(values, order) for name, values in pool.items()}, _BATCHES: batches}
    # The incomplete batch is made of the longest rows and keeps its place at the end: moving it would need
    # ragged rows.
    whole = count // batch_size * batch_size
    batches = tf.reshape(order[:whole], [-1, batch_size])
    batches = tf.random.experimental.stateless_shuffle(batches, seed + 1)
    order = tf.concat([tf.reshape(batches, [-1]), order[whole:]], 0)
    return {name: tf.gather(values, order) for name, values in pool.items()}


@tf.function(reduce_retracing=True)
def _sizes(length: Any, size: Size) -> tf.Tensor:
    """Pairs in each batch of a pool sorted by `length`, int64 [batches]: as many as fit, one at least.

    The rows that several devices cannot share are left out, as elsewhere; of each batch every one of them
    gets as many.
    """
    batch_size, _, parts, multiple = size
    tokens = narrow(size[1], int)
    length = tf.cast(length, tf.int64)
    padded = -(-tf.maximum(length, 1) // multiple) * multiple
    count = tf.size(length, tf.int64) // parts * parts
    sizes = tf.TensorArray(tf.int64, 0, dynamic_size=True, element_shape=[])
    start = tf.constant(0, tf.int64)
    while start < count:
        longest = padded[start : start + batch_size]
        # Rows are sorted, so that all of the first ones fit and none behind them.
        fit = 2 * longest * tf.range(1, tf.size(longest, tf.int64) + 1) <= tokens
        pairs = tf.maximum(tf.reduce_sum(tf.cast(fit, tf.int64)) // parts, 1) * parts
        pairs = tf.minimum(pairs, count - start)
        sizes = sizes.write(sizes.size(), pairs)
        start += pairs
    return sizes.stack()


def _cut(pool: Features, batch_size: int, parts: int, multiple: int) -> Batches:
    pool = dict(pool)
    batches = pool.pop(_BATCHES, None)
    if batches is None:
        count = tf.size(pool["label"], tf.int64) // parts * parts
        starts = tf.range(0, count, batch_size)
        batches = tf.stack([starts, tf.minimum(count - starts, batch_size)], axis=1)

    def batch(span: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        rows = {name: values[span[0] : span[0] + span[1]] for name, values in pool.items()}
        return {name: _pad(rows[name], multiple) for name in ("ids_a", "ids_b")}, rows["label"]

    return tf.data.Dataset.from_tensor_slices(batches).map(batch)


def _pad(ids: tf.RaggedTensor, multiple: int) -> tf.Tensor:
    """[batch, (length)] to [batch, length]: one column at least, since an LSTM cannot take no step."""
    longest = tf.maximum(ids.bounding_shape(axis=1), 1)
    return ids.to_tensor(shape=tf.stack([-1, -(-longest // multiple) * multiple]))
