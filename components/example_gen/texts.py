"""The split of each text of earlier spans, so that it goes there again.

The file says of which form its hashes are. Where the model has come to read texts otherwise, those of the
spans before are taken from their examples and hashed anew.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from tfx.dsl.io import fileio

from components.artifact_files import read_parquet, write_parquet
from components.example_gen.check import UsableRows
from components.example_gen.data_config import SPLITS
from components.example_gen.spans import Carry
from components.tables import decode
from components.tfrecords import read_batches
from trainer import tables
from trainer.features import TEXT_A, TEXT_B, VECTOR
from trainer.text.form import TextForm

FILE = "texts.parquet"
_FORM = b"kembar.form"


@dataclass(frozen=True)
class Texts:
    """Hashes of texts, each once and in order, the split that each is in, and the span it was last seen in.

    Attributes:
      hashes: uint64 [texts].
      splits: uint8 [texts], indices in SPLITS.
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
    def load(cls, carry: Carry, form: TextForm) -> Texts:
        """The texts of the spans before this one; none where there are none."""
        if not carry.earlier:
            return cls.none()
        table = read_parquet(carry.earlier, FILE)
        if (table.schema.metadata or {}).get(_FORM) != form.model_dump_json().encode():
            return cls._of_examples(carry, form)
        return cls(*(table[name].to_numpy() for name in ("hash", "split", "span")))

    @classmethod
    def _of_examples(cls, carry: Carry, form: TextForm) -> Texts:
        texts = cls.none()
        for uri, span in sorted(carry.spans.items(), key=lambda item: item[1]):
            for index, split in enumerate(SPLITS):
                for records in read_batches(sorted(fileio.glob(os.path.join(uri, f"Split-{split}", "*.gz")))):
                    keys = _rows(decode(records)).keys(form)
                    destinations = np.full(len(keys), index, np.uint8)
                    texts = texts.with_span(keys, destinations, replace(carry, span=span))
        return texts

    def save(self, uri: str, form: TextForm) -> None:
        """Into an artifact; the hashes are of `form`."""
        columns = {"hash": self.hashes, "split": self.splits, "span": self.spans}
        table = pa.table({name: pa.array(values) for name, values in columns.items()})
        write_parquet(table.replace_schema_metadata({_FORM: form.model_dump_json()}), uri, FILE)

    def with_span(self, keys: np.ndarray, destinations: np.ndarray, carry: Carry) -> Texts:
        """These, and the texts of the rows of one more span.

        Args:
          keys: uint64 [rows, 2], hashes of the rows' texts.
          destinations: uint8 [rows]; rows that are in no split tell nothing.
          carry: The span, and from which one on texts are remembered.
        """
        kept = destinations < len(SPLITS)
        hashes, first = np.unique(keys[kept], return_index=True)
        splits = np.repeat(destinations[kept], 2)[first]
        # Texts that are in both are those of the new span.
        old = ~np.isin(self.hashes, hashes, assume_unique=True) & (self.spans >= carry.oldest)
        together = np.concatenate([self.hashes[old], hashes])
        order = np.argsort(together)
        return Texts(
            together[order],
            np.concatenate([self.splits[old], splits])[order].astype(np.uint8),
            np.concatenate([self.spans[old], np.full(len(hashes), carry.span)])[order].astype(np.int32),
        )


def _rows(table: pa.Table) -> UsableRows:
    if VECTOR in table.column_names:
        return UsableRows(vector=tables.vectors(table))
    text_a, text_b = (tables.flat(table, name).to_pylist() for name in (TEXT_A, TEXT_B))
    return UsableRows(text_a, text_b)
