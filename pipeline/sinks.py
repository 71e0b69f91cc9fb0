"""Files of rows to write, a batch at a time: JSON lines, Parquet."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

from pipeline.rows import as_utf8
from trainer.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa


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
            self._file.write(_json(row) + "\n")


class Parquet:
    """A Parquet file of given columns; in a column of text, what is no text is written as JSON.

    Raises:
      ConfigError: Parquet has no such type.
    """

    def __init__(self, path: Path, columns: pa.Schema) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._columns = columns
        self._texts = {field.name for field in columns if pa.types.is_string(field.type)}
        try:
            self._writer = pq.ParquetWriter(path, columns)
        except pa.ArrowException as error:
            raise _unfit(error) from None

    def write(self, rows: list[dict[str, Any]]) -> None:
        """Adds rows; what is not UTF-8 becomes a question mark, and a value that is missing null.

        Raises:
          ConfigError: they have other columns, or other types in them.
        """
        import pyarrow as pa

        rows = [{as_utf8(name): value for name, value in row.items()} for row in rows]
        new = {name for row in rows for name in row} - set(self._columns.names)
        if new:
            raise ConfigError(f"--output: a later row has a column {min(new)!r}: write .jsonl instead")
        columns = [self._column(field, [row.get(field.name) for row in rows]) for field in self._columns]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=self._columns))

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
    return str(as_utf8(json.dumps(value, ensure_ascii=False, default=str)))


def _unfit(error: Exception, place: str = "") -> ConfigError:
    return ConfigError(f"--output:{place} {str(error).strip(' .')}: write .jsonl instead")


@contextmanager
def sink(output: Path | None, default: IO[str], columns: pa.Schema | None = None) -> Iterator[Sink]:
    """The output file, which appears only when it is complete; or standard output, in JSON lines.

    Args:
      output: .parquet where there are `columns`, else JSON lines whatever the name is.
      default: Standard output.
      columns: Of a Parquet file, where it is offered.
    """
    if output is None:
        yield JsonLines(default)
        return
    fresh = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        if columns is not None and output.suffix == ".parquet":
            table = Parquet(fresh, columns)
            try:
                yield table
            finally:
                table.close()
        else:
            with fresh.open("w", encoding="utf-8") as file:
                yield JsonLines(file)
        fresh.replace(output)
    finally:
        fresh.unlink(missing_ok=True)


def check_output(output: Path | None) -> None:
    """Says that the folder is missing, before there is any work to lose."""
    if output is not None and not output.absolute().parent.is_dir():
        raise ConfigError(f"--output {output}: no such folder: {output.parent}")
