"""JSON and Parquet files of artifacts, on any file system that TFX knows."""

from __future__ import annotations

import json
import os
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from tfx.dsl.io import fileio
from tfx.utils import io_utils


def read_json(*path: str) -> Any:
    """What the file holds; the parts of its path are joined."""
    with fileio.open(os.path.join(*path)) as file:
        return json.loads(file.read())


def write_json(document: object, *path: str, indent: int | None = 2, sort_keys: bool = False) -> None:
    """Writes a document without numbers that JSON does not know; its folder is made where it is missing."""
    text = json.dumps(document, indent=indent, sort_keys=sort_keys, allow_nan=False)
    io_utils.write_string_file(os.path.join(*path), text)


def read_parquet(*path: str) -> pa.Table:
    """The table; Arrow does not read files of TFX's file system layer."""
    with fileio.open(os.path.join(*path), "rb") as file:
        return pq.read_table(pa.BufferReader(file.read()))


def write_parquet(table: pa.Table, *path: str, compression: str = "snappy") -> None:
    """Writes a table; its folder is made where it is missing."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression=compression)
    io_utils.write_bytes_file(os.path.join(*path), sink.getvalue().to_pybytes())
