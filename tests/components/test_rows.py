from __future__ import annotations

import gzip
import json
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from components.example_gen.batch import KEPT, READ, FaultReason
from components.example_gen.counts import check_counts
from components.example_gen.data_config import SPLITS, DataSection
from components.example_gen.reader import check_columns
from tests.components.example_rows import Quarantined, Row, read_rows
from trainer.errors import ConfigError, DataRejected
from trainer.features import Label


def file_of(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "pairs.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(tmp_path: Path, content: str | bytes, data: DataSection) -> list[Row | Quarantined]:
    return list(read_rows(file_of(tmp_path, content), data))


def test_columns_are_found_by_their_names(tmp_path, make_data):
    content = 'id, score ,b,a\n7,2.5,"x, y"," padded "\n'
    assert read(tmp_path, content, make_data()) == [Row("padded", "x, y", 2.5)]


def test_columns_without_a_header(tmp_path, make_data):
    data = make_data(header=False, columns=("score", "a", "b"), format="tsv", quoting=False)
    assert read(tmp_path, '1.0\t"a\tb"\n', data) == [Row('"a', 'b"', 1.0)]


def test_extra_fields(tmp_path, make_data):
    content = "a,b,score\nx,y,1,more,and more\n"
    [row] = read(tmp_path, content, make_data())
    assert isinstance(row, Quarantined)
    assert row.detail == "5 fields, 3 columns"
    assert read(tmp_path, content, make_data(extra_fields="ignore")) == [Row("x", "y", 1.0)]


NOT_UTF8 = "bytes that are not utf-8: set [data] encoding; with encoding = \"cp1252\" they are 'café'"


@pytest.mark.parametrize(
    ("line", "reason", "detail"),
    [
        (
            '"x,y,1',
            FaultReason.MALFORMED_QUOTES,
            "a quote that is never closed, or text behind a closing quote",
        ),
        (
            '"x"y,z,1',
            FaultReason.MALFORMED_QUOTES,
            "a quote that is never closed, or text behind a closing quote",
        ),
        ("x,y", FaultReason.WRONG_COLUMN_COUNT, "2 fields, 3 columns"),
        (", ,", FaultReason.BLANK_ROW, "nothing but delimiters"),
        ("x,y,1,2", FaultReason.WRONG_COLUMN_COUNT, "4 fields, 3 columns"),
        ("x,caf\udce9,1", FaultReason.BAD_ENCODING, NOT_UTF8),
        ('"x,caf\udce9,1', FaultReason.BAD_ENCODING, NOT_UTF8),
        (",y,1", FaultReason.EMPTY_TEXT, "column 'a'"),
        ("x, \t ,1", FaultReason.EMPTY_TEXT, "column 'b'"),
        (f"{'x' * 11},y,1", FaultReason.TEXT_TOO_LONG, "column 'a': 11 characters, 10 allowed"),
        ("x,y,", FaultReason.BAD_LABEL, "column 'score': '' is no number"),
        ("x,y,high", FaultReason.BAD_LABEL, "column 'score': 'high' is no number"),
        ("x,y,1.5.", FaultReason.BAD_LABEL, "column 'score': '1.5.' is no number"),
        ("x,y,1e2e", FaultReason.BAD_LABEL, "column 'score': '1e2e' is no number"),
        ("x,y,nan", FaultReason.BAD_LABEL, "column 'score': 'nan' is not a score label"),
        ("x,y,-inf", FaultReason.BAD_LABEL, "column 'score': '-inf' is not a score label"),
        ("x,y,5.01", FaultReason.LABEL_OUT_OF_RANGE, "column 'score': '5.01' is not within 0..5"),
        ("x,y,-0.1", FaultReason.LABEL_OUT_OF_RANGE, "column 'score': '-0.1' is not within 0..5"),
    ],
)
def test_a_bad_row_is_kept_with_its_line_reason_and_raw_text(tmp_path, make_data, line, reason, detail):
    data = make_data(max_text_length=10)
    path = file_of(tmp_path, f"a,b,score\nx,y,0\n{line}\nx,y,5\n".encode("utf-8", "surrogateescape"))
    assert list(read_rows(path, data)) == [
        Row("x", "y", 0.0),
        Quarantined(str(path), 3, reason, detail, line),
        Row("x", "y", 5.0),
    ]


@pytest.mark.parametrize(
    ("line", "reason", "detail"),
    [
        ("0.5,high,1", FaultReason.BAD_NUMBER, "column 'v1': not a finite number: 'high'"),
        ("0.5,inf,1", FaultReason.BAD_NUMBER, "column 'v1': not a finite number: 'inf'"),
        (",0.5,1", FaultReason.BAD_NUMBER, "column 'v0': not a finite number: ''"),
        ("1.5,0.5,1", FaultReason.VALUE_OUT_OF_RANGE, "column 'v0': 1.5 is not within 0..1"),
        ("0.5,0.5", FaultReason.WRONG_COLUMN_COUNT, "2 fields, 3 columns"),
    ],
)
def test_vectors_of_columns(tmp_path, make_data, line, reason, detail):
    vector = {"columns": ["v0..v1"], "dimension": 2, "range": (0, 1)}
    data = make_data(text_a=None, text_b=None, label=None, vector=vector)
    path = file_of(tmp_path, f"v0,v1,score\n0.25,1,7\n{line}\n")
    good, bad = read_rows(path, data)
    assert isinstance(good, Row)
    assert good.label is None
    assert good.vector is not None
    assert good.vector.tolist() == [0.25, 1.0]
    assert bad == Quarantined(str(path), 3, reason, detail, line)


def test_vectors_of_a_list_column(tmp_path, make_data):
    path = tmp_path / "vectors.parquet"
    rows = [[0.5, 1.0], [0.5], None, [0.5, None]]
    pq.write_table(pa.table({"v": pa.array(rows, pa.list_(pa.float32()))}), path)
    vector = {"column": "v", "dimension": 2}
    data = make_data(format="parquet", text_a=None, text_b=None, label=None, vector=vector)
    good, *bad = read_rows(path, data)
    assert good.vector.tolist() == [0.5, 1.0]
    assert [(row.line, row.reason, row.detail) for row in bad] == [
        (2, FaultReason.WRONG_DIMENSION, "column 'v': 1 values, dimension = 2"),
        (3, FaultReason.WRONG_DIMENSION, "column 'v': no values, dimension = 2"),
        (4, FaultReason.BAD_NUMBER, "column 'v[1]': not a finite number"),
    ]


def test_every_reason_is_tested_above():
    [texts] = test_a_bad_row_is_kept_with_its_line_reason_and_raw_text.pytestmark
    [vectors] = test_vectors_of_columns.pytestmark
    tested = {case[1] for mark in (texts, vectors) for case in mark.args[1]}
    elsewhere = {
        FaultReason.WRONG_DIMENSION,
        FaultReason.MALFORMED_JSON,
        FaultReason.MALFORMED_EXAMPLE,
        FaultReason.MISSING_KEY,
        FaultReason.NOT_A_TEXT,
        FaultReason.CONFLICTING_LABEL,
        FaultReason.JOINS_SPLITS,
    }
    assert tested | elsewhere == set(FaultReason)


@pytest.mark.parametrize(
    ("written", "expected"),
    [("no", 0.0), (" yes ", 1.0), ("Yes", FaultReason.BAD_LABEL), ("1", FaultReason.BAD_LABEL)],
)
def test_a_class_is_its_place_in_the_list(tmp_path, make_data, written, expected):
    data = make_data(label={"column": "score", "kind": "classes", "classes": ("no", "yes")})
    [row] = read(tmp_path, f"a,b,score\nx,y,{written}\n", data)
    assert (row.label if isinstance(row, Row) else row.reason) == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("0", 0.0),
        ("1", 1.0),
        ("1.0", 1.0),
        ("0.5", FaultReason.BAD_LABEL),
        ("2", FaultReason.LABEL_OUT_OF_RANGE),
        ("-1", FaultReason.LABEL_OUT_OF_RANGE),
        ("true", 1.0),
        ("tru", FaultReason.BAD_LABEL),
    ],
)
def test_a_binary_label_is_0_or_1(tmp_path, make_data, written, expected):
    data = make_data(label={"column": "score", "kind": "binary"})
    [row] = read(tmp_path, f"a,b,score\nx,y,{written}\n", data)
    assert (row.label if isinstance(row, Row) else row.reason) == expected


