"""Any table of texts comes back, however it is written."""

from __future__ import annotations

import csv
import gzip
import io
import lzma
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from components.example_gen import streams
from components.example_gen.batch import FaultReason
from components.example_gen.data_config import DataSection
from components.example_gen.dialect import Dialect
from components.example_gen.reader import check_columns, detect_dialect, open_table, pieces, read
from tests.components.example_rows import Quarantined, Row, read_rows
from tests.components.packing import PACK
from trainer.errors import ConfigError, DataRejected

TABLE = "a;b;score\nx;y, z;0,5\n„u“;v;5\n"
X, V = Row("x", "y", 1.0), Row("v", "w", 0.0)
ROW_NAMES = "row names before the columns"
NAMED = {"column": "score", "kind": "binary", "positive": "1,5", "negative": "0,5"}
ROWS = [Row("x", "y, z", 0.5), Row("„u“", "v", 5.0)]


def file_of(tmp_path: Path, content: str | bytes, name: str = "pairs.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def seen(tmp_path: Path, content: str | bytes, data: DataSection) -> str:
    return str(detect_dialect(file_of(tmp_path, content), data))


def rows_of(tmp_path: Path, content: str | bytes, data: DataSection) -> list[Row | Quarantined]:
    path = file_of(tmp_path, content)
    check_columns(path, data)
    return list(read_rows(path, data))


@pytest.mark.parametrize("form", ["csv", "tsv"])
@pytest.mark.parametrize(
    ("delimiter", "name"), [(",", "comma"), (";", "semicolon"), ("\t", "tab"), ("|", "pipe")]
)
def test_the_delimiter_is_the_one_that_the_named_columns_have(tmp_path, make_data, form, delimiter, name):
    content = "a,b,score\nx,y,1\nv,w,0\n".replace(",", delimiter)
    data = make_data(format=form)
    assert seen(tmp_path, content, data) == f'{name}, quote ", utf-8'
    assert rows_of(tmp_path, content, data) == [X, V]


@pytest.mark.parametrize(
    ("content", "changes", "expected"),
    [
        # Commas in every text, and as many of them, are no match for the header.
        ("a;b;score\nx, y;z;1\nv, w;u;0\n", {}, 'semicolon, quote ", utf-8'),
        # Nor where no column has its right name.
        ("left|right|label\nx, y|z|1\nv, w|u|0\n", {}, 'pipe, quote ", utf-8'),
        # A delimiter inside of quotes is none.
        ('"a";"b";"score"\n"x;1,2";"y";1\n', {}, 'semicolon, quote ", utf-8'),
        ("x|y|1\nv, w|u|0\n", {"header": False, "columns": ("a", "b", "score")}, 'pipe, quote ", utf-8'),
        ("sep=;\na;b;score\nx;y;1\n", {}, 'semicolon, quote ", utf-8'),
        ("'a','b','score'\n'x, y','z',1\n", {}, "comma, quote ', utf-8"),
        ("a,b,score\n'x, y','z',1\n'v','w',0\n", {}, "comma, quote ', utf-8"),
        ("a,b,score\n'twas,'tis,1\nx,y,0\n", {}, 'comma, quote ", utf-8'),
        ("id,a,b,score\n1,'x, y','z','1'\n2,'v','w','0'\n", {}, "comma, quote ', utf-8"),
        ("a,b,score\nx,'twas,1\ny,'tis,0\n", {}, 'comma, quote ", utf-8'),
        (
            "a,b,score\né,y,1\n",
            {"encoding": "cp1252"},
            'comma, quote ", cp1252, though its bytes are utf-8: remove [data] encoding',
        ),
        ("a,b,score\né,y,1\n".encode("cp1252"), {"encoding": "cp1252"}, 'comma, quote ", cp1252'),
        ("a,b,score\nx,y,1\n", {"encoding": "cp1252"}, 'comma, quote ", cp1252'),
        ("SEP=;\na;b;score\nx;y;1\n", {}, 'semicolon, quote ", utf-8'),
        # Commas that may part thousands.
        ("a;b;score\nx;y;1,250\nv;w;3\nt;u;1,234,567\n", {}, 'semicolon, quote ", utf-8'),
        ("a;b;score\nx;y;1,250\nv;w;0,125\n", {}, 'semicolon, quote ", utf-8, decimal comma'),
        ('a,b,score\n"say \\"hi\\"",y,1\n', {}, 'comma, quote ", utf-8, escape \\'),
        ('a,b,score\n"C:\\dir\\",y,1\n', {}, 'comma, quote ", utf-8'),
        ('a\tb\tscore\n"x\ty\t1\n"v\tw\t0\nu\t"t\t1\n', {}, "tab, no quotes, utf-8"),
        ('a\tb\tscore\n"x"\ty\t1\n"v"\tw\t0\n"u"\t"t\t1\n', {}, 'tab, quote ", utf-8'),
        ("a;b;score\nx;y;0,5\nv;w;1\n", {}, 'semicolon, quote ", utf-8, decimal comma'),
        ("a;b;score\nx;y;0,5\nv;w;1.5\n", {}, 'semicolon, quote ", utf-8'),
        ('a,b,score\nx,y,"0,5"\n', {}, 'comma, quote ", utf-8'),
        ("a,b,score,\nx,y,1,\n", {}, 'comma, quote ", utf-8'),
        ("a,b,score\nx,y,1,\nv,w,0,\n", {}, 'comma, quote ", utf-8, a delimiter ends each row'),
        ("a,b,score\rx,y,1\rv,w,0\r", {}, 'comma, quote ", utf-8, CR line ends'),
        ('a,b,score\r"two\nlines\n",y,1\r', {}, 'comma, quote ", utf-8, CR line ends'),
        ('a,b,score\n"two\rlines\r\r",y,1\n', {}, 'comma, quote ", utf-8'),
        ('"a" "b" "score"\n"1" "x" "y" 1\n"2" "v w" "w" 0\n', {}, f'space, quote ", utf-8, {ROW_NAMES}'),
        (
            '"a";"b";"score"\n"7";"x";"y";0,5\n"3";"v";"w";0\n',
            {},
            f'semicolon, quote ", utf-8, decimal comma, {ROW_NAMES}',
        ),
        ("a,b,score\n1,x,y,1\n1,v,w,0\n", {}, 'comma, quote ", utf-8'),
        ("a,b,score\n1,2,3,x\n2,3,4,y\n", {"extra_fields": "ignore"}, 'comma, quote ", utf-8'),
        ("a b score\nx y 1\n", {"header": False, "columns": ("a", "b", "score")}, 'space, quote ", utf-8'),
        ("a b score\nx y z 1\n", {}, 'comma, quote ", utf-8'),
        ("a;b\n1,5;2\n2,5;3\n", {}, 'semicolon, quote ", utf-8'),
        ("a a,a,b,score\nx x,y,1\n", {}, 'comma, quote ", utf-8'),
        ('"a", "b", "score"\n"x", "y", 1\n', {}, 'comma, quote ", utf-8, spaces before quotes'),
        ('a,b,score\nx, "y" z,1\n', {}, 'comma, quote ", utf-8'),
        ('a,b,score\n"x, ""y""",z,1\n', {}, 'comma, quote ", utf-8'),
        ("a;b;score\nx;y;0,5\nv;w;1,5\n", {"label": NAMED}, 'semicolon, quote ", utf-8'),
        ("a::b::score\nx::y::1\n", {"quoting": False, "delimiter": "::"}, "'::', no quotes, utf-8"),
        ("a,b,score\nx,y,1\n", {"delimiter": "comma", "quote": "'"}, "comma, quote ', utf-8"),
        ("a\tb\tscore\nx\ty\t1\n", {"delimiter": "\\t"}, 'tab, quote ", utf-8'),
    ],
)
def test_how_a_file_is_written_is_seen(tmp_path, make_data, content, changes, expected):
    assert seen(tmp_path, content, make_data(**changes)) == expected


@pytest.mark.parametrize(
    ("content", "changes", "expected"),
    [
        (TABLE, {}, ROWS),
        (TABLE.replace(";", "\t"), {}, ROWS),
        (f"sep=;\n{TABLE}", {}, ROWS),
        ("b;score;a\ny;1;x\n", {}, [X]),
        ('"a" "b" "score"\n"1" "say \\"x\\"" "y" 1\n"2" "v" "w" 0\n', {}, [Row('say "x"', "y", 1.0), V]),
        (
            '"a"\t"b"\t"score"\n"1"\t"say \\"x\\""\t"y"\t1\n"2"\t"v"\t"w"\t0\n',
            {},
            [Row('say "x"', "y", 1.0), V],
        ),
        ("\ufeff\ufeffa,b,score\nx,y,1\n", {}, [X]),
        ('"a" "b" "score"\n"1" "x" "y, z" 0.5\n"2" "„u“" "v" 5\n', {}, ROWS),
        ('"a";"b";"score"\n"7";"x";"y, z";0,5\n"3";"„u“";"v";5\n', {}, ROWS),
        ('"a", "b", "score"\n"x", "y, z", "0.5"\n„u“, v, 5\n', {}, ROWS),
        ('a, b, score\nx, "y, z", 0.5\n„u“, "v", 5\n', {}, ROWS),
        ('a, b, score\nx, "y, z", 0.5\n"""u"" said", "v", 5\n', {}, [ROWS[0], Row('"u" said', "v", 5.0)]),
        ("a;b;score\nx;y;1,5\nv;w;0,5\n", {"decimal": ",", "label": NAMED}, [X, V]),
        (",a,b,score\n0,x,y,1\n1,v,w,0\n", {}, [X, V]),
        ("a,b,score,\nx,y,1,\nv,w,0,\n", {}, [X, V]),
        ("a,b,score,\nx,y,1\nv,w,0\n", {}, [X, V]),
        ("a,b,score\nx,y,1,\nv,w,0,\n", {}, [X, V]),
        ("a,b,score\rx,y,1\rv,w,0", {}, [X, V]),
        ("a,b,score\r\nx,y,1\nv,w,0\r\n", {}, [X, V]),
        ("a\tb\tscore\nx\\\ty\tz\t1\nv\tw\t0\n", {}, [Row("x\ty", "z", 1.0), V]),
        ("a,b,score\r\r\nx,y,1\r\r\nv,w,0\r\r\n", {}, [X, V]),
        (
            "a,b,score\np,q,2\nx,y,1\rv,w,0\n",
            {},
            [Row("p", "q", 2.0), X, V],
        ),
        ('a,b,score\n"say \\"hi, you\\"","b\\\\",1\n', {}, [Row('say "hi, you"', "b\\", 1.0)]),
        (
            'a,b,score\nx,"one\\\ntwo\\nthree\\tfour",1\n',
            {"escape": "\\"},
            [Row("x", "one\ntwo\nthree\tfour", 1.0)],
        ),
        (
            "a\tb\tscore\none\\ntwo\tC:\\\\new\t1\nx\\\ty\tz\t2\n",
            {"format": "tsv", "quoting": False, "escape": "\\"},
            [Row("one\ntwo", "C:\\new", 1.0), Row("x\ty", "z", 2.0)],
        ),
        ("a::b::score\nx, y::z::1\n", {"quoting": False, "delimiter": "::"}, [Row("x, y", "z", 1.0)]),
        ("a,b,score\nx,NULL,1\nNA,y,2\n", {}, [Row("x", "NULL", 1.0), Row("NA", "y", 2.0)]),
        ('a,b,score\nx,y,"0,5"\n', {"decimal": ","}, [Row("x", "y", 0.5)]),
    ],
)
def test_rows_of_a_dialect(tmp_path, make_data, content, changes, expected):
    assert rows_of(tmp_path, content, make_data(**changes)) == expected


@pytest.mark.parametrize(
    ("row", "changes", "reason", "detail"),
    [
        ("NULL;y;1", {"null": ["NULL", "NA"]}, FaultReason.EMPTY_TEXT, "column 'a'"),
        ("\\N;y;1", {}, FaultReason.EMPTY_TEXT, "column 'a'"),
        ("x;y;NA", {"null": "NA"}, FaultReason.BAD_LABEL, "column 'score': '' is no number"),
        ("x;y;1,5,5", {}, FaultReason.BAD_LABEL, "column 'score': '1.5.5' is no number"),
        (
            "x;y;1.234,5",
            {},
            FaultReason.BAD_LABEL,
            "column 'score': '1.234,5' has a point where decimal = ','",
        ),
        (" ; ;", {}, FaultReason.BLANK_ROW, "nothing but delimiters"),
    ],
)
def test_a_bad_row_of_a_dialect_costs_itself_alone(tmp_path, make_data, row, changes, reason, detail):
    found = rows_of(tmp_path, f"a;b;score\nx;y;0,5\n{row}\nv;w;5\n", make_data(**changes))
    assert [found[0], found[2]] == [Row("x", "y", 0.5), Row("v", "w", 5.0)]
    assert (found[1].line, found[1].reason, found[1].detail) == (3, reason, detail)


@pytest.mark.parametrize(("first", "taken"), [("1", True), ("7", False)])
def test_a_number_too_many_of_a_vector_is_a_row_name_where_it_counts(tmp_path, make_data, first, taken):
    vector = {"columns": ["v0..v1"], "dimension": 2}
    data = make_data(vector=vector, text_a=None, text_b=None, label=None)
    rows = rows_of(tmp_path, f"v0,v1\n{first},3,4\n2,5,6\n", data)
    if taken:
        assert [row.vector.tolist() for row in rows] == [[3, 4], [5, 6]]
    else:
        assert [row.reason for row in rows] == [FaultReason.WRONG_COLUMN_COUNT] * 2


def test_a_vector_has_decimal_commas_and_nulls_too(tmp_path, make_data):
    vector = {"columns": ["v0..v1"], "dimension": 2}
    data = make_data(text_a=None, text_b=None, label=None, vector=vector, null=["-999"])
    good, *bad = rows_of(tmp_path, "v0;v1\n0,25;1\n1,5;NA\n-999;1\n1.000,5;1\n", data)
    assert good.vector.tolist() == [0.25, 1.0]
    assert [row.reason for row in bad] == [FaultReason.BAD_NUMBER] * 3


@pytest.mark.parametrize("packed", PACK)
@pytest.mark.parametrize(
    ("encoding", "declared", "name"),
    [
        ("utf-8", None, "utf-8"),
        ("utf-8-sig", None, "utf-8"),
        ("utf-8-sig", "latin-1", "utf-8"),  # a byte order mark decides
        ("utf-16", None, "utf-16-le"),
        ("utf-16", "utf-16-le", "utf-16-le"),
        ("utf-16-le", None, "utf-16-le"),
        ("utf-16-be", None, "utf-16-be"),
        ("utf-16-be", "utf-16", "utf-16-be"),
        ("utf-32", None, "utf-32-le"),
        ("utf-32-le", None, "utf-32-le"),
        ("utf-32-be", None, "utf-32-be"),
        ("cp1252", "cp1252", "cp1252"),
    ],
)
def test_encodings_and_packing(tmp_path, make_data, packed, encoding, declared, name):
    content = PACK[packed](TABLE.encode(encoding))
    data = make_data(encoding=declared)
    assert seen(tmp_path, content, data) == f'semicolon, quote ", {name}, decimal comma'
    assert rows_of(tmp_path, content, data) == ROWS


def test_a_wide_encoding_is_seen_by_the_columns_where_they_are_of_another_script(tmp_path, make_data):
    data = make_data(text_a="問", text_b="答", label={"column": "同", "kind": "binary"})
    content = "問,答,同\n甲,乙,1\n".encode("utf-16-be")
    assert rows_of(tmp_path, content, data) == [Row("甲", "乙", 1.0)]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_half_a_surrogate_pair_costs_its_own_row(tmp_path, make_data, encoding):
    content = "a,b,score\nx,\ud83d,1\nv,w,0\n".encode(encoding, "surrogatepass")
    bad, good = rows_of(tmp_path, content, make_data())
    assert (bad.line, bad.reason) == (2, FaultReason.BAD_ENCODING)
    assert good == V


@pytest.mark.parametrize("packed", ["gzip", "bzip2", "xz", "zstd"])
def test_packed_parts_one_behind_the_other_are_one_file(tmp_path, make_data, packed):
    pack = PACK[packed]
    assert rows_of(tmp_path, pack(b"a,b,score\nx,y") + pack(b",1\nv,w,0\n"), make_data()) == [
        X,
        V,
    ]


@pytest.mark.parametrize("packed", ["gzip", "bzip2", "xz", "zstd"])
def test_a_packed_file_that_is_cut_off_is_one_line(tmp_path, make_data, packed):
    rows = "".join(f"x{at * 7919 % 1000},y{at * 104729 % 1000},1\n" for at in range(40_000))
    content = PACK[packed](f"a,b,score\n{rows}".encode())
    path = file_of(tmp_path, content[:-100])
    with pytest.raises((DataRejected, ConfigError)) as caught:
        list(read_rows(path, make_data()))
    assert str(caught.value).startswith(f"{path}: cannot be read")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "advice"),
    [
        (
            "a;b;score\n12;Maß „a“;1\nx;groß;0\n".encode("cp1252"),
            "; with encoding = \"cp1252\" they are 'Maß'",
        ),
        ("a;b;score\nテ、スト;ソ;1\n".encode("cp932"), "; with encoding = \"cp932\" they are 'テ、スト'"),
        (b"a;b;score\nx;\x81 y;1\n", ""),
        ("a;b;score\nü;y;1\n".encode() + b"x;caf\xe9;1\n", None),
    ],
)
@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_bytes_of_another_encoding_are_told_with_the_key_that_reads_them(
    tmp_path, make_data, content, advice, form
):
    if form == "jsonl":
        _, *lines = content.splitlines()
        content = b"".join(b'{"a":"%b","b":"%b","score":%b}\n' % tuple(line.split(b";")) for line in lines)
    path = file_of(tmp_path, content)
    bad = next(row for row in read_rows(path, make_data(format=form)) if isinstance(row, Quarantined))
    assert bad.reason == FaultReason.BAD_ENCODING
    fix = "set [data] encoding" if advice is not None else ", as other rows are: write the row in utf-8"
    assert bad.detail == f"bytes that are not utf-8{': ' if advice is not None else ''}{fix}{advice or ''}"


