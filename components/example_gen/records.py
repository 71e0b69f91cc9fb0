"""Delimited text into records, by RFC 4180, losing nothing.

Python's csv module parses; what it lacks is added here: a record that cannot be parsed is reported
with its line and its raw text instead of ending the file, and a quote that is never closed costs its
own line, not all the lines behind it.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import count, islice
from typing import Any, NamedTuple

from components.example_gen.streams import LONGEST_LINE, CutLine

# A field that goes on for longer than this is taken for a quote that nobody closed.
MAX_LINES_OF_A_RECORD = 1_000
# One that goes on for longer than this may be right, and is told.
MANY_LINES = 10
# Lines that the parser is given at once.
_AT_ONCE = 256
# Lines between two looks at how long they are.
_LOOKED_AT = 32
# Why a record has no fields.
BAD_QUOTES = "a quote that is never closed, or text behind a closing quote"
# What LOAD DATA of MySQL and COPY of PostgreSQL take a letter behind a backslash for.
_ESCAPED = {"0": "\0", "b": "\b", "n": "\n", "r": "\r", "t": "\t", "Z": "\x1a"}
_ESCAPE = re.compile(r"\\([0bnrtZN\\])")
# How long a text may be is the configuration's business, not the parser's.
csv.field_size_limit(2**31 - 1)


# Half a million times in a row: what a NamedTuple's own constructor does, without its checks of names.
_record = tuple.__new__


class Record(NamedTuple):
    """One record: its first line (from 1), its raw text, its fields or else None."""

    line: int
    raw: str
    fields: list[str] | None


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


def read_records(
    lines: Iterator[str],
    delimiter: str,
    *,
    quote: str | None = '"',
    escape: str | None = None,
    spaced: bool = False,
    first_line: int = 1,
    is_row: Callable[[list[str]], bool] | None = None,
) -> Iterator[Record]:
    """Yields every record that is not blank.

    Args:
      lines: The file's lines with their line ends, as `lines_of` gives them.
      delimiter: What stands between two fields; one character where there are quotes or an escape.
      quote: What encloses fields; doubled, or behind `escape`, it stands for itself. None: no character does.
      escape: The character that takes the meaning from the one behind it.
      spaced: Whether spaces may stand between a delimiter and the field behind it, and its quote.
      first_line: The number of the first line.
      is_row: Whether fields can be a whole row. With it a record of several lines that are rows, each by
        itself, is taken for the work of a quote that nobody closed.
    """
    if quote is None and escape is None:
        return _unquoted(lines, delimiter, first_line)
    form = {
        "delimiter": delimiter,
        "quotechar": quote,
        "escapechar": escape,
        "skipinitialspace": spaced,
        "quoting": csv.QUOTE_NONE if quote is None else csv.QUOTE_MINIMAL,
    }
    return _parsed(_Lines(lines, first_line, escape == "\\"), form, None if quote is None else is_row)


def _unquoted(lines: Iterator[str], delimiter: str, first_line: int) -> Iterator[Record]:
    for line, text in enumerate(lines, first_line):
        raw = text.rstrip("\r\n")
        if text.__class__ is CutLine:
            yield Record(line, text, None)
        elif raw:
            yield Record(line, raw, raw.split(delimiter))


class _Lines:
    """Feeds lines to the parser: many at once, or those of one record, of which it can take back all but the
    first.
    """

    def __init__(self, lines: Iterator[str], first_line: int, has_letters: bool) -> None:
        self._lines = lines
        self._number = first_line
        self._has_letters = has_letters
        self._size = 0  # of all lines but the first
        self.waiting: list[str] = []  # last one is next
        self.taken: list[str] = []

    def records(self, form: dict[str, Any]) -> list[Record] | None:
        """The records of the next lines, if each line is one; else those lines are waiting. None at the end.

        The parser is called once for all of them, which takes a third of the time.
        """
        lines = self._next_lines()
        if not lines:
            return None
        rows = self._rows(lines, form)
        if len(rows) != len(lines):
            self.waiting = lines[::-1]
            return []
        raws = [text.rstrip("\r\n") for text in lines]
        numbered = zip(count(self._number), raws, rows, strict=False)
        self._number += len(lines)
        return [_record(Record, parts) for parts in numbered if parts[2]]

    def _next_lines(self) -> list[str]:
        """Up to `_AT_ONCE` lines; fewer where they are long, since all of them are in memory."""
        lines: list[str] = []
        size = 0
        while len(lines) < _AT_ONCE and size < LONGEST_LINE:
            part = list(islice(self._lines, min(_LOOKED_AT, _AT_ONCE)))
            if not part:
                break
            lines += part
            size += sum(map(len, part))
        return lines

    def _rows(self, lines: list[str], form: dict[str, Any]) -> list[list[str]]:
        if set(map(type, lines)) != {str}:
            return []
        given = [_ESCAPE.sub(_letter, text) for text in lines] if self._has_letters else lines
        try:
            return list(csv.reader(given, strict=True, **form))
        except csv.Error:
            return []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        taken = self.taken
        if taken and (len(taken) > MAX_LINES_OF_A_RECORD or self._size > LONGEST_LINE):
            raise StopIteration
        text = self.waiting.pop() if self.waiting else next(self._lines)
        if taken:
            self._size += len(text)
        taken.append(text)
        if text.__class__ is CutLine:
            raise csv.Error
        return _ESCAPE.sub(_letter, text) if self._has_letters else text

    def end(self) -> tuple[int, str]:
        """Ends a record: its first line and its raw text."""
        taken = self.taken
        raw = taken[0] if len(taken) == 1 else "".join(taken)
        line = self._number
        self._number += len(taken)
        self.taken = []
        self._size = 0
        return line, raw.rstrip("\r\n")

    def cut(self) -> tuple[int, str]:
        """Ends a record behind its first line and gives the others back."""
        self.waiting.extend(reversed(self.taken[1:]))
        del self.taken[1:]
        kind = self.taken[0].__class__
        line, raw = self.end()
        return line, kind(raw)


def _letter(escaped: re.Match[str]) -> str:
    """The spelling for the parser of a backslash and a letter; `\\N` stays, whole, for `null`."""
    sign = escaped[1]
    return "\\\\N" if sign == "N" else "\\" + _ESCAPED.get(sign, sign)


def _parsed(
    source: _Lines, form: dict[str, Any], is_row: Callable[[list[str]], bool] | None
) -> Iterator[Record]:
    while (records := source.records(form)) is not None:
        yield from records
        while source.waiting:
            yield from _record_by_record(source, form, is_row)


def _record_by_record(
    source: _Lines, form: dict[str, Any], is_row: Callable[[list[str]], bool] | None
) -> Iterator[Record]:
    """Records of the lines that wait; ends behind one that cannot be parsed, or where none waits."""
    try:
        for fields in csv.reader(source, strict=True, **form):
            if is_row is not None and len(source.taken) > 1 and _are_rows(source.taken, form, is_row):
                yield Record(*source.cut(), None)
                continue
            line, raw = source.end()
            if fields:
                yield _record(Record, (line, raw, fields))
            if not source.waiting:
                return
    except csv.Error:
        yield Record(*source.cut(), None)


def _are_rows(lines: list[str], form: dict[str, Any], is_row: Callable[[list[str]], bool]) -> bool:
    """True where the first line, its quote taken for a character, and most others are whole rows."""
    *fields, last = next(csv.reader([lines[0]], **form))
    if not is_row([*fields, *last.rstrip("\r\n").split(form["delimiter"])]):
        return False
    others = [next(_parsed(_Lines(iter([line]), 1, False), form, None), None) for line in lines[1:]]
    rows = sum(other is not None and other.fields is not None and is_row(other.fields) for other in others)
    return 2 * rows > len(others)