def test_the_first_line_of_a_record_with_newlines_is_named(tmp_path, make_data):
    rows = read(tmp_path, 'a,b,score\n\n"two\nlines",y,9\nx,"",1\n', make_data())
    assert [(row.line, row.reason, row.raw) for row in rows] == [
        (3, FaultReason.LABEL_OUT_OF_RANGE, '"two\nlines",y,9'),
        (5, FaultReason.EMPTY_TEXT, 'x,"",1'),
    ]


def test_a_text_as_long_as_allowed_is_kept(tmp_path, make_data):
    data = make_data(max_text_length=3)
    assert read(tmp_path, "a,b,score\n é語🎸 ,y,1\n", data) == [Row("é語🎸", "y", 1.0)]


def test_other_encodings(tmp_path, make_data):
    data = make_data(encoding="cp1252")
    assert read(tmp_path, "a,b,score\n“café”,y,1\n".encode("cp1252"), data) == [Row("“café”", "y", 1.0)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file is empty: give [data] a file with a header and rows"),
        ("\n\r\n", "the file is empty: give [data] a file with a header and rows"),
        ("\ufeff", "the file is empty: give [data] a file with a header and rows"),
        ("a,b,score\n", "the file holds no row: give [data] a file with rows"),
        ("a,b,score\n\n\r\n", "the file holds no row: give [data] a file with rows"),
        (
            "a,c,score\nx,y,1\n",
            "no column 'b': set [data] text_b to one of a, c, score, or header = false with columns",
        ),
        (
            "a,b,Score\nx,y,1\n",
            "no column 'score': set [data] label.column to one of a, b, Score, "
            "or header = false with columns",
        ),
        (
            "x\ty\t1\n",
            "no column 'a': set [data] text_a to one of x, y, 1, or header = false with columns "
            '(read as: tab, quote ", utf-8)',
        ),
        (
            '"open\nx,y,1\n',
            "the header cannot be read: a quote that is never closed, or text behind a closing quote: "
            "correct its first line, such as by no spaces between a quote and a delimiter; or name by [data] "
            "delimiter what stands between the fields, or set quoting = false",
        ),
        ("a,b,score,b\nx,y,1,z\n", "2 columns are named 'b': rename all but one"),
    ],
)
def test_files_that_cannot_be_right_are_one_line_of_error(tmp_path, make_data, content, message):
    path = file_of(tmp_path, content)
    with pytest.raises(ConfigError) as caught:
        check_columns(path, make_data())
    assert str(caught.value) == f"{path}: {message}"