@pytest.mark.parametrize("encoding", ["utf-16-le", "cp932", "ascii", "cp1252"])
def test_bytes_that_an_encoding_has_not_cost_their_row(tmp_path, make_data, encoding):
    bad = b"\0\xdcx\0" if encoding == "utf-16-le" else b"\x81\xfd"
    content = "a,b,score\nx,y,1\nx,?,1\n".encode(encoding).replace("?".encode(encoding), bad)
    found = rows_of(tmp_path, content, make_data(encoding=encoding))
    assert found[0] == X
    assert [row.reason for row in found[1:]] == [FaultReason.BAD_ENCODING]


def test_json_lines_are_unpacked_and_decoded_too(tmp_path, make_data):
    lines = '{"a": "x", "b": "ü", "score": 1}\n{"a": "NA", "b": "w", "score": 0}\n'
    for content in (
        lines.encode("utf-16"),
        lzma.compress(lines.encode()),
        lines.replace("\n", "\r").encode(),
    ):
        good, bad = rows_of(tmp_path, content, make_data(format="jsonl", null=["NA"]))
        assert good == Row("x", "ü", 1.0)
        assert bad.reason == FaultReason.EMPTY_TEXT


@pytest.mark.parametrize(
    ("content", "changes", "message"),
    [
        (
            "a;b;lbl\nx;y;1\n",
            {},
            "no column 'score': set [data] label.column to one of a, b, lbl, or header = false with columns "
            '(read as: semicolon, quote ", utf-8)',
        ),
        (
            "a^b^score\nx^y^1\n",
            {},
            "no column 'a': set [data] text_a to one of a^b^score, or header = false with columns; "
            "or name by [data] delimiter what stands between the fields",
        ),
        (
            "a;b;score\nx;y;1\n",
            {"delimiter": ","},
            "no column 'a': set [data] text_a to one of a;b;score, or header = false with columns; or remove "
            '[data] delimiter: without it the file is read as: semicolon, quote ", utf-8',
        ),
        (
            "\x1b[31ma,b,score\nx,y,1\n",
            {},
            "no column 'a': set [data] text_a to one of \\x1b[31ma, b, score, or header = false with columns",
        ),
        (
            "a,b,score\nx,y,1\n",
            {"encoding": "utf-16"},
            "cannot be read: no utf-16, for there is no zero byte in it: correct [data] encoding",
        ),
        (
            '"a,b,score"\n"x,y,1"\n',
            {},
            "no column 'a': set [data] text_a to one of a,b,score, or header = false with columns; each "
            "line as a whole is between quotes: remove these, or quote each field by itself",
        ),
        (
            '"a"^"b"^"score"\n"x"^"y"^1\n',
            {},
            "the header cannot be read: a quote that is never closed, or text behind a closing quote: "
            "correct its first line, such as by no spaces between a quote and a delimiter; or name by [data] "
            "delimiter what stands between the fields, or set quoting = false",
        ),
        (
            "Export of May\n\na;b;score\nx;y;1\n",
            {},
            "no column 'a' in the first line, and line 3 has the names: remove the lines above it",
        ),
        (
            ",,\na,b,score\nx,y,1\n",
            {},
            "no column 'a' in the first line, and line 2 has the names: remove the lines above it",
        ),
        (
            "`a`,`b`,`score`\n`x`,`y`,1\n",
            {},
            "no column 'a': set [data] text_a to one of `a`, `b`, `score`, or header = false with columns; "
            'or set [data] quote = "`"',
        ),
        (
            "Länge,b,score\nx,y,1\n",
            {"text_a": "Länge", "encoding": "cp1252"},
            "no column 'Länge': set [data] text_a to one of LÃ¤nge, b, score, or header = false with "
            'columns; or remove [data] encoding: without it the file is read as: comma, quote ", utf-8',
        ),
        (
            b"\x7fELF\2\1\1\0\0\0\n",
            {},
            "no column 'a': set [data] text_a to one of \\x7fELF\\x02\\x01\\x01\\x00\\x00\\x00, or header = "
            "false with columns; or give a file of text: there are zero bytes in this one",
        ),
        (
            "Länge;b;score\nx;y;1\n".encode("cp1252"),
            {"text_a": "Länge"},
            "no column 'Länge': set [data] text_a to one of L\\udce4nge, b, score, or header = false with "
            "columns; the header has bytes that are not utf-8: set [data] encoding; with encoding = "
            "\"cp1252\" they are 'Länge'",
        ),
    ],
)
def test_a_file_that_is_not_as_configured_is_one_line(tmp_path, make_data, content, changes, message):
    path = file_of(tmp_path, content)
    with pytest.raises(ConfigError) as caught:
        check_columns(path, make_data(**changes))
    assert str(caught.value) == f"{path}: {message}"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"delimiter": "::"}, "delimiter = '::': give one character, or set quoting = false"),
        ({"quote": "''"}, "quote = \"''\": give one character"),
        ({"delimiter": "\n"}, "delimiter is a line end"),
        ({"delimiter": ";", "escape": ";"}, "delimiter, escape are the same character"),
        ({"quote": "'", "quoting": False}, "quoting = false leaves quotes as they are"),
        ({"format": "jsonl", "delimiter": ","}, "delimiter is for csv and tsv"),
        ({"decimal": ";"}, "Input should be '.' or ','"),
        ({"delimiter": ""}, "at least 1 item"),
    ],
)
def test_signs_that_do_not_fit_are_refused(make_data, changes, message):
    with pytest.raises(ValidationError) as caught:
        make_data(**changes)
    assert message in str(caught.value)


