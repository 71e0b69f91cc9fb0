"""A bounded sample of a split that depends on its rows alone, not on their order or files."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import numpy as np
import pyarrow as pa
import tensorflow as tf
from tfx.types import Artifact

from components.tables import decode, split_files

_BATCH = 8_192
_HASHES = 2**62
_READ_AHEAD = 1 << 20


class Smallest:
    """Keeps the items with the smallest hashes: a uniform sample of contents, in memory of its own size.

    Bottom-k sampling: Cohen and Kaplan 2007, "Summarizing data using bottom-k sketches".
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._hashes = np.zeros(0, np.int64)
        self._items = np.zeros(0, object)
        self.total = 0

    def add(self, hashes: np.ndarray, items: np.ndarray) -> None:
        """Hashes, int64 [batch], and what they are of, object [batch]."""
        self.total += len(hashes)
        if len(self._hashes) >= self._size:
            small = hashes <= self._hashes.max()
            hashes, items = hashes[small], items[small]
        hashes = np.concatenate([self._hashes, hashes])
        order = np.argsort(hashes, kind="stable")[: self._size]
        self._hashes, self._items = hashes[order], np.concatenate([self._items, items])[order]

    @property
    def items(self) -> list[bytes]:
        """The kept items, in the order of their hashes."""
        return list(self._items)


def sample_split(examples: Artifact, split: str, rows: int) -> tuple[pa.Table, int]:
    """At most `rows` rows of a split as a table of list columns, and how many rows the split has."""
    kept = Smallest(rows)
    records = tf.data.TFRecordDataset(
        split_files(examples, split), compression_type="GZIP", buffer_size=_READ_AHEAD
    ).batch(_BATCH)
    hashed = records.map(lambda rows: (tf.strings.to_hash_bucket_fast(rows, _HASHES), rows))
    for hashes, serialized in hashed.as_numpy_iterator():
        kept.add(hashes, serialized)
    return decode(kept.items), kept.total


def sample_lines(lines: Iterable[bytes], rows: int) -> tuple[list[bytes], int]:
    """At most `rows` lines, chosen by their content, and how many there were."""
    kept, rest = Smallest(rows), iter(lines)
    while batch := list(islice(rest, _BATCH)):
        items = np.empty(len(batch), object)
        items[:] = batch
        kept.add(tf.strings.to_hash_bucket_fast(batch, _HASHES).numpy(), items)
    return kept.items, kept.total
