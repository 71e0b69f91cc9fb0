from __future__ import annotations

import codecs
import csv
import gzip
import io
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from components.example_gen import records
from components.example_gen.records import Record, has_bad_bytes, read_records
from components.example_gen.streams import open_lines

BOM = b"\xef\xbb\xbf"


def open_text(path, encoding):
    # A byte order mark is no part of the first field; the look-up of a dialect passes over it.
    return open_lines(path, "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding)


def read(content: str | bytes, delimiter: str = ",", quoting: bool = True) -> list[Record]:
    """Records of a file with this content, without the file."""
    raw = content.encode() if isinstance(content, str) else content
    lines = io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8", errors="surrogateescape", newline="\n")
    return list(read_records(iter(lines), delimiter, quote='"' if quoting else None))


def fields(content: str | bytes, delimiter: str = ",", quoting: bool = True) -> list[list[str] | None]:
    return [record.fields for record in read(content, delimiter, quoting)]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a,b\n", [["a", "b"]]),
        ("a,b", [["a", "b"]]),
        ('"a","b"\n', [["a", "b"]]),
        ('"a,1",b\n', [["a,1", "b"]]),
        ('"a ""quoted"" word",b\n', [['a "quoted" word', "b"]]),
        ('"""",b\n', [['"', "b"]]),
        ('"two\nlines",b\n', [["two\nlines", "b"]]),
        ('"two\r\nlines",b\r\n', [["two\r\nlines", "b"]]),
        ('"a blank\n\nline",b\nc,d\n', [["a blank\n\nline", "b"], ["c", "d"]]),
        ('"a, ""b""\nc",d\n', [['a, "b"\nc', "d"]]),
        ("a,b\r\nc,d\r\n", [["a", "b"], ["c", "d"]]),
        ("\n\na,b\n\r\n\nc,d\n\n", [["a", "b"], ["c", "d"]]),
        ("", []),
        ("\n\r\n", []),
        ('""\n', [[""]]),
        (",\n", [["", ""]]),
        (" a , b \n", [[" a ", " b "]]),
        ("a\0b,c\n", [["a\0b", "c"]]),
        ('"a\0b",c\n', [["a\0b", "c"]]),
        ("it's 5\" wide,b\n", [["it's 5\" wide", "b"]]),
        ("naïve,日本\u2028語\x85\x0b\n", [["naïve", "日本\u2028語\x85\x0b"]]),
    ],
)
def test_quoted_fields_follow_rfc_4180(content, expected):
    assert fields(content) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('a\t"b\nc"\td\n', [["a", '"b'], ['c"', "d"]]),
        ('say "hi"\t""\r\n', [['say "hi"', '""']]),
        ("a,b\tc\n", [["a,b", "c"]]),
        ("\t\n", [["", ""]]),
        ("a\rb\tc\n", [["a\rb", "c"]]),
    ],
)
def test_without_quoting_a_quote_is_a_character(content, expected):
    assert fields(content, "\t", quoting=False) == expected


def test_quoting_works_with_tabs_too():
    assert fields('"a\tb"\tc\n', "\t") == [["a\tb", "c"]]


@pytest.mark.parametrize(
    "line",
    ['a,"b', '"a"b,c', '"a" ,b', 'a,"b"c"', "lone\rreturn,b"],
    ids=[
        "never closed",
        "text behind the quote",
        "space behind the quote",
        "quote behind the quote",
        "lone return",
    ],
)
def test_a_line_that_cannot_be_parsed_costs_itself_alone(line):
    found = read(f"x,1\n{line}\ny,2\nz,3\n")
    assert found == [
        Record(1, "x,1", ["x", "1"]),
        Record(2, line, None),
        Record(3, "y,2", ["y", "2"]),
        Record(4, "z,3", ["z", "3"]),
    ]


def test_an_unclosed_quote_does_not_swallow_quoted_rows_behind_it():
    found = read('a,"open\n"x","1"\n"two\nlines","2"\n')
    assert found == [
        Record(1, 'a,"open', None),
        Record(2, '"x","1"', ["x", "1"]),
        Record(3, '"two\nlines","2"', ["two\nlines", "2"]),
    ]


def test_an_unclosed_quote_on_the_last_line_is_reported():
    assert read('a,b\n"c,d') == [Record(1, "a,b", ["a", "b"]), Record(2, '"c,d', None)]


def test_a_field_longer_than_the_limit_is_an_unclosed_quote(monkeypatch):
    monkeypatch.setattr(records, "MAX_LINES_OF_A_RECORD", 3)
    assert fields('"1\n2\n3\n4",b\n') == [["1\n2\n3\n4", "b"]]
    assert fields('"1\n2\n3\n4\n5",b\n') == [None, ["2"], ["3"], ["4"], ['5"', "b"]]


def test_an_unclosed_quote_costs_a_thousand_lines_and_not_the_file(monkeypatch):
    """Each looks a thousand lines ahead and gives them back; the others are parsed many at a time."""
    parsed = []

    class Counted(records._Lines):
        def __next__(self):
            parsed.append(1)
            return super().__next__()

    monkeypatch.setattr(records, "_Lines", Counted)
    assert len(read('"open\n' + "a,b\n" * 20_000 + 'c,"open\n')) == 20_002
    assert len(parsed) < 2_500
    # Many of them, too, cost their own lines and no other.
    assert len(read('"open\n' + "a,b\n" * 5_000 + 'c,"open ""too""\n' * 300)) == 5_301


