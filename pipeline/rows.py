"""Files of rows in and out, a batch at a time: CSV, TSV, JSON lines, Parquet."""

from __future__ import annotations

import itertools
import json
import os
import sys
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from components.example_gen.records import BAD_QUOTES, has_bad_bytes, open_text, read_records
from trainer.errors import ConfigError

# Rows in one call: enough to keep the cores busy. More are slower, because their vectors leave the caches.
BATCH = 256
ERROR = "error"
_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_LINES = (".jsonl", ".ndjson")


@dataclass(frozen=True)
class Row:
    """A row's columns in the file's order, and what is wrong with it, if anything is."""

    values: dict[str, Any]
    problem: str = ""


def read_rows(path: Path, texts: Sequence[str]) -> Iterator[Row]:
    """The rows of a file, each with what is wrong with it: rows in are rows out.

    Args:
      path: .csv or .tsv with a header, .jsonl or .ndjson, each also with .gz; or .parquet.
      texts: The columns that must hold text.

    Raises:
      ConfigError: the file is missing, of another kind, lacks one of the columns, or cannot be read on.
    """
    if not path.is_file():
        raise ConfigError(f"--input {path}: no such file")
    kind = Path(path.name.removesuffix(".gz")).suffix
    if kind == ".parquet":
        return _parquet(path, texts)
    if kind not in (*_DELIMITERS, *_LINES):
        raise ConfigError(f"--input {path}: known are .csv, .tsv, .jsonl, also with .gz, and .parquet")
    return _text(path, kind, texts)


def has_columns(path: Path, names: Sequence[str]) -> bool:
    """Whether the first row of a file that can be read has them; so does one without rows.

    Raises:
      ConfigError: as `read_rows`.
    """
    first = next((row for row in read_rows(path, ()) if not row.problem), None)
    return first is None or set(names) <= first.values.keys()


def batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Up to `BATCH` rows at a time."""
    rows = iter(rows)
    while batch := list(itertools.islice(rows, BATCH)):
        yield batch


def _text(path: Path, kind: str, texts: Sequence[str]) -> Iterator[Row]:
    number = 0
    try:
        with open_text(path, "utf-8") as file:
            for row in _lines(file) if kind in _LINES else _fields(file, path, kind, texts):
                number += 1
                yield row if row.problem else _checked(row.values, texts)
    except (EOFError, OSError, zlib.error) as error:
        raise ConfigError(f"--input {path}, row {number + 1}: {error}") from None


def _lines(file: IO[str]) -> Iterator[Row]:
    for line in file:
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            yield Row({}, f"not JSON: {error}")
        except ValueError:  # Python's guard against numbers that take ages to read
            yield Row({}, f"an integer of more than {sys.get_int_max_str_digits():,} digits")
        else:
            yield Row(values) if isinstance(values, dict) else Row({}, "not a JSON object")


def _fields(file: IO[str], path: Path, kind: str, texts: Sequence[str]) -> Iterator[Row]:
    records = read_records(file, _DELIMITERS[kind], quoting=True)
    first = next(records, None)
    if first is None:
        return
    header = [name.strip() for name in first.fields or []]
    _check_columns(path, header, texts)
    for record in records:
        if record.fields is None:
            yield Row({}, f"line {record.line}: {BAD_QUOTES}")
            continue
        values = dict(zip(header, record.fields, strict=False))
        wrong = len(record.fields) != len(header)
        yield Row(values, f"{len(record.fields)} fields where the header has {len(header)}" if wrong else "")


def _parquet(path: Path, texts: Sequence[str]) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = -1  # while it is opened
    try:
        with pq.ParquetFile(path) as file:
            _check_columns(path, file.schema_arrow.names, texts)
            number = 0
            for batch in file.iter_batches(BATCH):
                for values in batch.to_pylist():
                    number += 1
                    yield _checked(values, texts)
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        place = ": not a Parquet file" if number < 0 else f", after row {number}"
        raise ConfigError(f"--input {path}{place}: {_one_line(error)}") from None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).strip(" .:")


def _check_columns(path: Path, found: Sequence[str], texts: Sequence[str]) -> None:
    for name in texts:
        if name not in found:
            raise ConfigError(f"--input {path}: no column {name!r}: there are {', '.join(found)}")


def _checked(values: dict[str, Any], texts: Sequence[str]) -> Row:
    for name in texts:
        if not isinstance(values.get(name), str):
            return Row(values, f"no text {name!r}")
    for name, value in values.items():
        if isinstance(value, str) and has_bad_bytes(value):
            return Row(values, f"{name!r} is not UTF-8")
    return Row(values)


class Sink(Protocol):
    """Where rows go."""

    def write(self, rows: list[dict[str, Any]]) -> None:
        """Adds rows."""


class JsonLines:
    """A line a row; what JSON has no word for is written as text."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, rows: list[dict[str, Any]]) -> None:
        """Adds rows; what is not UTF-8 becomes a question mark."""
        for row in rows:
            line = json.dumps(row, ensure_ascii=False, default=str)
            self._file.write(line.encode("utf-8", "replace").decode() + "\n")


class Parquet:
    """A Parquet file whose columns are those of the first batch; lists of floats become float32."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: Any = None

    def write(self, rows: list[dict[str, Any]]) -> None:
        """Adds rows.

        Raises:
          ConfigError: they have other columns, or other types in them, than the first ones.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            if self._writer is None:
                self._writer = pq.ParquetWriter(self._path, _schema(rows))
            schema = self._writer.schema
            new = {name for row in rows for name in row} - set(schema.names)
            if new:
                raise ConfigError(f"--output: a later row has a column {min(new)!r}: write .jsonl instead")
            self._writer.write_table(pa.Table.from_pylist(rows, schema))
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise ConfigError(f"--output: {str(error).strip(' .')}: write .jsonl instead") from None

    def close(self) -> None:
        """Writes the end of the file."""
        if self._writer is not None:
            self._writer.close()


def _schema(rows: list[dict[str, Any]]) -> Any:
    import numpy as np
    import pyarrow as pa

    names = list(dict.fromkeys(name for row in rows for name in row))
    fields = []
    for name in names:
        column = [row.get(name) for row in rows]
        if any(isinstance(value, np.ndarray) for value in column):
            fields.append((name, pa.list_(pa.float32())))  # of any length, or Parquet allows no nulls
        else:
            kind = pa.array(column).type
            fields.append((name, pa.string() if pa.types.is_null(kind) else kind))
    return pa.schema(fields)


@contextmanager
def sink(output: Path | None, default: IO[str], parquet: bool = False) -> Iterator[Sink]:
    """The output file, which appears only when it is complete; or standard output, in JSON lines.

    Args:
      output: .parquet where `parquet` allows it, else JSON lines whatever the name is.
      default: Standard output.
      parquet: Whether Parquet is offered.
    """
    if output is None:
        yield JsonLines(default)
        return
    fresh = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        if parquet and output.suffix == ".parquet":
            table = Parquet(fresh)
            try:
                yield table
            finally:
                table.close()
        else:
            with fresh.open("w", encoding="utf-8") as file:
                yield JsonLines(file)
        if not fresh.exists():
            raise ConfigError(f"--output {output}: there is no row to write")
        fresh.replace(output)
    finally:
        fresh.unlink(missing_ok=True)


def check_output(output: Path | None) -> None:
    """Says that the folder is missing, before there is any work to lose."""
    if output is not None and not output.absolute().parent.is_dir():
        raise ConfigError(f"--output {output}: no such folder: {output.parent}")