# --- stray quotes -------------------------------------------------------------------------------------------

FORTY = [f"left {at},right {at},{at % 5}" for at in range(40)]


@pytest.mark.parametrize(
    ("stray", "closing"),
    [
        ('left,"right,1', 'v,w" said he,0'),  # what is behind the quote is a mistake too
        ('left,"right,1', 'v,w",0'),  # the quote is closed by another row's: forty rows in one text
        ('"left,right,1', 'v",w,0'),
        ('left,"right,1', "v,w,0"),  # never closed
    ],
)
def test_a_stray_quote_costs_its_own_row(tmp_path, make_data, stray, closing):
    content = "\n".join(["a,b,score", "x,y,1", stray, *FORTY, closing, "p,q,2", ""])
    found = rows_of(tmp_path, content, make_data())
    assert [(row.line, row.reason) for row in found if isinstance(row, Quarantined)] == [
        (3, FaultReason.MALFORMED_QUOTES)
    ]
    assert len(found) == 44
    assert found[2:42] == [Row(f"left {at}", f"right {at}", at % 5) for at in range(40)]


def test_two_rows_in_one_are_parted_too(tmp_path, make_data):
    bad, good = rows_of(tmp_path, 'a,b,score\nx,"y,1\nv,w",0\n', make_data())
    assert (bad.line, bad.raw, good) == (2, 'x,"y,1', Row("v", 'w"', 0.0))