def test_a_file_without_header_may_not_be_empty(tmp_path, make_data):
    path = file_of(tmp_path, "\n")
    with pytest.raises(ConfigError, match="the file holds no row"):
        check_columns(path, make_data(header=False, columns=("a", "b", "score")))


def test_check_columns_passes_what_is_right(tmp_path, make_data):
    check_columns(file_of(tmp_path, "\ufeffscore,b,a\n1,x,y\n"), make_data())


def test_a_zipped_file_that_is_cut_off_is_one_line_of_error(tmp_path, make_data):
    whole = gzip.compress(b"a,b,score\n" + b"x,y,1\n" * 1_000)
    path = file_of(tmp_path, whole[:20])
    with pytest.raises(ConfigError) as caught:
        check_columns(path, make_data())
    assert str(caught.value).startswith(f"{path}: cannot be read: ")
    long = gzip.compress(b"a,b,score\n" + bytes(range(256)) * 2_000)
    path = file_of(tmp_path, long[:-9])
    check_columns(path, make_data())
    with pytest.raises(DataRejected) as rejected:
        list(read_rows(path, make_data()))
    assert str(rejected.value).startswith(f"{path}: cannot be read to its end: ")


def test_a_file_in_another_encoding_than_declared_is_one_line_of_error(tmp_path, make_data):
    path = file_of(tmp_path, b"a,b,score\nx,y,1\n\xd8")
    with pytest.raises(ConfigError) as caught:
        check_columns(path, make_data(encoding="utf-16"))
    assert str(caught.value).startswith(f"{path}: cannot be read: ")


