"""Dialects of files of text: encoding, line ends, delimiter, quotes, escapes, decimal sign.

What `[data]` leaves out is looked up in the beginning of the file, by rules that give the same answer every
time. A byte order mark decides the encoding. The delimiter is the one under which the columns that `[data]`
names are in the header; among several, or none, the one under which most rows have as many fields as the
header. The sign that the format lets expect wins where nothing speaks against it.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from components.example_gen.data_config import DataSection
from components.example_gen.encodings import encoding_of, is_utf8
from components.example_gen.labels import COMMA_NUMBER, THOUSANDS
from components.example_gen.records import Record, read_records
from components.example_gen.streams import open_bytes
from trainer.features import LABEL, VECTOR

# Bytes of a file that are looked at; more, up to the second number, where there is no whole row in them.
_SAMPLE, _LONGEST_SAMPLE = 2**16, 2**22
_ROWS = 2_000
DELIMITERS = (",", ";", "\t", "|")
_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe", " ": "space"}
# A trait that so many of the rows share is the file's, not the row's.
_MOST = 0.9
# Rows with an odd quote from which on a quote in a tab-separated file is taken for a character.
_ODD_QUOTES = 3
_LINE_END = re.compile(r"\r\n|\r|\n")
_EXCEL = re.compile(r'"?sep=(.)"?\r?\n?', re.IGNORECASE)
_POINT_NUMBER = re.compile(r"\s*[+-]?\d*\.\d+(e[+-]?\d+)?\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Dialect:
    """The way in which one file is written."""

    encoding: str = "utf-8"
    mark: int = 0
    """bytes of the byte order mark"""
    newline: str = "\n"
    delimiter: str = ","
    quote: str | None = '"'
    escape: str | None = None
    spaced: bool = False
    """spaces stand between a delimiter and the quote behind it"""
    decimal: str = "."
    first_line: int = 1
    """where the records begin: 2 behind Excel's `sep=;`"""
    unnamed: int = 0
    """fields of the rows behind those that the header names: 1 or -1 where a delimiter ends every row"""
    row_names: bool = False
    """a field in front of each row that the header does not name, as R writes it"""
    is_delimited: bool = True
    is_utf8: bool = False
    """its bytes are UTF-8, though `[data] encoding` says otherwise"""

    def __str__(self) -> str:
        parts = [self.encoding]
        if self.is_delimited:
            sign = _NAMES.get(self.delimiter, ascii(self.delimiter))
            parts = [sign, f"quote {self.quote}" if self.quote else "no quotes", *parts]
            parts += [f"escape {self.escape}"] if self.escape else []
            parts += ["spaces before quotes"] if self.spaced else []
            parts += ["decimal comma"] if self.decimal == "," else []
            parts += ["a delimiter ends each row"] if self.unnamed > 0 else []
            parts += ["row names before the columns"] if self.row_names else []
        parts += ["though its bytes are utf-8: remove [data] encoding"] if self.is_utf8 else []
        parts += ["CR line ends"] if self.newline == "\r" else []
        return ", ".join(parts)

    def records(self, lines: Iterator[str], is_row: Any = None) -> Iterator[Record]:
        """Records of the file's lines."""
        for _ in range(1, self.first_line):
            next(lines, None)
        signs: dict[str, Any] = {"quote": self.quote, "escape": self.escape, "spaced": self.spaced}
        return read_records(lines, self.delimiter, **signs, first_line=self.first_line, is_row=is_row)

    def parse(self, line: str) -> Iterator[Record]:
        """The record of one line."""
        return replace(self, first_line=1).records(iter([line]))

    def names(self, header: Sequence[str]) -> list[str]:
        """The columns' names, as many as a row has fields."""
        names = [""] * self.row_names + [str(name).strip().strip("\ufeff") for name in header]
        return names[:-1] if self.unnamed < 0 else [*names, *[""] * self.unnamed]


@dataclass(frozen=True)
class _Trial:
    """The sample, read with one dialect."""

    dialect: Dialect
    header: list[str]
    rows: list[list[str] | None]
    named: int
    """columns of the configuration that are in the header"""
    whole: float
    """share of the rows that have as many fields as there are columns"""

    @property
    def rank(self) -> tuple[int, bool, float]:
        return self.named, len(self.header) > 1, round(self.whole, 2)