@pytest.mark.parametrize(
    "text",
    [
        "well, yes\nno, never\nwell, well",
        "one, two, three\nfour, five, six\nseven",
        "\n".join(f"{at}, {at}, so" for at in range(30)),  # as many fields, but no labels
        "a,b,score\nx,y,high",
        "x,y,1",
    ],
)
def test_a_text_of_many_lines_is_one_text(tmp_path, make_data, text):
    for row in (f'"{text}",b,1', f'b,"{text}",1', f'"{text}","{text}",1'):
        [found] = rows_of(tmp_path, f"a,b,score\n{row}\n", make_data())
        assert text in (found.text_a, found.text_b)


def test_records_of_many_lines_are_told(tmp_path, make_data):
    lines = "\n".join(["line"] * 11)
    path = file_of(tmp_path, f'a,b,score\nx,y,1\n"{lines}",y,1\n\nv,w,1\n"{lines}",z,1\n')
    data = make_data()
    [batch] = [batch for piece in pieces(path, data) for batch in read(piece, data)]
    assert batch.many_lines == [(3, 13), (16, 26)]


# --- bounds -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["csv", "unquoted", "jsonl"])
def test_a_line_without_end_costs_itself_alone(tmp_path, make_data, monkeypatch, form):
    monkeypatch.setattr(streams, "LONGEST_LINE", 5_000)
    rows = ["x,y,1", f"{'z' * 30_000},y,1", "v,w,0"]
    if form == "jsonl":
        rows = [f'{{"a": "{a}", "b": "{b}", "score": {n}}}' for a, b, n in (row.split(",") for row in rows)]
    else:
        rows = ["a,b,score", *rows]
    changes = {"format": "jsonl"} if form == "jsonl" else {"quoting": form == "csv"}
    content = gzip.compress("\n".join(rows).encode())
    good, bad, other = rows_of(tmp_path, content, make_data(**changes))
    assert (good, other) == (X, V)
    assert bad.line == len(rows) - 1
    assert len(bad.raw) == streams.KEPT_OF_A_LINE
    if form != "jsonl":
        assert bad.reason == FaultReason.TEXT_TOO_LONG


