"""From files to batches: what is read together, and how each format is."""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path

from components.example_gen.batch import Batch
from components.example_gen.check import check
from components.example_gen.data_config import DataSection
from components.example_gen.delimited import read_delimited, without_nulls
from components.example_gen.dialect import Dialect, dialect_of
from components.example_gen.file_kinds import check_kind
from components.example_gen.header import check_names
from components.example_gen.jsonl import check_objects, read_jsonl
from components.example_gen.parquet import check_types, open_parquet, read_parquet
from components.example_gen.records import Record
from components.example_gen.streams import compression_of, lines_of, open_lines
from trainer.errors import ConfigError, DataRejected, KembarError

# What one worker reads at a time, where a file can be cut.
PIECE_BYTES = 16 * 2**20
# In these a line end is one byte, and no part of another character.
_CUTTABLE = {"utf-8", "utf8", "utf-8-sig", "ascii", "us-ascii", "latin-1", "iso-8859-1", "cp1252"}
_TEXT_FORMATS = ("csv", "tsv", "jsonl")
IsRow = Callable[[list[str], list[str]], bool]


class EmptyFile(ConfigError):
    """A file without a row: a mistake where it is the only one, passed over among others."""


@dataclass(frozen=True)
class Piece:
    """A part of a file: bytes of a text file, row groups of a Parquet file; all of it without an end."""

    path: Path
    start: int = 0
    end: int | None = None
    dialect: Dialect | None = None
    """how a text file is written; looked up where it is left out"""


@dataclass(frozen=True)
class DelimitedTable:
    """A file of csv or tsv: its columns, and its records in their order."""

    dialect: Dialect
    names: list[str] | None
    """none where the file has no header, because it is empty"""
    records: Iterator[Record]


def pieces(path: Path, data: DataSection) -> list[Piece]:
    """Cuts a file where its format allows it.

    A quoted field may hold line ends, so a file with quotes is one piece; so are packed files.
    """
    if data.format == "parquet":
        # Among others a file of no byte is passed over; see `check_files`.
        return _row_groups(path) if path.stat().st_size else [Piece(path, 0, 0)]
    if data.format not in _TEXT_FORMATS:
        return [Piece(path)]
    dialect = detect_dialect(path, data)
    by_line = not dialect.is_delimited or (dialect.quote is None and dialect.escape is None)
    is_plain = dialect.encoding.lower().replace("_", "-") in _CUTTABLE and dialect.newline == "\n"
    if not by_line or not is_plain or compression_of(path):
        return [Piece(path, dialect=dialect)]
    size = path.stat().st_size
    cuts = [0]
    with path.open("rb") as file:
        while cuts[-1] + PIECE_BYTES < size:
            file.seek(cuts[-1] + PIECE_BYTES)
            while (part := file.readline(PIECE_BYTES)) and not part.endswith(b"\n"):
                pass  # a line of any length, not all in memory
            cuts.append(file.tell())
    return [Piece(path, start, end, dialect) for start, end in pairwise([*cuts, size])]


def whole(path: Path, data: DataSection) -> Piece:
    """All of a file: positions are those in it."""
    if data.format != "parquet":
        return Piece(path)
    return Piece(path, 0, open_parquet(path).metadata.num_row_groups if path.stat().st_size else 0)


def detect_dialect(path: Path, data: DataSection) -> Dialect:
    """Detect the dialect of a file of text: by `data`, else by its first bytes.

    Raises:
      DataRejected: the file cannot be read, or is not in the encoding that `data` names.
    """
    with _readable(path, DataRejected, "cannot be read"):
        return dialect_of(path, data)


@contextmanager
def open_table(
    path: Path, data: DataSection, piece: Piece | None = None, is_row: IsRow | None = None
) -> Iterator[DelimitedTable]:
    """Opens a file of csv or tsv as `data` says, for training and for commands alike.

    Args:
      path: The file.
      data: The section. That the columns it names are there is for the caller to check.
      piece: The part of it to read, if not all.
      is_row: Whether fields can be a whole row of columns with names; see `read_records`.
    """
    piece = piece or Piece(path)
    dialect = piece.dialect or detect_dialect(path, data)
    names = list(data.columns or ())
    if piece.start > 0:
        if data.columns is None:  # they stand at the file's beginning
            with open_table(path, data, Piece(path, dialect=dialect)) as table:
                names = table.names or []
        dialect = replace(dialect, first_line=1)
    with _open_piece(piece, dialect) as lines:
        records = dialect.records(lines, is_row and partial(is_row, names))
        if data.columns is None and piece.start == 0:
            header = next(records, None)
            if header is None:
                yield DelimitedTable(dialect, None, records)
                return
            names += dialect.names(header.fields or [])
        yield DelimitedTable(dialect, names, records)


@contextmanager
def _open_piece(piece: Piece, dialect: Dialect) -> Iterator[Iterator[str]]:
    """The lines of a part of a text file."""
    path, start = piece.path, piece.start or dialect.mark
    end = piece.end if piece.end is not None else path.stat().st_size
    # Bytes that the piece cannot have more of, where that is known before it is read.
    most = None if compression_of(path) else end - piece.start
    with open_lines(path, dialect.encoding, newline=dialect.newline, start=start, end=piece.end) as file:
        yield lines_of(file, most)


def _row_groups(path: Path) -> list[Piece]:
    meta = open_parquet(path).metadata
    cuts, size = [0], 0
    for group in range(meta.num_row_groups):
        size += meta.row_group(group).total_byte_size
        if size >= PIECE_BYTES:
            cuts.append(group + 1)
            size = 0
    if cuts[-1] < meta.num_row_groups or len(cuts) == 1:
        cuts.append(meta.num_row_groups)
    return [Piece(path, start, end) for start, end in pairwise(cuts)]