def dialect_of(path: Path, data: DataSection) -> Dialect:
    """Detect the dialect of a file: by `data`, else by its first bytes.

    Raises:
      UnicodeError: the file is not in the encoding that `data` names.
      EOFError, OSError, lzma.LZMAError, zlib.error: it cannot be read.
    """
    content, is_all = _read_sample(path)
    encoding, mark = encoding_of(content, data)
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    text = decoder.decode(content[mark:], final=is_all)
    dialect = Dialect(encoding, mark, _newline(text, data), is_delimited=data.format in ("csv", "tsv"))
    if codecs.lookup(encoding).name != "utf-8" and is_utf8(content, is_all):
        dialect = replace(dialect, is_utf8=True)
    if not dialect.is_delimited:
        return dialect
    lines = text.split(dialect.newline)
    lines = [line + dialect.newline for line in (lines if is_all or len(lines) == 1 else lines[:-1])]
    excel = _EXCEL.fullmatch(lines[0])
    if excel is not None:
        lines = lines[1:]
        dialect = replace(dialect, first_line=2)
    delimiters = [data.delimiter or (excel and excel[1]) or ""] if data.delimiter or excel else DELIMITERS
    best = _quoted(_spaced(_parted(lines, dialect, data, delimiters), lines, data), lines, data)
    if not best.rows:
        return replace(best.dialect, decimal=data.decimal or best.dialect.decimal)
    return replace(best.dialect, unnamed=_unnamed(best), decimal=data.decimal or _decimal(best, data))


def _read_sample(path: Path) -> tuple[bytes, bool]:
    """The first bytes of a file, unpacked, and whether they are all of it."""
    content, size = b"", _SAMPLE
    with open_bytes(path) as file:
        while True:
            content += file.read(size - len(content))
            if len(content) < size:
                return content, True
            if size >= _LONGEST_SAMPLE or content.count(b"\n") + content.count(b"\r") > 3:
                return content, False
            size *= 8


def _newline(text: str, data: DataSection) -> str:
    """A carriage return where the first line and most others end by that alone, outside of quotes."""
    if "\r" not in text:
        return "\n"
    sign = re.escape(data.escape or "")
    bare = re.sub(f'"(?:{sign}.|[^"{sign}])*"' if sign else '"[^"]*"', "", text, flags=re.DOTALL)
    first = _LINE_END.search(bare)
    returns, feeds = bare.count("\r") - bare.count("\r\n"), bare.count("\n")
    return "\r" if first is not None and first[0] == "\r" and returns > feeds else "\n"


def _try(lines: list[str], dialect: Dialect, data: DataSection) -> _Trial:
    # The first line has been taken from them.
    dialect = replace(dialect, row_names=False)
    records = replace(dialect, first_line=1).records(iter(lines))
    rows = [record.fields for record in islice(records, _ROWS + 1)]
    if data.columns is not None:
        header = list(data.columns)
    else:
        first, rows = rows[0] or [] if rows else [], rows[1:]
        if data.extra_fields == "quarantine":
            dialect = replace(dialect, row_names=_has_row_names(rows, len(first), data))
        header = dialect.names(first)
    loose = data.extra_fields == "ignore"
    whole = sum(
        row is not None and (len(row) == len(header) or (loose and len(row) > len(header))) for row in rows
    )
    # Where there is no header the names say nothing of the file.
    named = 0 if data.columns is not None else sum(name in header for name in set(data.wanted.values()))
    return _Trial(dialect, header, rows, named, whole / len(rows) if rows else 1.0)


def _parted(lines: list[str], dialect: Dialect, data: DataSection, delimiters: Sequence[str]) -> _Trial:
    """The sample under the best delimiter."""
    quote = (data.quote or '"') if data.quoting else None
    plain = replace(dialect, quote=quote, escape=data.escape)
    wanted, trials = set(data.wanted.values()), []
    expected = "\t" if data.format == "tsv" else ","
    for delimiter in sorted(delimiters, key=lambda sign: sign != expected):
        trial = _try(lines, replace(plain, delimiter=delimiter), data)
        body = lines[data.columns is None :]
        if data.quote is None and quote is not None and _begin_with(body, "'", delimiter):
            other = _try(lines, replace(plain, delimiter=delimiter, quote="'"), data)
            trial = other if other.whole == 1 and other.rank >= trial.rank else trial
        # Of a single column every delimiter makes whole rows, so that its name has to be a wanted one.
        if trial.named == len(wanted) and trial.whole == 1 and (wanted or len(trial.header) > 1):
            return trial
        trials.append(trial)
    best = max(trials, key=lambda trial: trial.rank)
    if len(delimiters) > 1:  # a space is in most texts, so it has to fit altogether
        trial = _quoted(_try(lines, replace(plain, delimiter=" "), data), lines, data)
        better = trial.named > best.named or (trial.named == best.named and best.whole == 0)
        if trial.whole == 1 and better and trial.rows and len(trial.header) > 1:
            return trial
    return best