def test_a_quoted_field_without_end_is_bounded(tmp_path, make_data, monkeypatch):
    monkeypatch.setattr("components.example_gen.records.LONGEST_LINE", 5_000)
    rows = "".join(f"{at} {'z' * 100},y,1\n" for at in range(200))
    bad, *good = rows_of(tmp_path, f'a,b,score\n"x,y,1\n{rows}', make_data())
    assert (bad.line, bad.reason, len(good)) == (2, FaultReason.MALFORMED_QUOTES, 200)


@pytest.mark.parametrize("packed", ["gzip", "bzip2", "xz", "zstd"])
def test_a_bomb_ends_in_one_sentence(tmp_path, make_data, monkeypatch, packed):
    monkeypatch.setattr(streams, "UNPACKED_BYTES", 2**16)
    content = PACK[packed](b"a,b,score\n" + b"x,y,1\n" * 2**18)
    path = file_of(tmp_path, content)
    with pytest.raises(DataRejected) as caught:
        list(read_rows(path, make_data()))
    assert str(caught.value).startswith(
        f"{path}: {len(content):,} bytes of {packed} unpack to more than 200 "
    )


# --- any table ----------------------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
awkward = st.text(alphabet="\"',;|\n\r\t\\ aé", max_size=10)


def is_kept(text: str) -> bool:
    """Ingestion strips texts; an empty one, or MySQL's sign for nothing, is quarantined."""
    return text.strip() not in ("", "\\N")


