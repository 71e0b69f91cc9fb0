"""Files of rows to write, a batch at a time: delimited text, JSON lines, Parquet."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol, cast

import numpy as np

from pipeline.batch.rows import as_utf8, single_line
from pipeline.terminal import UNPRINTABLE
from trainer.errors import ConfigError, KembarError

if TYPE_CHECKING:
    import pyarrow as pa

_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_LINES = (".jsonl", ".ndjson")
_PARQUET = ".parquet"
_KNOWN = (*_DELIMITERS, *_LINES, _PARQUET)


class Sink(Protocol):
    """Where rows go."""

    def write(self, rows: list[dict[str, Any]]) -> None:
        """Adds rows."""


class JsonLines:
    """A line a row. Numbers that JSON has no word for are null, other such values text, controls escapes."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, rows: list[dict[str, Any]]) -> None:
        """Adds rows; what is not UTF-8 becomes a question mark."""
        for row in rows:
            self._file.write(_json(row).translate(UNPRINTABLE) + "\n")


class _Columns:
    """Rows of given columns.

    Raises:
      ConfigError: in `write`, for rows that have others.
    """

    def __init__(self, columns: pa.Schema) -> None:
        self.schema = columns

    def take(self, rows: list[dict[str, Any]]) -> list[list[Any]]:
        """The values of each column; a value that is missing is None."""
        rows = [{as_utf8(name): value for name, value in row.items()} for row in rows]
        new = {name for row in rows for name in row} - set(self.schema.names)
        if new:
            raise ConfigError(f"--output: a later row has a column {min(new)!r}: write .jsonl instead")
        return [[row.get(name) for row in rows] for name in self.schema.names]


class Delimited(_Columns):
    """Delimited text by RFC 4180, with a header and line feeds; what is no text is written as in JSON."""

    def __init__(self, file: IO[str], columns: pa.Schema, delimiter: str) -> None:
        super().__init__(columns)
        # A carriage return has to be quoted as well, and Python's writer does so only for its own line ends.
        self._usual, self._careful = (
            csv.writer(file, delimiter=delimiter, lineterminator="\n", quoting=quoting)
            for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL)
        )
        self._row(columns.names)

    def write(self, rows: list[dict[str, Any]]) -> None:
        """Adds rows; what is not UTF-8 becomes a question mark, a value that is missing an empty field."""
        for values in zip(*self.take(rows), strict=True):
            self._row([as_utf8(_field(value)) for value in values])

    def _row(self, fields: list[str]) -> None:
        (self._careful if any("\r" in field for field in fields) else self._usual).writerow(fields)


class Parquet(_Columns):
    """A Parquet file; in a column of text, what is no text is written as JSON.

    Raises:
      ConfigError: Parquet has no such type.
    """

    def __init__(self, file: IO[bytes], columns: pa.Schema) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        super().__init__(columns)
        self._texts = {field.name for field in columns if pa.types.is_string(field.type)}
        try:
            self._writer = pq.ParquetWriter(file, columns)
        except pa.ArrowException as error:
            raise _unfit(error) from None

    def write(self, rows: list[dict[str, Any]]) -> None:
        """Adds rows; what is not UTF-8 becomes a question mark, and a value that is missing null.

        Raises:
          ConfigError: they have other columns, or other types in them.
        """
        import pyarrow as pa

        columns = [self._column(*column) for column in zip(self.schema, self.take(rows), strict=True)]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=self.schema))

    def close(self) -> None:
        """Writes the end of the file."""
        self._writer.close()

    def _column(self, field: pa.Field, values: list[Any]) -> pa.Array:
        import pyarrow as pa

        if field.name in self._texts:
            values = [_json(value) if not isinstance(value, str | None) else value for value in values]
        try:
            return pa.array([as_utf8(value) for value in values], field.type)
        except (pa.ArrowException, OverflowError) as error:
            raise _unfit(error, f" column {field.name!r}:") from None


def _json(value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, default=_other, allow_nan=False)
    except ValueError:  # there is a number that JSON has no word for
        text = json.dumps(_finite(value), ensure_ascii=False)
    return str(as_utf8(text))


def _finite(value: Any) -> Any:
    """The value as JSON has it, with null for each number that is NaN or infinite."""
    written = json.dumps(value, ensure_ascii=False, default=_other)
    return json.loads(written, parse_constant=lambda constant: None)