def _spaced(best: _Trial, lines: list[str], data: DataSection) -> _Trial:
    """The best one, or the same with spaces before quotes, where they stand in the header or most rows."""
    quote, rows = best.dialect.quote, best.rows
    if quote is None or best.dialect.delimiter == " ":
        return best
    behind = sum(
        row is not None and any(field[:1] == " " and field.lstrip(" ")[:1] == quote for field in row)
        for row in rows
    )
    if 2 * behind < max(len(rows), 1) and not any(name[:1] == quote for name in best.header):
        return best
    other = _try(lines, replace(best.dialect, spaced=True), data)
    return other if (other.named, other.whole) >= (best.named, best.whole) else best


def _begin_with(lines: list[str], quote: str, delimiter: str) -> bool:
    """True where `quote` begins a field of most rows, and the common quote does not occur."""
    rows = [line for line in lines[:_ROWS] if line.strip()]
    quoted = sum(line[0] == quote or delimiter + quote in line for line in rows)
    return quoted >= _MOST * len(rows) > 0 and not any('"' in line for line in rows)


def _quoted(best: _Trial, lines: list[str], data: DataSection) -> _Trial:
    """The best one, or the same with other rules for quotes where more rows are whole under these."""
    dialect = best.dialect
    if best.whole == 1 or dialect.quote is None:
        return best
    trials = [best]
    escaped = (f"\\{dialect.quote}", f"\\{dialect.delimiter}")
    if data.escape is None and any(sign in line for line in lines for sign in escaped):
        trials.append(_try(lines, replace(dialect, escape="\\"), data))
    if data.quote is None and data.escape is None and dialect.delimiter == "\t":
        bare = _try(lines, replace(dialect, quote=None), data)
        fields = [field for row in bare.rows if row is not None for field in row if field[:1] == '"']
        enclosed = sum(len(field) > 1 and field[-1] == '"' for field in fields)
        if bare.whole == 1 and len(fields) - enclosed >= max(_ODD_QUOTES, enclosed):
            trials.append(bare)
    return max(trials, key=lambda trial: (trial.named, trial.whole))


def _unnamed(best: _Trial) -> int:
    """1 or -1 where a delimiter ends every row, or the header alone."""
    width, rows = len(best.header), [row for row in best.rows if row is not None]
    longer = sum(len(row) == width + 1 and not row[-1].strip() for row in rows)
    if longer >= _MOST * len(rows) > 0:
        return 1
    shorter = sum(len(row) == width - 1 for row in rows)
    return -1 if shorter >= _MOST * len(rows) > 0 and best.header[-1] == "" else 0


def _has_row_names(rows: list[list[str] | None], width: int, data: DataSection) -> bool:
    """True where most rows have a field more than the header's `width`, and begin with a number of their own.

    Among the numbers of a vector these have to count the rows.
    """
    longer = [row for row in rows if row is not None and len(row) == width + 1 > 2 and row[-1]]
    names = [row[0] for row in longer if row[0].isdecimal()]
    own = len(set(names)) if data.vector is None else sum(int(name) == at for at, name in enumerate(names, 1))
    return len(longer) >= _MOST * len(rows) > 0 and own == len(longer)


def _decimal(best: _Trial, data: DataSection) -> str:
    """A comma where every number with a fraction has one, in columns that hold numbers."""
    if best.dialect.delimiter == ",":
        return "."
    numbers = [name for key, name in data.wanted.items() if key.startswith(VECTOR)]
    if data.label is not None and not data.label.is_named:
        numbers.append(data.wanted[f"{LABEL}.column"])
    indices = [best.header.index(name) for name in numbers if name in best.header]
    values = [row[at] for row in best.rows if row is not None for at in indices if at < len(row)]
    fractions = [value for value in values if COMMA_NUMBER.fullmatch(value)]
    # Where all may be thousands, nothing tells what the commas are.
    commas = not all(map(THOUSANDS.fullmatch, fractions))
    return "," if commas and not any(_POINT_NUMBER.fullmatch(value) for value in values) else "."
