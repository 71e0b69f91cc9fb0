"""Delimited text into records, by RFC 4180, losing nothing.

Python's csv module parses; what it lacks is added here: a record that cannot be parsed is reported
with its line and its raw text instead of ending the file, and a quote that is never closed costs its
own line, not all the lines behind it.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple, cast

# A field that goes on for longer than this is taken for a quote that nobody closed.
MAX_LINES_OF_A_RECORD = 1_000
# Why a record has no fields.
BAD_QUOTES = "a quote that is never closed, or text behind a closing quote"
# Bytes that are not valid in the declared encoding are carried as lone surrogates and found later.
_KEEP_BAD_BYTES = "surrogateescape"
# How long a text may be is the configuration's business, not the parser's.
csv.field_size_limit(2**31 - 1)


# Half a million times in a row: what a NamedTuple's own constructor does, without its checks of names.
_record = tuple.__new__


class Record(NamedTuple):
    """One record: its first line (from 1), its raw text, its fields or else None."""

    line: int
    raw: str
    fields: list[str] | None


def is_gzip(path: Path) -> bool:
    """Whether the file begins as gzip does, whatever it is called."""
    with path.open("rb") as probe:
        return probe.read(2) == b"\x1f\x8b"


def open_text(path: Path, encoding: str) -> IO[str]:
    """Opens a plain or gzip file as text, without translating line ends or losing bad bytes."""
    raw = cast(IO[bytes], gzip.open(path, "rb") if is_gzip(path) else path.open("rb"))  # noqa: SIM115 - closed with the text
    return _as_text(raw, encoding, at_start=True)


def open_range(path: Path, encoding: str, start: int, end: int) -> IO[str]:
    """The bytes `start` to `end` of a plain file as text, all in memory."""
    with path.open("rb") as file:
        file.seek(start)
        return _as_text(io.BytesIO(file.read(end - start)), encoding, at_start=start == 0)


def _as_text(raw: IO[bytes], encoding: str, at_start: bool) -> IO[str]:
    if at_start and encoding.lower().replace("_", "-") in ("utf-8", "utf8"):
        encoding = "utf-8-sig"  # a byte order mark is no part of the first field
    return io.TextIOWrapper(raw, encoding=encoding, errors=_KEEP_BAD_BYTES, newline="\n")


def has_bad_bytes(text: str) -> bool:
    """True where the file held bytes that its encoding does not allow."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def with_bad_bytes(texts: Sequence[str]) -> list[int]:
    """Places of the texts that have bad bytes."""
    if not has_bad_bytes("".join(texts)):
        return []
    return [at for at, text in enumerate(texts) if has_bad_bytes(text)]


def read_records(lines: Iterator[str], delimiter: str, quoting: bool) -> Iterator[Record]:
    """Yields every record that is not blank.

    Args:
      lines: The file's lines with their line ends, as `open_text` gives them.
      delimiter: One character.
      quoting: Whether quotes enclose fields; otherwise they are ordinary characters.
    """
    return _quoted(_Lines(lines), delimiter) if quoting else _unquoted(lines, delimiter)


def _unquoted(lines: Iterator[str], delimiter: str) -> Iterator[Record]:
    for line, text in enumerate(lines, 1):
        raw = text.rstrip("\r\n")
        if raw:
            yield Record(line, raw, raw.split(delimiter))


class _Lines:
    """Feeds the lines of one record at a time to the parser, and can take back all but the first."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._waiting: list[str] = []  # last one is next
        self._taken: list[str] = []
        self._number = 1

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if len(self._taken) > MAX_LINES_OF_A_RECORD:
            raise StopIteration
        text = self._waiting.pop() if self._waiting else next(self._lines)
        self._taken.append(text)
        return text

    def end(self) -> tuple[int, str]:
        """Ends a record: its first line and its raw text."""
        taken = self._taken
        raw = taken[0] if len(taken) == 1 else "".join(taken)
        line = self._number
        self._number += len(taken)
        self._taken = []
        return line, raw.rstrip("\r\n")

    def cut(self) -> tuple[int, str] | None:
        """Ends a record behind its first line and gives the others back; None where nothing was taken."""
        if not self._taken:
            return None
        self._waiting.extend(reversed(self._taken[1:]))
        del self._taken[1:]
        return self.end()


def _quoted(source: _Lines, delimiter: str) -> Iterator[Record]:
    while True:
        try:
            for fields in csv.reader(source, delimiter=delimiter, strict=True):
                line, raw = source.end()
                if fields:
                    yield _record(Record, (line, raw, fields))
            return
        except csv.Error:
            cut = source.cut()
            if cut is None:
                return
            yield Record(*cut, None)