def _other(value: Any) -> Any:
    """Return a value that JSON has no word for: bytes and dates as text, numpy's numbers as numbers."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value.item() if isinstance(value, np.number) else str(value)


def _field(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, bool | int | float):
        return json.dumps(value)  # here NaN is a text like others
    if isinstance(value, list | tuple | Mapping):
        return _json(value)
    return str(_other(value))


def _unfit(error: Exception, column: str = "") -> ConfigError:
    return ConfigError(f"--output:{column} {single_line(error)}: write .jsonl instead")


def needs_columns(output: Path | None) -> bool:
    """True where such a file holds a table, whose columns are known before its first row."""
    return output is not None and _suffix(output) not in _LINES


def is_parquet(output: Path | None) -> bool:
    """True where it is a file of Parquet, which holds values of any type."""
    return output is not None and _suffix(output) == _PARQUET


@contextmanager
def sink(output: Path | None, default: IO[str], columns: pa.Schema | None = None) -> Iterator[Sink]:
    """The output file, which appears only when it is complete; or standard output, in JSON lines.

    Args:
      output: As `check_output` allows it; its suffix names the format.
      default: Standard output.
      columns: Of a file that needs them.

    Raises:
      KembarError: the file cannot be written.
    """
    if output is None:
        yield JsonLines(default)
        return
    fresh = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        with fresh.open("xb") as file:
            yield from _written(output, file, columns)
            os.fsync(file.fileno())
        fresh.replace(output)
    except OSError as error:
        cause = error.strerror or single_line(error)
        raise KembarError(f"--output {output}: cannot be written: {cause}: nothing was left of it") from None
    finally:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)


def _written(output: Path, file: IO[bytes], columns: pa.Schema | None) -> Iterator[Sink]:
    """Yields the sink of a file, and then writes its end."""
    zipped = output.suffix == ".gz"
    # Without the time and the name of a file that is renamed, the same rows are the same bytes.
    target = cast(IO[bytes], gzip.GzipFile("", "wb", fileobj=file, mtime=0)) if zipped else file
    suffix = _suffix(output)
    text = io.TextIOWrapper(target, encoding="utf-8", newline="", write_through=True)
    ends: list[Callable[[], object]] = [text.detach, target.close]
    try:
        if columns is not None and suffix == _PARQUET:
            parquet = Parquet(target, columns)
            ends.insert(0, parquet.close)
            yield parquet
            parquet.close()
        elif columns is not None and suffix in _DELIMITERS:
            yield Delimited(text, columns, _DELIMITERS[suffix])
        else:
            yield JsonLines(text)
        text.detach()
        if zipped:
            target.close()
    except BaseException:
        # What is written is thrown away, and only the first failure counts.
        for end in ends:
            with suppress(Exception):
                end()
        raise


def check_output(output: Path | None, source: Path | None = None) -> None:
    """Check that an output file can be written, before there is any work to lose.

    Raises:
      ConfigError: its suffix is of no format, it is no regular file, or the one that is read.
    """
    if output is None:
        return
    fault = output_fault(output, source)
    if fault is None and _suffix(output) not in _KNOWN:
        fault = f"name a file that ends with {', '.join(_KNOWN[:-1])} or {_KNOWN[-1]}, each also with .gz"
    if fault is not None:
        raise ConfigError(f"--output {output}: {fault}")


def output_fault(output: Path, source: Path | None = None) -> str | None:
    """Return why no file can be written there; None where it can. `source` is a file that is read."""
    if not output.absolute().parent.is_dir():
        return f"no such folder: {output.parent}"
    if str(output).startswith(("/dev/std", "/dev/fd/", "/proc/")):
        return "is no file to write: leave --output out, and rows go to standard output"
    if output.is_symlink():
        return f"is a link to {os.readlink(output)}: name that file, or remove the link"
    if output.exists():
        if output.is_dir():
            return "is a folder: name a file in it"
        if not stat.S_ISREG(output.stat().st_mode):
            return "is no regular file: leave --output out, and rows go to standard output"
        if source is not None and source.exists() and output.samefile(source):
            return "is the file that is read: name another"
    if not os.access(output.absolute().parent, os.W_OK | os.X_OK):
        return f"cannot be written: no permission in {output.absolute().parent}"
    return None


def _suffix(output: Path) -> str:
    return Path(output.name.removesuffix(".gz")).suffix