def read(piece: Piece, data: DataSection) -> Iterator[Batch]:
    """Batches of a piece; positions count from its beginning. An empty file has none.

    Raises:
      ConfigError: when the file lacks a column that the configuration names.
      DataRejected: when the file cannot be read to its end.
    """
    path = piece.path
    if data.format == "parquet" and piece.end == 0:
        return
    if data.format == "parquet":
        check_names(path, open_parquet(path).schema_arrow.names, data)
        batches = read_parquet(path, piece.start, piece.end or 0, data)
    elif data.format == "tfrecord":
        # Here and not above: a command that reads other formats need not wait for TensorFlow.
        from components.example_gen.tfrecord import read_tfrecord

        batches = read_tfrecord(path, data)
    else:
        piece = piece if piece.dialect is not None else replace(piece, dialect=detect_dialect(path, data))
        batches = _objects(piece, data) if data.format == "jsonl" else _table_rows(piece, data)
    with _readable(path, DataRejected, "cannot be read to its end"):
        yield from without_nulls(batches, data)


def _objects(piece: Piece, data: DataSection) -> Iterator[Batch]:
    dialect = piece.dialect or Dialect()
    with _open_piece(piece, dialect) as lines:
        yield from read_jsonl(lines, data.model_copy(update={"encoding": dialect.encoding}))


def _table_rows(piece: Piece, data: DataSection) -> Iterator[Batch]:
    # Nothing tells a row from a line of a text where neither a label nor a number has to be in it.
    tells = data.label is not None or data.vector is not None
    is_row = partial(_is_row, data, piece.dialect or Dialect()) if tells else None
    with open_table(piece.path, data, piece, is_row) as table:
        if table.names is None:
            return
        check_names(piece.path, table.names, data, table.dialect)
        yield from read_delimited(table.records, table.names, data, table.dialect)


def _is_row(data: DataSection, dialect: Dialect, names: list[str], fields: list[str]) -> bool:
    if len(fields) != len(names):
        return False
    record = Record(1, dialect.delimiter.join(fields) + ".", fields)
    return not any(check(batch, data)[1] for batch in read_delimited(iter([record]), names, data, dialect))


def check_columns(path: Path, data: DataSection) -> None:
    """Reads just enough of the file to know that the configured columns are in it.

    Raises:
      EmptyFile: for a file without any row.
      ConfigError: for a missing column, with what was found, or a file of another kind.
      DataRejected: when a Parquet or TFRecord file cannot be read.
    """
    with _readable(path, ConfigError, "cannot be read"):
        if data.format == "parquet" and path.stat().st_size == 0:
            raise EmptyFile(f"{path}: the file is empty: give [data] a file with rows")
        check_kind(path, data.format)
    if data.format == "parquet":
        check_names(path, open_parquet(path).schema_arrow.names, data)
        check_types(path, data)
        if not open_parquet(path).metadata.num_rows:
            raise EmptyFile(f"{path}: the file holds no row: give [data] a file with rows")
    elif data.format == "tfrecord":
        names = names_of(path, data)
        if not names:
            raise EmptyFile(f"{path}: the file holds no tf.Example: give [data] a file with rows")
        check_names(path, names, data)
    else:
        with _readable(path, ConfigError, "cannot be read"):
            _check_objects(path, data) if data.format == "jsonl" else _check_table(path, data)


def check_files(paths: Sequence[Path], data: DataSection) -> list[Path]:
    """Checks the columns of all files of a source; those without a row.

    Raises:
      EmptyFile: none of them has a row.
      ConfigError, DataRejected: as `check_columns`.
    """
    empty: dict[Path, EmptyFile] = {}
    for path in paths:
        try:
            check_columns(path, data)
        except EmptyFile as error:
            empty[path] = error
    if empty and len(empty) == len(paths):
        raise next(iter(empty.values()))
    return list(empty)


def _check_objects(path: Path, data: DataSection) -> None:
    first = next(_objects(Piece(path, dialect=dialect_of(path, data)), data), None)
    if first is None:
        raise EmptyFile(f"{path}: the file holds no row: give [data] a file with rows")
    check_objects(path, first)


def _check_table(path: Path, data: DataSection) -> None:
    with open_table(path, data, Piece(path, dialect=dialect_of(path, data))) as table:
        if table.names is None:
            raise EmptyFile(f"{path}: the file is empty: give [data] a file with a header and rows")
        check_names(path, table.names, data, table.dialect)
        if next(table.records, None) is None:
            raise EmptyFile(f"{path}: the file holds no row: give [data] a file with rows")


def names_of(path: Path, data: DataSection) -> list[str]:
    """The columns of a file; none where it is empty, and of JSON lines, which have no common ones.

    That those which `data` names are among them is for the caller to check.

    Raises:
      ConfigError: the file is of another kind.
      DataRejected: the file cannot be read.
    """
    if data.format == "parquet":
        return open_parquet(path).schema_arrow.names
    if data.format == "tfrecord":
        from components.example_gen.tfrecord import feature_names

        return feature_names(path)
    with _readable(path, DataRejected, "cannot be read"):
        check_kind(path, data.format)
        if data.format == "jsonl":
            return []
        with open_table(path, data) as table:
            return table.names or []


@contextmanager
def _readable(path: Path, kind: type[KembarError], failure: str) -> Iterator[None]:
    """Turns what a file that is cut off, or in another encoding, ends with into one line."""
    try:
        yield
    except (EOFError, OSError, UnicodeError, lzma.LZMAError, zlib.error) as error:
        fix = "correct [data] encoding" if isinstance(error, UnicodeError) else "write it again"
        raise kind(f"{path}: {failure}: {error}: {fix}") from None
