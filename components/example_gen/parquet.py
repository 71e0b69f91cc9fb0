"""Rows of Parquet files, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from trainer.errors import DataRejected

_BATCH_ROWS = 2_048


def column_names(path: Path) -> list[str]:
    """The file's top-level columns.

    Raises:
      DataRejected: when the file is not Parquet.
    """
    return list(_open(path).schema_arrow.names)


def read_parquet(path: Path, columns: list[str]) -> Iterator[list[Any]]:
    """Yields the values of `columns` for every row; a list of numbers comes as an array."""
    for batch in _open(path).iter_batches(_BATCH_ROWS, columns=columns):
        values = [_values(batch.column(batch.schema.get_field_index(name))) for name in columns]
        yield from map(list, zip(*values, strict=True))


def _open(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise DataRejected(f"{path}: not a Parquet file: {str(error).strip(' .')}: write it again") from None


def _values(column: pa.Array) -> list[Any]:
    if not (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
            or pa.types.is_fixed_size_list(column.type)):  # fmt: skip
        return column.to_pylist()
    if pa.types.is_fixed_size_list(column.type):
        column = column.cast(pa.list_(column.type.value_type))
    if not (pa.types.is_integer(column.type.value_type) or pa.types.is_floating(column.type.value_type)):
        return [None] * len(column)
    # Nulls inside a list become NaN, which is reported as a bad number.
    flat = column.values.cast(pa.float64()).to_numpy(zero_copy_only=False)
    offsets = column.offsets.to_numpy()
    valid = np.asarray(column.is_valid())
    return [flat[offsets[i] : offsets[i + 1]] if valid[i] else None for i in range(len(column))]
