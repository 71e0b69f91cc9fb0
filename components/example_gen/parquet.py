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

from components.example_gen.arrow import check_type, plain
from components.example_gen.batch import BATCH_ROWS, Batch
from components.example_gen.data_config import DataSection
from trainer.errors import ConfigError, DataRejected

# Of a vector, so many numbers are kept in the quarantine.
_SHOWN_NUMBERS = 16


def read_parquet(path: Path, first: int, last: int, data: DataSection) -> Iterator[Batch]:
    """Batches of the row groups `first` to `last` - 1.

    Raises:
      ConfigError: as `check_types`.
      DataRejected: when the file is damaged.
    """
    check_types(path, data)
    columns = list(dict.fromkeys(data.wanted.values()))
    done = 0
    file = open_parquet(path)
    try:
        for batch in file.iter_batches(BATCH_ROWS, row_groups=range(first, last), columns=columns):
            by_name = {name: plain(batch.column(batch.schema.get_field_index(name))) for name in columns}
            yield Batch(
                range(done + 1, done + batch.num_rows + 1),
                {key: by_name[name] for key, name in data.wanted.items()},
                functools.partial(shown, [by_name[name] for name in columns]),
            )
            done += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        if "all lists to be of size" in str(error):  # Arrow writes them and does not read them
            types = {name: str(file.schema_arrow.field(name).type) for name in columns}
            fixed = [name for name in columns if "fixed_size_list" in types[name]]
            raise DataRejected(
                f"{path}: column {', '.join(map(repr, fixed))} is of lists of a fixed size, and some are "
                "null, which Arrow cannot read: write the column as list, or leave such rows out"
            ) from None
        raise DataRejected(f"{path}: {_damage('cannot be read to its end', error)}") from None


def check_types(path: Path, data: DataSection) -> None:
    """Raises ConfigError for a column that cannot be what the configuration takes it for."""
    file = open_parquet(path)
    if not file.metadata.num_rows:  # an empty table of pandas has no types
        return
    for key, name in data.wanted.items():
        try:
            check_type(key, name, file.schema_arrow.field(name).type)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from None


def open_parquet(path: Path) -> pq.ParquetFile:
    """The file; DataRejected when it is not Parquet."""
    try:
        return pq.ParquetFile(path, page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        with path.open("rb") as file:  # as Parquet begins, or a copy that was cut off
            begins = file.read(4) in (b"PAR1", bytes(4))
        fix = "write it again" if begins else "correct [data] format, or write it again"
        raise DataRejected(f"{path}: {_damage('not a Parquet file', error, fix)}") from None


def _damage(what: str, error: Exception, fix: str = "write it again") -> str:
    detail = " ".join(str(error).split()).strip(" .")
    if "crypt" in detail:
        return f"the file is encrypted ({detail}): write it without encryption"
    return f"{what}: {detail}: {fix}"


def shown(columns: Sequence[Sequence[Any]], at: int) -> str:
    """A row that has no text of its own, as JSON; the beginning of its vectors."""
    values = [column[at] for column in columns]
    cut = [value[:_SHOWN_NUMBERS] if isinstance(value, np.ndarray | list) else value for value in values]
    return json.dumps(cut, default=_plain, ensure_ascii=False)


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)
