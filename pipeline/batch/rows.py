"""The rows of a file that a command is given, read as `[data]` says, by the reader that training has."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.example_gen.batch import Batch, Fault, FaultReason
from components.example_gen.data_config import DataSection
from components.example_gen.reader import read, whole
from components.example_gen.records import has_bad_bytes
from pipeline.config.toml import is_deep
from trainer.errors import ConfigError, KembarError
from trainer.features import TEXT_A, TEXT_B

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

# Rows in one call: enough to keep the cores busy. More are slower, because their vectors leave the caches.
BATCH = 256
ERROR = "error"
DELIMITED = ("csv", "tsv")
# Of a whole number; of more it is a float, because Python guards against those that take ages to read.
_DIGITS = 400
_KEYS = (TEXT_A, TEXT_B)


class InputError(ConfigError):
    """A fault of the file that a command is given by `--input`.

    Attributes:
      fault: The message without the name of the option.
    """

    def __init__(self, fault: str) -> None:
        super().__init__(f"--input {fault}")
        self.fault = fault


@dataclass(frozen=True)
class Row:
    """A row's columns in the file's order, and what is wrong with it, if anything is."""

    values: dict[str, Any]
    problem: str = ""


class _Taken(DataSection):
    """The keys of `[data]` about files, with other columns to take from them."""

    texts: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    @property
    def wanted(self) -> dict[str, str]:
        """The texts under their keys, each other column under one that no text and no number has."""
        return {
            **dict(zip(_KEYS, self.texts, strict=False)),
            **{f"other.{name}": name for name in self.others},
        }


@dataclass(frozen=True)
class InputTable:
    """A file and how it is read.

    Attributes:
      path: The file.
      data: The format, dialect and columns.
      names: All columns; of JSON lines those of the first rows.
      texts: The columns of the texts.
      titles: Whether the first row that is read holds the names.
      nulls: Texts that stand for none.
    """

    path: Path
    data: DataSection
    names: tuple[str, ...]
    texts: tuple[str, ...]
    titles: bool = False
    nulls: tuple[str, ...] = ()

    def rows(self) -> Iterator[Row]:
        """The rows, each with what is wrong with it: rows in are rows out.

        Raises:
          ConfigError: the file cannot be read on.
        """
        number = 0
        try:
            for row in itertools.islice(_rows(self), int(self.titles), None):
                number += 1
                yield row if row.problem else _checked(row, self.texts, self.nulls)
        except InputError:
            raise
        except KembarError as error:
            raise InputError(str(error)) from None
        except (OSError, ValueError, OverflowError) as error:  # Arrow's are among them
            raise InputError(f"{self.path}, after row {number}: {single_line(error)}") from None

    def columns(self) -> pa.Schema:
        """The columns that a table of all rows has.

        Parquet says them itself; those of delimited text are all text. Those of JSON lines are in the first
        `BATCH` rows that can be read and the first `BATCH` that cannot, where their types are of the former;
        what has no common type becomes text.

        Raises:
          ConfigError: as `rows`.
        """
        import pyarrow as pa

        if self.data.format == "parquet":
            with _open_parquet(self.path) as file:
                return pa.schema([(field.name, field.type) for field in file.schema_arrow])
        if self.data.format in DELIMITED:
            return pa.schema([(as_utf8(name), pa.string()) for name in self.names])
        good, bad = first_rows(self.rows())
        names = dict.fromkeys(name for values in (*good, *bad) for name in values)
        return pa.schema([(name, _common_type([values.get(name) for values in good])) for name in names])


def batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Up to `BATCH` rows at a time."""
    rows = iter(rows)
    while batch := list(itertools.islice(rows, BATCH)):
        yield batch