def written(draw: st.DrawFn, rows: list[tuple[str, str, int]]) -> tuple[bytes, dict[str, str]]:
    """The rows in a file by Python's csv module, and what `[data]` has to say of it."""
    delimiter = draw(st.sampled_from(",;\t|"))
    ends = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    # Of \r and \n it encloses the one that ends a line alone, so that the other is no text's any more.
    enclosing = [csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC, *([csv.QUOTE_MINIMAL] if ends == "\r\n" else [])]
    quoting = draw(st.sampled_from(enclosing))
    escaped = draw(st.booleans())
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]))
    form = {"delimiter": delimiter, "quoting": quoting, "lineterminator": ends}
    if escaped:
        form |= {"escapechar": "\\", "doublequote": False}
    file = io.StringIO(newline="")
    writer = csv.writer(file, **form)
    writer.writerows([("a", "b", "score"), *rows])
    keys = {"escape": "\\"} if escaped else {}
    return PACK[draw(st.sampled_from(list(PACK)))](file.getvalue().encode(encoding)), keys


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[tuple[str, str, int]], bytes, dict[str, str]]:
    pair = st.tuples(texts | awkward, texts | awkward, st.integers(0, 5))
    rows = draw(st.lists(pair, min_size=1, max_size=12))
    return rows, *written(draw, rows)


