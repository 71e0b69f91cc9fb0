"""One source into splits, without leaks: what shares a text stays together, however far the chain goes.

A pair split at random leaks, because the same question then stands in train and test.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from components.example_gen.config import SPLITS, Shares
from components.example_gen.rows import Row


def keys_of(row: Row) -> tuple[int, int]:
    """Two 64-bit keys, of the texts or twice of the vector; rows with one in common belong together."""
    if row.vector is not None:
        key = _hash(row.vector.tobytes())
        return key, key
    return _hash(row.text_a.encode()), _hash(row.text_b.encode())


def assign(keys: Iterable[tuple[int, int]], shares: Shares) -> list[str]:
    """The split of each row, in order.

    A group goes where the hash of its first row says, so that rows appended later leave it where it is,
    unless they join two groups. Needs 32 bytes of memory a row.
    """
    pairs = np.array(list(keys), np.uint64).reshape(-1, 2)
    if not len(pairs):
        return []
    distinct, places = np.unique(pairs, return_inverse=True)
    a, b = places.reshape(-1, 2).T
    edges = coo_matrix((np.ones(len(a), np.int8), (a, b)), shape=(len(distinct), len(distinct)))
    _, group_of_key = connected_components(edges, directed=False)
    groups = group_of_key[a]
    _, first = np.unique(groups, return_index=True)
    sizes = [getattr(shares, split) for split in SPLITS]
    bounds = np.cumsum(sizes)
    # The first key's hash, hashed again: keys of rows that stand together must not fall together.
    buckets = [_hash(int(pairs[at, 0]).to_bytes(8, "little")) % int(bounds[-1]) for at in first]
    split_of_group = np.searchsorted(bounds, np.array(buckets), side="right")
    return [SPLITS[split_of_group[group]] for group in groups]


def _hash(content: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")
