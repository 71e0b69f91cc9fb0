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
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

# A field that goes on for longer than this is taken for a quote that nobody closed.
MAX_LINES_OF_A_RECORD = 1_000
# Bytes that are not valid in the declared encoding are carried as lone surrogates and found later.
_KEEP_BAD_BYTES = "surrogateescape"
# How long a text may be is the configuration's business, not the parser's.
csv.field_size_limit(2**31 - 1)


@dataclass(frozen=True)
class Record:
    """One record: its first line (from 1), its raw text, its fields or else None."""

    line: int
    raw: str
    fields: Sequence[Any] | None


def open_text(path: Path, encoding: str) -> IO[str]:
    """Opens a plain or gzip file as text, without translating line ends or losing bad bytes."""
    with path.open("rb") as probe:
        zipped = probe.read(2) == b"\x1f\x8b"
    raw = gzip.open(path, "rb") if zipped else path.open("rb")  # noqa: SIM115 - closed with the text
    if encoding.lower().replace("_", "-") in ("utf-8", "utf8"):
        encoding = "utf-8-sig"  # a byte order mark is no part of the first field
    return io.TextIOWrapper(raw, encoding=encoding, errors=_KEEP_BAD_BYTES, newline="\n")


def has_bad_bytes(text: str) -> bool:
    """True where the file held bytes that its encoding does not allow."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def read_records(lines: Iterator[str], delimiter: str, quoting: bool) -> Iterator[Record]:
    """Yields every record that is not blank.

    Args:
      lines: The file's lines with their line ends, as `open_text` gives them.
      delimiter: One character.
      quoting: Whether quotes enclose fields; otherwise they are ordinary characters.
    """
    parse = _quoted if quoting else _unquoted
    source = _Lines(lines)
    for line, text in source:
        if text.strip("\r\n"):
            yield parse(source, line, text, delimiter)


class _Lines:
    """Numbered lines that can be given back."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._waiting: list[str] = []  # last one is next
        self._number = 0

    def __iter__(self) -> Iterator[tuple[int, str]]:
        return self

    def __next__(self) -> tuple[int, str]:
        text = self._waiting.pop() if self._waiting else next(self._lines)
        self._number += 1
        return self._number, text

    def give_back(self, texts: list[str]) -> None:
        self._waiting.extend(reversed(texts))
        self._number -= len(texts)


def _unquoted(source: _Lines, line: int, text: str, delimiter: str) -> Record:
    del source
    raw = text.rstrip("\r\n")
    return Record(line, raw, raw.split(delimiter))


def _quoted(source: _Lines, line: int, text: str, delimiter: str) -> Record:
    fields, is_open = _parse(text, delimiter)
    if not is_open:
        return Record(line, text.rstrip("\r\n"), fields)
    taken: list[str] = []
    joined = text
    for _, more in source:
        taken.append(more)
        joined += more
        # Only a line with a quote can close the field.
        if '"' in more:
            fields, is_open = _parse(joined, delimiter)
            if fields is not None:
                return Record(line, joined.rstrip("\r\n"), fields)
            if not is_open:
                break
        if len(taken) >= MAX_LINES_OF_A_RECORD:
            break
    source.give_back(taken)
    return Record(line, text.rstrip("\r\n"), None)


def _parse(text: str, delimiter: str) -> tuple[list[str] | None, bool]:
    """The fields of one record, or None; and whether a quoted field is still open at its end."""
    try:
        rows = list(csv.reader([text], delimiter=delimiter, strict=True))
    except csv.Error as error:
        return None, str(error) == "unexpected end of data"
    return (rows[0] if len(rows) == 1 else None), False
