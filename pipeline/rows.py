"""Files of rows to read, one at a time: CSV, TSV, JSON lines, Parquet."""

from __future__ import annotations

import itertools
import json
import sys
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from components.example_gen.records import BAD_QUOTES, Record, has_bad_bytes, open_text, read_records
from trainer.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

# Rows in one call: enough to keep the cores busy. More are slower, because their vectors leave the caches.
BATCH = 256
ERROR = "error"
_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_LINES = (".jsonl", ".ndjson")
_PARQUET = ".parquet"
_CUT_OFF = (EOFError, OSError, zlib.error)


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
    kind = _kind(path)
    return _parquet(path, texts) if kind == _PARQUET else _text(path, kind, texts)


def has_columns(path: Path, names: Sequence[str]) -> bool:
    """Whether the first row of a file that can be read has them; so does one without rows.

    Raises:
      ConfigError: as `read_rows`.
    """
    first = next((row for row in read_rows(path, ()) if not row.problem), None)
    return first is None or set(names) <= first.values.keys()


def columns_of(path: Path, texts: Sequence[str]) -> pa.Schema:
    """The columns that a table of all rows of a file has.

    Parquet says them itself; those of CSV and TSV are in the header, and all text. Those of JSON lines are in
    the first `BATCH` rows that can be read and the first `BATCH` that cannot, where their types are of the
    former; what has no common type becomes text.

    Raises:
      ConfigError: as `read_rows`.
    """
    import pyarrow as pa

    kind = _kind(path)
    if kind == _PARQUET:
        with _open_parquet(path) as file:
            return pa.schema([(field.name, field.type) for field in file.schema_arrow])
    if kind in _DELIMITERS:
        return pa.schema([(as_utf8(name), pa.string()) for name in _header_of(path, kind)])
    good: list[dict[str, Any]] = []
    bad: list[dict[str, Any]] = []
    for row in read_rows(path, texts):
        kept = bad if row.problem else good
        if len(kept) < BATCH:
            kept.append(as_utf8(row.values))
        if len(good) == BATCH:
            break
    names = dict.fromkeys(name for row in (*good, *bad) for name in row)
    return pa.schema([(name, _common_type([row.get(name) for row in good])) for name in names])


def as_utf8(value: Any) -> Any:
    """A value with a question mark for everything in its texts that UTF-8 has no bytes for.

    Raises:
      ConfigError: lists or objects are hundreds of levels deep in it.
    """
    try:
        if isinstance(value, str):
            return value.encode("utf-8", "replace").decode()
        if isinstance(value, list):
            return [as_utf8(item) for item in value]
        if isinstance(value, dict):
            return {as_utf8(name): as_utf8(item) for name, item in value.items()}
    except RecursionError:
        raise ConfigError("--output: a row is nested too deeply for a table: write .jsonl instead") from None
    return value


def batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Up to `BATCH` rows at a time."""
    rows = iter(rows)
    while batch := list(itertools.islice(rows, BATCH)):
        yield batch


def _kind(path: Path) -> str:
    if not path.is_file():
        raise ConfigError(f"--input {path}: no such file")
    kind = Path(path.name.removesuffix(".gz")).suffix
    if kind == _PARQUET or kind in (*_DELIMITERS, *_LINES):
        return kind
    raise ConfigError(f"--input {path}: known are .csv, .tsv, .jsonl, also with .gz, and .parquet")


def _text(path: Path, kind: str, texts: Sequence[str]) -> Iterator[Row]:
    number = 0
    try:
        with open_text(path, "utf-8") as file:
            for row in _lines(file) if kind in _LINES else _fields(file, path, kind, texts):
                number += 1
                yield row if row.problem else _checked(row.values, texts)
    except _CUT_OFF as error:
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
    header = _header(records)
    if header is None:
        return
    _check_columns(path, header, texts)
    for record in records:
        if record.fields is None:
            yield Row({}, f"line {record.line}: {BAD_QUOTES}")
            continue
        values = dict(zip(header, record.fields, strict=False))
        wrong = len(record.fields) != len(header)
        yield Row(values, f"{len(record.fields)} fields where the header has {len(header)}" if wrong else "")


def _header(records: Iterator[Record]) -> list[str] | None:
    first = next(records, None)
    return None if first is None else [name.strip() for name in first.fields or []]


def _header_of(path: Path, kind: str) -> Iterable[str]:
    try:
        with open_text(path, "utf-8") as file:
            return dict.fromkeys(_header(read_records(file, _DELIMITERS[kind], quoting=True)) or ())
    except _CUT_OFF as error:
        raise ConfigError(f"--input {path}, row 1: {error}") from None


def _parquet(path: Path, texts: Sequence[str]) -> Iterator[Row]:
    import pyarrow as pa

    number = 0
    with _open_parquet(path) as file:
        _check_columns(path, file.schema_arrow.names, texts)
        try:
            for batch in file.iter_batches(BATCH):
                for values in batch.to_pylist():
                    number += 1
                    yield _checked(values, texts)
        except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
            raise ConfigError(f"--input {path}, after row {number}: {_one_line(error)}") from None


def _open_parquet(path: Path) -> pq.ParquetFile:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise ConfigError(f"--input {path}: not a Parquet file: {_one_line(error)}") from None


def _common_type(values: Sequence[Any]) -> pa.DataType:
    """What Parquet keeps a column of JSON values as."""
    import pyarrow as pa

    try:
        found = pa.array(values).type
    except (pa.ArrowException, OverflowError):  # of several kinds, or an integer of more than 64 bits
        return pa.string()
    return pa.string() if pa.types.is_null(found) else found


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