def check_table(folder: Path, table: tuple[list[tuple[str, str, int]], bytes, dict[str, str]]) -> None:
    rows, content, keys = table
    path = folder / "any.csv"
    path.write_bytes(content)
    label = {"column": "score", "kind": "score", "range": (0, 5)}
    data = DataSection(format="csv", path=path, text_a="a", text_b="b", label=label, **keys)
    found = list(read_rows(path, data))
    assert len(found) == len(rows)
    for row, (a, b, score) in zip(found, rows, strict=True):
        if is_kept(a) and is_kept(b):
            assert row == Row(a.strip(), b.strip(), float(score))
        else:
            assert row.reason in (FaultReason.EMPTY_TEXT, FaultReason.BLANK_ROW)  # type: ignore[operator]


def joined(draw: st.DrawFn, rows: list[tuple[str, str, int]]) -> bytes:
    """The rows as R's `write.table` writes them, or with a space behind each delimiter."""
    has_names = draw(st.booleans())
    delimiter = draw(st.sampled_from([" ", ",", ";", "\t"] if has_names else [", ", "; ", "| "]))
    quoted = [[f'"{text}"' for text in ("a", "b", "score")]]
    for number, (a, b, score) in enumerate(rows, 1):
        texts_of = ['"' + text.replace('"', '""') + '"' for text in (a, b)]
        quoted.append([f'"{number}"'] * has_names + [*texts_of, str(score)])
    return "".join(delimiter.join(row) + "\n" for row in quoted).encode()


