"""Rows of Parquet files, a batch at a time."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.example_gen.batch import BATCH_ROWS, Batch
from components.example_gen.config import Data
from trainer.errors import DataRejected

# Of a vector, so many numbers are kept in the quarantine.
_SHOWN_NUMBERS = 16


def column_names(path: Path) -> list[str]:
    """The file's top-level columns.

    Raises:
      DataRejected: when the file is not Parquet.
    """
    return list(open_parquet(path).schema_arrow.names)


def read_parquet(path: Path, first: int, last: int, data: Data) -> Iterator[Batch]:
    """Batches of the row groups `first` to `last` - 1."""
    columns = list(dict.fromkeys(data.wanted.values()))
    done = 0
    groups = range(first, last)
    for batch in open_parquet(path).iter_batches(BATCH_ROWS, row_groups=groups, columns=columns):
        by_name = {name: _values(batch.column(batch.schema.get_field_index(name))) for name in columns}
        yield Batch(
            range(done + 1, done + batch.num_rows + 1),
            {key: by_name[name] for key, name in data.wanted.items()},
            functools.partial(shown, [by_name[name] for name in columns]),
        )
        done += batch.num_rows


def open_parquet(path: Path) -> pq.ParquetFile:
    """The file; DataRejected when it is not Parquet."""
    try:
        return pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise DataRejected(f"{path}: not a Parquet file: {str(error).strip(' .')}: write it again") from None


def shown(columns: Sequence[Sequence[Any]], at: int) -> str:
    """A row that has no text of its own, as JSON; the beginning of its vectors."""
    values = [column[at] for column in columns]
    plain = [
        [_plain(number) for number in value[:_SHOWN_NUMBERS]]
        if isinstance(value, np.ndarray | list)
        else _plain(value)
        for value in values
    ]
    return json.dumps(plain, default=str, ensure_ascii=False)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _values(column: pa.Array) -> Sequence[Any]:
    kind = column.type
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return [decoded(value) for value in column.to_pylist()]
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        return column.to_pylist()
    if pa.types.is_fixed_size_list(kind):
        column = column.cast(pa.list_(kind.value_type))
    return lists(column)


def decoded(value: bytes | None) -> str | bytes | None:
    """Bytes that are UTF-8 as text; others stay, and are found to be no text."""
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def lists(column: pa.Array) -> Sequence[Any]:
    """Lists of numbers: an array [rows, length] where all have one length, else a list of arrays or None."""
    if not (pa.types.is_integer(column.type.value_type) or pa.types.is_floating(column.type.value_type)):
        return [None] * len(column)
    # Nulls inside a list become NaN, which is reported as a bad number.
    flat = column.values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    offsets = column.offsets.to_numpy()
    lengths = np.diff(offsets)
    if len(column) and not column.null_count and (lengths == lengths[0]).all():
        return flat[offsets[0] : offsets[-1]].reshape(len(column), -1)
    valid = np.asarray(column.is_valid())
    return [flat[offsets[i] : offsets[i + 1]] if valid[i] else None for i in range(len(column))]