lines = st.text(alphabet='xé,",1.\0\udc80\r ', max_size=12)


@given(st.lists(lines, max_size=12))
def test_rows_in_are_rows_out(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes("\n".join(["a,b,score", *content, "x,y,1"]).encode("utf-8", "surrogateescape"))
    label = Label(column="score", kind="score", range=(0, 5))
    data = DataSection(format="csv", train=path, eval=path, test=path, text_a="a", text_b="b", label=label)
    found = list(read_rows(path, data))
    blank = sum(not line.strip("\r") for line in content)
    joined = sum(row.raw.count("\n") if isinstance(row, Quarantined) else 0 for row in found)
    # A usable row may hold newlines too, which its two texts tell.
    joined += sum(row.text_a.count("\n") + row.text_b.count("\n") for row in found if isinstance(row, Row))
    assert len(found) <= len(content) + 1 - blank + joined
    assert len(found) + joined >= len(content) + 1 - blank
    for row in found:
        if isinstance(row, Row):
            assert row.text_a
            assert row.text_b
            assert 0 <= row.label <= 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"columns": ("a", "b", "score")}, "set header = false or remove columns"),
        ({"header": False}, "header = false needs columns"),
        ({"header": False, "columns": ("a", "score")}, "text_b = 'b' is not among columns = ['a', 'score']"),
        ({"header": False, "columns": ("a", "b", "b", "score")}, "2 columns are named 'b'"),
        ({"encoding": "utf-99"}, "encoding = 'utf-99' is not known to Python"),
        ({"encoding": ""}, "encoding = '' is not known to Python"),
        ({"encoding": "punycode"}, "encoding = 'punycode' is not known to Python, try 'utf-8', or 'cp1252'"),
        ({"encoding": "base64"}, "encoding = 'base64' is not known to Python"),
        ({"text_b": "a"}, "text_a and text_b"),
        ({"max_quarantined": 1.5}, "less than or equal to 1"),
        ({"max_text_length": 0}, "greater than 0"),
        ({"format": "xls"}, "Input should be 'csv', 'tsv'"),
    ],
)
def test_an_impossible_data_section_is_refused(make_data, changes, message):
    with pytest.raises(ValidationError) as caught:
        make_data(**changes)
    assert message in str(caught.value)


def test_quarantined_rows_name_the_file_as_given(tmp_path, make_data):
    [row] = read(tmp_path, "a,b,score\nx,y,6\n", make_data())
    assert asdict(row) == {
        "file": str(tmp_path / "pairs.csv"),
        "line": 2,
        "reason": "label out of range",
        "detail": "column 'score': '6' is not within 0..5",
        "raw": "x,y,6",
    }


@pytest.mark.parametrize(
    ("aside", "passes"),
    [
        ({FaultReason.BAD_LABEL: 2}, True),
        ({FaultReason.BAD_LABEL: 3}, False),
        ({FaultReason.BAD_LABEL: 2, FaultReason.JOINS_SPLITS: 5}, True),
    ],
)
def test_so_many_rows_may_be_bad_as_are_allowed_and_no_more(tmp_path, make_data, aside, passes):
    """Rows that stand in two splits, or are blank, are no fault of anybody."""
    kept = 20 - sum(aside.values())
    sources = {split: {READ: 20, f"{KEPT}train": kept, **aside} for split in SPLITS}
    (tmp_path / "counts.json").write_text(json.dumps({"sources": sources}))
    data = make_data(max_quarantined=0.1)
    with nullcontext() if passes else pytest.raises(DataRejected, match="3 of 20 rows cannot be used"):
        check_counts(str(tmp_path), data)