@given(st.data())
def test_any_table_of_r_or_with_spaces_comes_back(tmp_path_factory, data):
    rows = [row for row in data.draw(tables())[0] if all(map(is_kept, row[:2]))] or [("x", "y", 1)]
    check_table(tmp_path_factory.mktemp("any"), (rows, joined(data.draw, rows), {}))


@given(tables())
def test_any_table_in_any_dialect_comes_back(tmp_path_factory, table):
    check_table(tmp_path_factory.getbasetemp(), table)


@pytest.mark.slow
@given(tables())
@settings(max_examples=5_000)
def test_thousands_of_tables_come_back(tmp_path_factory, table):
    check_table(tmp_path_factory.getbasetemp(), table)


def test_a_table_has_all_columns_for_who_needs_them(tmp_path, make_data):
    path = file_of(tmp_path, "id;a;b;score\n7;x;y;1\n")
    with open_table(path, make_data()) as table:
        assert (table.names, [record.fields for record in table.records], table.dialect) == (
            ["id", "a", "b", "score"],
            [["7", "x", "y", "1"]],
            Dialect(delimiter=";"),
        )


def test_the_dialect_is_detected_from_no_more_than_the_first_bytes(tmp_path, make_data, monkeypatch):
    path = file_of(tmp_path, "a;b;score\n" + "x;y;1\n" * 50_000)
    taken = []
    opened = streams.open_bytes

    def counted(*arguments):
        file = opened(*arguments)
        taken.append(file)
        return file

    monkeypatch.setattr(sys.modules["components.example_gen.dialect"], "open_bytes", counted)
    closed = detect_dialect(path, make_data())
    assert closed.delimiter == ";"
    assert len(taken) == 1
