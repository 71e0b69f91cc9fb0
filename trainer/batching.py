"""Batches of pairs: shuffled, of similar length, padded on the right to the longest text of the batch.

Work is done by pools of thousands of rows, never row by row: a pool is parsed, shuffled, sorted and cut with
a few ops.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import tensorflow as tf

from trainer.order import Order

# Rows to parse at once: `records.batch(POOL_ROWS).map(parse)`. Shuffling reaches as far as a pool, and 16,384
# pairs of 20 ids are 5 MB.
POOL_ROWS = 16_384
# Pools in the shuffle buffer, which mixes rows of different files.
_POOL_BUFFER = 8

Features = Mapping[str, Any]


def make_dataset(
    pools: tf.data.Dataset,
    batch_size: int,
    *,
    order: Order | None = None,
    parts: int = 1,
    cache: bool = False,
    multiple: int = 1,
) -> tf.data.Dataset:
    """Batches for `keras.Model.fit`, `evaluate` and `predict`.

    Args:
        pools: parsed rows, many at a time: dicts with `ids_a` and `ids_b`, int64 [rows, (length)], sparse or
            ragged, and `label`, float [rows] or [rows, 1]; other keys are left out.
        batch_size: pairs in a batch; the last one of a pool may be smaller.
        order: for training: shuffles anew each epoch, by two random numbers for each, and puts pairs of
            similar length together. Otherwise the order of rows stays.
        parts: devices that share a batch. Its size becomes a multiple of it: of each pool up to parts - 1
            rows are left out.
        cache: keep the parsed pools in memory after the first epoch.
        multiple: lengths are padded to multiples of it, so that there are few different ones.

    Returns:
        `({"ids_a": int64 [batch, length_a], "ids_b": int64 [batch, length_b]}, labels float32 [batch])`.
    """
    pools = pools.map(_to_ragged, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    if cache:
        pools = pools.cache()
    if order is not None:
        pools = order.dataset(lambda seed: _shuffle_pools(pools, seed, batch_size))
    return pools.flat_map(lambda pool: _cut(pool, batch_size, parts, multiple)).prefetch(tf.data.AUTOTUNE)


def steps(pool_sizes: Iterable[int], batch_size: int, parts: int = 1) -> int:
    """Number of batches that `make_dataset` cuts out of pools of so many rows."""
    return sum(math.ceil((rows - rows % parts) / batch_size) for rows in pool_sizes)


def _to_ragged(pool: Features) -> dict[str, Any]:
    rows = {name: pool[name] for name in ("ids_a", "ids_b")}
    for name, ids in rows.items():
        if isinstance(ids, tf.SparseTensor):
            rows[name] = tf.RaggedTensor.from_sparse(ids)
    return {**rows, "label": tf.reshape(tf.cast(pool["label"], tf.float32), [-1])}


def _shuffle_pools(pools: tf.data.Dataset, seed: tf.Tensor, batch_size: int) -> tf.data.Dataset:
    pools = pools.shuffle(_POOL_BUFFER, seed=seed[0], reshuffle_each_iteration=False)
    # `_shuffle` uses the seed and the one after it.
    return pools.enumerate().map(lambda at, pool: _shuffle(pool, seed + 2 * at, batch_size))


def _shuffle(pool: Features, seed: tf.Tensor, batch_size: int) -> dict[str, Any]:
    """Random order within a length, lengths together within a batch, batches in random order."""
    count = tf.size(pool["label"], tf.int64)
    order = tf.random.experimental.stateless_shuffle(tf.range(count), seed)
    length = tf.maximum(pool["ids_a"].row_lengths(), pool["ids_b"].row_lengths())
    order = tf.gather(order, tf.argsort(tf.gather(length, order), stable=True))
    # The incomplete batch is made of the longest rows and keeps its place at the end: moving it would need
    # ragged rows.
    whole = count // batch_size * batch_size
    batches = tf.reshape(order[:whole], [-1, batch_size])
    batches = tf.random.experimental.stateless_shuffle(batches, seed + 1)
    order = tf.concat([tf.reshape(batches, [-1]), order[whole:]], 0)
    return {name: tf.gather(values, order) for name, values in pool.items()}


def _cut(pool: Features, batch_size: int, parts: int, multiple: int) -> tf.data.Dataset:
    count = tf.size(pool["label"], tf.int64) // parts * parts

    def batch(start: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        end = tf.minimum(start + batch_size, count)
        rows = {name: values[start:end] for name, values in pool.items()}
        return {name: _pad(rows[name], multiple) for name in ("ids_a", "ids_b")}, rows["label"]

    return tf.data.Dataset.range(0, count, batch_size).map(batch)


def _pad(ids: tf.RaggedTensor, multiple: int) -> tf.Tensor:
    """[batch, (length)] to [batch, length]: one column at least, since an LSTM cannot take no step."""
    longest = tf.maximum(ids.bounding_shape(axis=1), 1)
    return ids.to_tensor(shape=tf.stack([-1, -(-longest // multiple) * multiple]))