def test_the_line_of_a_record_is_its_first():
    content = 'a,b\n\n"two\nlines",c\r\nd,e\n'
    assert [(record.line, record.raw) for record in read(content)] == [
        (1, "a,b"),
        (3, '"two\nlines",c'),
        (5, "d,e"),
    ]


def test_open_text_drops_a_byte_order_mark(tmp_path):
    path = tmp_path / "bom.csv"
    path.write_bytes(BOM + b'"a","b"\n')
    for encoding in ("utf-8", "UTF-8", "utf8", "utf_8"):
        with open_text(path, encoding) as file:
            assert list(read_records(iter(file), ",")) == [Record(1, '"a","b"', ["a", "b"])]


def test_open_text_reads_gzip_by_its_content(tmp_path):
    path = tmp_path / "zipped.csv"
    path.write_bytes(gzip.compress(BOM + "é,b\r\n".encode()))
    with open_text(path, "utf-8") as file:
        assert list(file) == ["é,b\r\n"]


def test_open_text_reads_empty_files(tmp_path):
    path = tmp_path / "empty.csv"
    path.touch()
    with open_text(path, "utf-8") as file:
        assert list(file) == []
    path.write_bytes(gzip.compress(b""))
    with open_text(path, "utf-8") as file:
        assert list(file) == []


def test_bad_bytes_are_carried_and_found(tmp_path):
    path = tmp_path / "latin.csv"
    path.write_bytes("café,b\n".encode("latin-1"))
    with open_text(path, "utf-8") as file:
        assert [has_bad_bytes(line) for line in file] == [True]
    with open_text(path, "latin-1") as file:
        [line] = file
    assert line == "café,b\n"
    assert not has_bad_bytes(line)
    with open_text(path, "ascii") as file:
        assert [has_bad_bytes(line) for line in file] == [True]


def test_open_text_reads_utf_16(tmp_path):
    path = tmp_path / "wide.csv"
    path.write_text('"日本\n語",b\r\nc,d\n', encoding="utf-16", newline="")
    with open_text(path, "utf-16") as file:
        assert [r.fields for r in read_records(iter(file), ",")] == [["日本\n語", "b"], ["c", "d"]]


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
awkward = st.text(alphabet='",\n\r\t a', max_size=8)
rows = st.lists(st.lists(texts | awkward, min_size=1, max_size=5), max_size=8)


@given(rows, st.sampled_from([",", "\t", ";"]), st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
@example([["\r"], ['"'], [""], ["\n", ","], ["\ufeffa"]], ",", csv.QUOTE_MINIMAL)
def test_what_the_csv_module_writes_comes_back(written, delimiter, quoting):
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=delimiter, quoting=quoting).writerows(written)
    assert fields(file.getvalue(), delimiter) == written


@given(st.lists(st.lists(texts, min_size=2, max_size=4), min_size=1, max_size=8), st.booleans())
def test_files_come_back_zipped_or_not(tmp_path_factory, written, zipped):
    path = tmp_path_factory.getbasetemp() / "roundtrip.csv"
    file = io.StringIO(newline="")
    csv.writer(file).writerows([["first", "line"], *written])
    content = BOM + file.getvalue().encode()
    path.write_bytes(gzip.compress(content) if zipped else content)
    with open_text(Path(path), "utf-8") as lines:
        assert [r.fields for r in read_records(iter(lines), ",")] == [["first", "line"], *written]


@given(st.binary(max_size=80) | st.text(alphabet='",\n\r a', max_size=40).map(str.encode), st.booleans())
@example(b'"a\n"b\n\n"c', True)
@example(b"\r\r\n\n\r", False)
def test_no_bytes_crash_and_none_are_lost(content, quoting):
    found = read(content, quoting=quoting)
    text = content.decode("utf-8", "surrogateescape")
    lines = text.split("\n")
    # Blank lines and line ends are all that is left out ...
    kept = "".join(record.raw for record in found)
    assert kept.translate({10: None, 13: None}) == text.translate({10: None, 13: None})
    # ... and every other line belongs to exactly one record, which stands where it says.
    taken: list[int] = []
    for record in found:
        parts = record.raw.split("\n")
        assert lines[record.line - 1].startswith(parts[0])
        taken += range(record.line, record.line + len(parts))
    assert len(taken) == len(set(taken))
    assert set(taken) >= {at for at, line in enumerate(lines, 1) if line.strip("\r")}
    if not quoting:
        assert [record.line for record in found] == [
            at for at, line in enumerate(lines, 1) if line.strip("\r")
        ]


@given(st.text(alphabet='",\n\r\\a', max_size=60), st.integers(1, 5), st.sampled_from([None, "\\"]))
@example('a,b\n"a\nb",c\n"d,e\nf,g\n', 2, None)
def test_records_do_not_depend_on_how_many_lines_are_parsed_at_once(content, at_once, escape):
    def read_all() -> list[Record]:
        lines = io.StringIO(content, newline="\n")
        return list(read_records(iter(lines), ",", escape=escape))

    expected = read_all()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "_AT_ONCE", at_once)
        assert read_all() == expected


def test_long_lines_are_not_taken_by_the_hundred(monkeypatch):
    monkeypatch.setattr(records, "LONGEST_LINE", 1_000)
    lines = iter(["x" * 500 + ",y\n"] * 1_000)
    first = next(read_records(lines, ","))
    assert first.fields == ["x" * 500, "y"]
    assert len(list(lines)) >= 900