def first_rows(rows: Iterable[Row]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The first `BATCH` rows that can be read, and those of the first `BATCH` others that come before."""
    good: list[dict[str, Any]] = []
    bad: list[dict[str, Any]] = []
    for row in rows:
        kept = bad if row.problem else good
        if len(kept) < BATCH:
            kept.append(as_utf8(row.values))
        if len(good) == BATCH:
            break
    return good, bad


def as_utf8(value: Any) -> Any:
    """A value with a question mark for everything in its texts that UTF-8 has no bytes for."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [as_utf8(item) for item in value]
    if isinstance(value, dict):
        return {as_utf8(name): as_utf8(item) for name, item in value.items()}
    return value


def single_line(error: Exception) -> str:
    """Return a library's message, without line ends."""
    return " ".join(str(error).split()).strip(" .:")


def taken(data: DataSection, **changes: Any) -> _Taken:
    """Return the keys of `data` about files, without labels, numbers and nulls; changes are not checked."""
    plain = {"label": None, "vector": None, "decimal": ".", "null": ()}
    return _Taken.model_construct(**{**dict(data), **plain, **changes})


def _rows(table: InputTable) -> Iterator[Row]:
    data = taken(table.data, texts=table.texts)
    if data.format == "jsonl":
        for batch, at in _batch_rows(table.path, data):
            yield _object(batch, at)
        return
    if data.format == "parquet":
        yield from _parquet(table, data)
        return
    if not table.names:  # an empty file
        return
    data = taken(data, others=tuple(name for name in table.names if name not in table.texts))
    keys = {name: key for key, name in data.wanted.items()}
    for batch, at in _batch_rows(table.path, data):
        yield Row({name: batch.columns[keys[name]][at] for name in table.names}, _problem(batch, at))


def _batch_rows(path: Path, data: DataSection) -> Iterator[tuple[Batch, int]]:
    for batch in read(whole(path, data), data):
        for at in range(len(batch.positions)):
            yield batch, at


def _problem(batch: Batch, at: int) -> str:
    fault: Fault | None = batch.faults.get(at)
    if (
        fault is None or fault.reason is FaultReason.MISSING_KEY
    ):  # whether it is a text that is missing comes later
        return ""
    return f"line {batch.positions[at]}: {fault.reason.value}: {fault.detail}"


def _object(batch: Batch, at: int) -> Row:
    problem = _problem(batch, at)
    if problem:
        return Row({}, problem)
    # What the reader takes may begin with a mark of the encoding, and hold numbers without end.
    values = json.loads(batch.raw(at).lstrip("\ufeff"), parse_int=_whole)
    if is_deep(values):  # neither a table nor Python's own writer takes it
        return Row({}, f"line {batch.positions[at]}: lists or objects are nested too deeply")
    return Row(values, "")


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) < _DIGITS else float(digits)


def _parquet(table: InputTable, data: DataSection) -> Iterator[Row]:
    """All columns as Arrow has them, but the texts as training reads them."""
    texts = _batch_rows(table.path, data)
    with _open_parquet(table.path) as file:
        for part in file.iter_batches(BATCH):
            columns = [_values(*column) for column in zip(part.schema.names, part.columns, strict=True)]
            for values, (batch, at) in zip(zip(*columns, strict=True), texts, strict=False):
                own = {name: batch.columns[key][at] for key, name in data.wanted.items()}
                yield Row({**dict(zip(part.schema.names, values, strict=True)), **own}, _problem(batch, at))


def _values(name: str, column: pa.Array) -> list[Any]:
    """Return a column's values; text, where Python has no such dates or does not know the time zone."""
    import pyarrow as pa

    try:
        return list(column.to_pylist())
    except (ValueError, OverflowError, KeyError) as error:  # pytz's of a zone is a KeyError
        try:
            if pa.types.is_timestamp(column.type) and column.type.tz is not None:
                column = column.cast(pa.timestamp(column.type.unit, "UTC"))
            return list(column.cast(pa.string()).to_pylist())
        except pa.ArrowException:
            fault = f"column {name!r} is {column.type}, and it has a value without words: {error}"
            raise ValueError(f"{fault}: leave it out") from None


def _open_parquet(path: Path) -> pq.ParquetFile:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: not a Parquet file: {single_line(error)}") from None


def _common_type(values: Sequence[Any]) -> pa.DataType:
    """Return the type that Parquet keeps a column of JSON values in."""
    import pyarrow as pa

    try:
        common = pa.array(values).type
    except (pa.ArrowException, OverflowError):  # of several kinds, or an integer of more than 64 bits
        return pa.string()
    return pa.string() if pa.types.is_null(common) else common


def _checked(row: Row, texts: Sequence[str], nulls: Sequence[str]) -> Row:
    for name in texts:
        if not isinstance(value := row.values.get(name), str) or value in nulls:
            return Row(row.values, f"no text {name!r}")
    for name, value in row.values.items():
        if isinstance(value, str) and has_bad_bytes(value):
            return Row(row.values, f"{name!r} is not UTF-8")
    return row
