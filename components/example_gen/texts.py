"""Which split each text of earlier spans went to, so that it goes there again."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tfx.dsl.io import fileio

from components.example_gen.config import SPLITS
from components.example_gen.spans import Carry

FILE = "texts.parquet"


@dataclass(frozen=True)
class Texts:
    """Hashes of texts, each once and in order, the split that each is in, and the span it was last seen in.

    Attributes:
      hashes: uint64 [texts].
      splits: uint8 [texts], places in SPLITS.
      spans: int32 [texts].
    """

    hashes: np.ndarray
    splits: np.ndarray
    spans: np.ndarray

    @classmethod
    def none(cls) -> Texts:
        """No texts."""
        return cls(np.zeros(0, np.uint64), np.zeros(0, np.uint8), np.zeros(0, np.int32))

    @classmethod
    def load(cls, uri: str) -> Texts:
        """Of an artifact; none where `uri` is empty."""
        if not uri:
            return cls.none()
        with fileio.open(os.path.join(uri, FILE), "rb") as file:
            table = pq.read_table(pa.BufferReader(file.read()))
        return cls(*(table[name].to_numpy() for name in ("hash", "split", "span")))

    def save(self, uri: str) -> None:
        """Into an artifact."""
        sink = pa.BufferOutputStream()
        columns = {"hash": self.hashes, "split": self.splits, "span": self.spans}
        pq.write_table(pa.table({name: pa.array(values) for name, values in columns.items()}), sink)
        with fileio.open(os.path.join(uri, FILE), "wb") as file:
            file.write(sink.getvalue().to_pybytes())

    def with_span(self, keys: np.ndarray, places: np.ndarray, carry: Carry) -> Texts:
        """These, and the texts of the rows of one more span.

        Args:
          keys: uint64 [rows, 2], hashes of the rows' texts.
          places: uint8 [rows]; rows that are in no split tell nothing.
          carry: The span, and from which one on texts are remembered.
        """
        kept = places < len(SPLITS)
        hashes, first = np.unique(keys[kept], return_index=True)
        splits = np.repeat(places[kept], 2)[first]
        # Texts that are in both are those of the new span.
        old = ~np.isin(self.hashes, hashes, assume_unique=True) & (self.spans >= carry.oldest)
        together = np.concatenate([self.hashes[old], hashes])
        order = np.argsort(together)
        return Texts(
            together[order],
            np.concatenate([self.splits[old], splits])[order].astype(np.uint8),
            np.concatenate([self.spans[old], np.full(len(hashes), carry.span)])[order].astype(np.int32),
        )
