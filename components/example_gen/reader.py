"""From files to batches: what is read together, and how each format is."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from components.example_gen.batch import Batch
from components.example_gen.config import Data
from components.example_gen.delimited import read_delimited
from components.example_gen.jsonl import check_objects, read_jsonl
from components.example_gen.parquet import check_types, column_names, open_parquet, read_parquet
from components.example_gen.records import Record, is_gzip, open_range, open_text, read_records
from trainer.errors import ConfigError, DataRejected, KembarError

# What one worker reads at a time, where a file can be cut.
PIECE_BYTES = 16 * 2**20
# In these a line end is one byte, and no part of another character.
_CUTTABLE = {"utf-8", "utf8", "utf-8-sig", "ascii", "us-ascii", "latin-1", "iso-8859-1", "cp1252"}


@dataclass(frozen=True)
class Piece:
    """A part of a file: bytes of a text file, row groups of a Parquet file; all of it without an end."""

    path: Path
    start: int = 0
    end: int | None = None


def pieces(path: Path, data: Data) -> list[Piece]:
    """Cuts a file where its format allows it.

    A quoted field may hold line ends, so a file with quotes is one piece; so are zipped files.
    """
    if data.format == "parquet":
        return _row_groups(path)
    lines = data.format == "jsonl" or (data.format in ("csv", "tsv") and not data.quoting)
    if not lines or data.encoding.lower().replace("_", "-") not in _CUTTABLE or is_gzip(path):
        return [Piece(path)]
    size = path.stat().st_size
    cuts = [0]
    with path.open("rb") as file:
        while cuts[-1] + PIECE_BYTES < size:
            file.seek(cuts[-1] + PIECE_BYTES)
            file.readline()
            cuts.append(file.tell())
    return [Piece(path, start, end) for start, end in zip(cuts, [*cuts[1:], size], strict=True)]


def whole(path: Path, data: Data) -> Piece:
    """All of a file: positions are those in it."""
    return Piece(path, 0, open_parquet(path).metadata.num_row_groups if data.format == "parquet" else None)


def _row_groups(path: Path) -> list[Piece]:
    meta = open_parquet(path).metadata
    found, start, size = [], 0, 0
    for group in range(meta.num_row_groups):
        size += meta.row_group(group).total_byte_size
        if size >= PIECE_BYTES:
            found.append(Piece(path, start, group + 1))
            start, size = group + 1, 0
    if start < meta.num_row_groups or not found:
        found.append(Piece(path, start, meta.num_row_groups))
    return found


def read(piece: Piece, data: Data) -> Iterator[Batch]:
    """Batches of a piece; positions count from its beginning.

    Raises:
      ConfigError: when the file lacks a column that the configuration names.
      DataRejected: when the file cannot be read to its end.
    """
    path = piece.path
    if data.format == "parquet":
        _check_names(path, column_names(path), data)
        yield from read_parquet(path, piece.start, piece.end or 0, data)
        return
    with _readable(path, DataRejected, "cannot be read to its end"):
        if data.format == "tfrecord":
            # Here and not above: a command that reads other formats need not wait for TensorFlow.
            from components.example_gen.tfrecord import read_tfrecord

            yield from read_tfrecord(path, data)
            return
        if piece.end is None:
            file = open_text(path, data.encoding)
        else:
            file = open_range(path, data.encoding, piece.start, piece.end)
        with file:
            if data.format == "jsonl":
                yield from read_jsonl(file, data)
                return
            records = read_records(file, data.delimiter, data.quoting)
            names = _column_names(path, records, data) if piece.start == 0 else _names_of(path, data)
            yield from read_delimited(records, names, data)


def check_columns(path: Path, data: Data) -> None:
    """Reads just enough of the file to know that the configured columns are in it.

    Raises:
      ConfigError: for a missing column, with what was found, or a file without any row.
      DataRejected: when a Parquet or TFRecord file cannot be read.
    """
    if data.format == "parquet":
        _check_names(path, column_names(path), data)
        check_types(path, data)
        return
    if data.format == "tfrecord":
        from components.example_gen.tfrecord import feature_names

        names = feature_names(path)
        if not names:
            raise ConfigError(f"{path}: the file holds no tf.Example: give [data] a file with rows")
        _check_names(path, names, data)
        return
    with _readable(path, ConfigError, "cannot be read"), open_text(path, data.encoding) as file:
        if data.format == "jsonl":
            first = next(read_jsonl(file, data), None)
            if first is None:
                raise ConfigError(f"{path}: the file holds no row: give [data] a file with rows")
            check_objects(path, first)
            return
        records = read_records(file, data.delimiter, data.quoting)
        _column_names(path, records, data)
        if next(records, None) is None:
            raise ConfigError(f"{path}: the file holds no row: give [data] a file with rows")


@contextmanager
def _readable(path: Path, kind: type[KembarError], said: str) -> Iterator[None]:
    """Turns what a file that is cut off, or in another encoding, ends with into one line."""
    try:
        yield
    except (EOFError, OSError, UnicodeError, zlib.error) as error:
        raise kind(f"{path}: {said}: {error}: write it again, or correct [data] encoding") from None


def _names_of(path: Path, data: Data) -> list[str]:
    with open_text(path, data.encoding) as file:
        return _column_names(path, read_records(file, data.delimiter, data.quoting), data)


def _column_names(path: Path, records: Iterator[Record], data: Data) -> list[str]:
    if data.columns is not None:
        return list(data.columns)
    header = next(records, None)
    if header is None:
        raise ConfigError(f"{path}: the file is empty: give [data] a file with a header and rows")
    return _check_names(path, [str(name).strip() for name in header.fields or []], data)


def _check_names(path: Path, names: list[str], data: Data) -> list[str]:
    for key, column in data.wanted.items():
        if column not in names:
            raise ConfigError(
                f"{path}: no column {column!r}: set [data] {key} to one of {', '.join(names) or 'none'}"
                + (", or header = false with columns" if data.format in ("csv", "tsv") else "")
            )
        if names.count(column) > 1:
            raise ConfigError(
                f"{path}: {names.count(column)} columns are named {column!r}: rename all but one"
            )
    return names
