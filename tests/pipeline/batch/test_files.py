"""The files of the commands: read as `[data]` says, written as their names say, never over anything else."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.example_gen.data_config import DataSection
from pipeline.batch import rows as reading
from pipeline.batch import sinks
from pipeline.batch.inputs import open_table
from pipeline.outputs import check_not_read
from trainer.errors import ConfigError, KembarError

SUFFIXES = [".csv", ".tsv", ".jsonl", ".ndjson", ".parquet"]
OUTPUTS = [suffix + zipped for suffix in SUFFIXES for zipped in ("", ".gz")]
HARD = [
    "a",
    '"',
    ",",
    "\t",
    "\r",
    "x\r\ny",
    "\n",
    "",
    " pad ",
    "=1+1",
    "❤️",
    "\x1b[31m",
    "\u202e",
    "NA",
    "\\",
    "\x7f",
]
ROWS = [{"id": str(at), "t": text} for at, text in enumerate(HARD)]
COLUMNS = pa.schema(
    [("id", pa.string()), ("t", pa.string()), ("n", pa.float64()), ("v", pa.list_(pa.int64()))]
)


def written(path: Path, rows: list[dict], columns: pa.Schema = COLUMNS) -> bytes:
    with sinks.sink(path, io.StringIO(), columns) as sink:
        for row in rows:
            sink.write([row])
    content = path.read_bytes()
    return gzip.decompress(content) if path.suffix == ".gz" else content


def values(name: str, content: bytes) -> list[dict]:
    """What a library makes of the content of a file that was written."""
    if ".parquet" in name:
        return pq.read_table(pa.BufferReader(content)).to_pylist()
    if ".jsonl" in name or ".ndjson" in name:
        return [json.loads(line) for line in content.decode().split("\n")[:-1]]
    return list(
        csv.DictReader(io.StringIO(content.decode(), newline=""), delimiter="," if "c" in name else "\t")
    )


@pytest.mark.parametrize("suffix", OUTPUTS)
def test_a_name_says_the_format(tmp_path, suffix):
    own = [{**row, "n": 0.5, "v": [1, 2]} for row in ROWS]
    told = values(suffix, written(tmp_path / f"o{suffix}", own))
    if suffix[1] in "ct":
        own = [{**row, "n": "0.5", "v": "[1, 2]"} for row in own]
    assert told == own
    assert [path.name for path in tmp_path.iterdir()] == [f"o{suffix}"]
    assert written(tmp_path / f"p{suffix}", [{**row, "n": 0.5, "v": [1, 2]} for row in ROWS]) == written(
        tmp_path / f"o{suffix}", [{**row, "n": 0.5, "v": [1, 2]} for row in ROWS]
    )


@pytest.mark.parametrize("suffix", [name for name in OUTPUTS if name != ".parquet.gz"])
def test_what_was_written_is_read_again(tmp_path, suffix):
    written(tmp_path / f"o{suffix}", ROWS, COLUMNS.remove(3).remove(2))
    table = open_table(tmp_path / f"o{suffix}", DataSection.model_construct(format="csv"), [("t",)])
    assert list(table.rows()) == [reading.Row(row) for row in ROWS]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_values_of_parquet_are_written_as_text(tmp_path, suffix):
    own = {
        "b": "é".encode(), "n": None, "d": Decimal("1.5"), "t": date(2026, 11, 25), "l": [True, None],
        "h": np.float16(0.5),
    }  # fmt: skip
    lines = written(tmp_path / f"o{suffix}", [own], pa.schema([(name, pa.string()) for name in own])).decode()
    if suffix == ".csv":
        assert lines == 'b,n,d,t,l,h\né,,1.5,2026-11-25,"[true, null]",0.5\n'
    else:
        told = {"b": "é", "n": None, "d": "1.5", "t": "2026-11-25", "l": [True, None], "h": 0.5}
        assert json.loads(lines) == told


@pytest.mark.parametrize(("suffix", "scalar"), [(".csv", "NaN"), (".jsonl", None), (".parquet", "null")])
def test_json_has_no_number_that_is_none(tmp_path, suffix, scalar):
    def refuse(constant):
        pytest.fail(f"{constant} is no JSON")

    deep = {"a": [float("nan"), float("-inf"), 1.5, {"NaN": "Infinity"}]}
    own = {"n": float("nan"), "h": np.float16("inf"), "v": deep, "t": "NaN"}
    content = written(tmp_path / f"o{suffix}", [own], pa.schema([(name, pa.string()) for name in own]))
    (row,) = values(suffix, content)
    assert (row["n"], row["t"]) == (scalar, "NaN")
    if suffix == ".jsonl":
        json.loads(content, parse_constant=refuse)
        row["v"] = json.dumps(row["v"])
    told = json.loads(row["v"], parse_constant=refuse)
    assert told == {"a": [None, None, 1.5, {"NaN": "Infinity"}]}


@given(
    st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8)), min_size=1, max_size=4),
    st.sampled_from(",\t"),
)
def test_any_text_is_a_field(pairs, delimiter):
    file = io.StringIO(newline="")
    sink = sinks.Delimited(file, pa.schema([("a", pa.string()), ("b", pa.string())]), delimiter)
    sink.write([{"a": a, "b": b} for a, b in pairs])
    file.seek(0)
    _, *told = csv.reader(file, delimiter=delimiter, strict=True)
    assert told == [list(map(reading.as_utf8, pair)) for pair in pairs]


def test_json_lines_hold_no_character_that_moves_a_terminal(tmp_path):
    lines = written(tmp_path / "o.jsonl", [{"t": "\x9b2J\u202e\u2028é"}]).decode()
    assert lines == '{"t": "\\u009b2J\\u202e\\u2028é"}\n'


def cells(name: str, content: bytes):
    return lambda folder: (folder / name).write_bytes(content)


@pytest.mark.parametrize(
    ("output", "make", "message"),
    [
        ("o.xlsx", None, "name a file that ends with .csv, .tsv, .jsonl, .ndjson or .parquet, each also"),
        ("o", None, "name a file that ends with .csv"),
        ("o.json", None, "name a file that ends with .csv"),
        ("o.csv.zip", None, "name a file that ends with .csv"),
        (".csv", None, "name a file that ends with .csv"),
        ("", None, "is a folder: name a file in it"),
        ("f.csv", lambda folder: (folder / "f.csv").mkdir(), "is a folder: name a file in it"),
        ("no/o.csv", None, "no such folder"),
        ("in.csv/o.csv", None, "no such folder"),
        ("in.csv", None, "is the file that is read: name another"),
        ("h.csv", lambda folder: os.link(folder / "in.csv", folder / "h.csv"), "is the file that is read"),
        (
            "l.csv",
            lambda folder: (folder / "l.csv").symlink_to("in.csv"),
            "is a link to in.csv: name that file",
        ),
        (
            "d.csv",
            lambda folder: (folder / "d.csv").symlink_to("no.csv"),
            "is a link to no.csv: name that file",
        ),
        ("q.csv", lambda folder: os.mkfifo(folder / "q.csv"), "is no regular file: leave --output out"),
        ("/dev/null", None, "is no regular file: leave --output out"),
        ("/dev/full", None, "is no regular file: leave --output out"),
        ("/dev/stdout", None, "is no file to write: leave --output out"),
    ],
)
def test_a_place_where_no_file_belongs_is_refused(tmp_path, monkeypatch, output, make, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.csv").write_text("t\na\n")
    if make is not None:
        make(tmp_path)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ConfigError) as caught:
        sinks.check_output(Path(output), Path("in.csv"))
    assert str(caught.value).startswith(f"--output {Path(output)}: {message}")
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("suffix", OUTPUTS)
@pytest.mark.parametrize("failure", [RuntimeError("x"), OSError(28, "No space left on device")])
def test_nothing_is_left_of_a_failure(tmp_path, suffix, failure):
    output = tmp_path / f"o{suffix}"
    output.write_text("of the last run")
    kind = KembarError if isinstance(failure, OSError) else RuntimeError
    with pytest.raises(kind) as caught, sinks.sink(output, io.StringIO(), COLUMNS) as sink:  # noqa: PT012
        sink.write(ROWS)
        raise failure
    assert output.read_text() == "of the last run"
    assert list(tmp_path.iterdir()) == [output]
    if kind is KembarError:
        assert str(caught.value) == (
            f"--output {output}: cannot be written: No space left on device: nothing was left of it"
        )


@pytest.fixture
def read(tmp_path, make_data):
    """The rows of a file whose content is given, and the columns of its texts."""

    def call(name: str, content: bytes, *choices: tuple[str, ...], **data) -> tuple[list[tuple], tuple]:
        (tmp_path / name).write_bytes(content)
        table = open_table(tmp_path / name, make_data(**data), choices or (("text_a", "text_b"), ("a", "b")))
        return [
            (*row.values.values(), *([row.problem] if row.problem else [])) for row in table.rows()
        ], table.texts

    return call


HEADLESS = {"header": False, "columns": ("a", "b", "score")}


@pytest.mark.parametrize(
    ("name", "content", "data", "rows", "texts"),
    [
        ("q.csv", "a,b\né,x\n".encode("latin-1"), {"encoding": "latin-1"}, [("é", "x")], ("a", "b")),
        ("q.csv", "a,b\né,x\n".encode("utf-16"), {"encoding": "utf-16"}, [("é", "x")], ("a", "b")),
        ("q.tsv", b'a\tb\n"x\ty\n', {"format": "tsv", "quoting": False}, [('"x', "y")], ("a", "b")),
        ("q.csv", b"x,y,3\n", HEADLESS, [("x", "y", "3")], ("a", "b")),
        ("q.csv", b"x,y\n", HEADLESS, [("x", "y")], ("a", "b")),
        ("q.csv", b"text_b,text_a,score\nx,y,3\n", HEADLESS, [("x", "y", "3")], ("text_a", "text_b")),
        # Other than [data] says, by the name.
        ("q.csv", b'a,b\n"x,1",y\n', {"format": "tsv", "quoting": False}, [("x,1", "y")], ("a", "b")),
        ("q.tsv", b"a\tb\nx,1\ty\n", {}, [("x,1", "y")], ("a", "b")),
        ("q.csv", b"a\tb\nx\ty\n", {"format": "tsv"}, [("x", "y")], ("a", "b")),
        ("q.jsonl", b'{"b": 1, "a": "x"}\n', {}, [(1, "x", "no text 'b'")], ("a", "b")),
        ("q.txt", b"a,b\nx,y\n", {}, [("x", "y")], ("a", "b")),
        ("q.json", b'{"a": "x", "b": "y"}\n', {"format": "jsonl"}, [("x", "y")], ("a", "b")),
        ("q.CSV", b"\xef\xbb\xbfa,b\r\nx,y\r\n", {"format": "parquet"}, [("x", "y")], ("a", "b")),
        # Two columns of one name, as spreadsheets leave them.
        ("q.csv", b"a,b,,\nx,y,1,2\nx\n", {}, [("x", "y", "1", "2"), ("x", None, None, None)], ("a", "b")),
        ("q.csv", b"a,b,n,n,n_2\nx,y,1,2,3\n", {}, [("x", "y", "1", "2", "3")], ("a", "b")),
        ("q.csv", b"", {}, [], ("text_a", "text_b")),
        ("q.csv", b"a,b\n", {}, [], ("a", "b")),
    ],
)
def test_a_file_is_read_as_the_data_says_or_as_its_name_says(read, name, content, data, rows, texts):
    told, own = read(name, content, **data)
    assert own == texts
    assert [row[: len(rows[at])] for at, row in enumerate(told)] == rows


def test_columns_of_one_name_get_others(read, tmp_path, make_data):
    (tmp_path / "q.csv").write_text("a,b,n,n,n_2,,\nx,y,1,2,3,4,5\n")
    table = open_table(tmp_path / "q.csv", make_data(), [("a", "b")])
    assert table.columns().names == ["a", "b", "n", "n_3", "n_2", "", "_2"]
    with pytest.raises(ConfigError, match="2 columns are named 'a': there are a, a, b"):
        read("q.csv", b"a,a,b\n1,2,3\n", ("a", "b"))
    with pytest.raises(ConfigError, match="2 columns are named 'b': there are a, b, b"):
        read("q.csv", b"a,b,b\n1,2,3\n", ("a", "b"))


@pytest.mark.parametrize("name", ["q.parquet", "q.csv", "q"])
def test_parquet_is_known_by_its_content(tmp_path, make_data, name):
    texts = pa.array(["x", None, "y"])
    for kind in (pa.string(), pa.large_string(), pa.binary()):
        columns = {"a": texts.cast(kind), "n": pa.array([[1], None, []]), "b": pa.array(["é", "z", "w"])}
        pq.write_table(pa.table(columns), tmp_path / name)
        table = open_table(tmp_path / name, make_data(), [("a", "b")])
        assert [(row.values["a"], row.values["n"], row.problem) for row in table.rows()] == [
            ("x", [1], ""),
            (None, None, "no text 'a'"),
            ("y", [], ""),
        ]


@pytest.mark.parametrize(
    ("values", "kind", "text"),
    [
        ([10**13], pa.timestamp("s"), "<value out of range: 10000000000000000>"),
        ([10**7], pa.date32(), "29349-01-26"),
        ([0], pa.timestamp("us", tz="Mars/Phobos"), "1970-01-01 00:00:00.000000Z"),
    ],
)
def test_a_date_that_python_has_not_is_text(tmp_path, make_data, values, kind, text):
    columns = {"t": pa.array(["a"]), "when": pa.array(values, kind)}
    pq.write_table(pa.table(columns), tmp_path / "in.parquet")
    table = open_table(tmp_path / "in.parquet", make_data(), [("t",)])
    assert list(table.rows()) == [reading.Row({"t": "a", "when": text})]


def test_dates_in_lists_that_python_has_not_are_one_line(tmp_path, make_data):
    columns = {"t": pa.array(["a"]), "w": pa.StructArray.from_arrays([pa.array([10**7], pa.date32())], ["x"])}
    pq.write_table(pa.table(columns), tmp_path / "in.parquet")
    table = open_table(tmp_path / "in.parquet", make_data(), [("t",)])
    with pytest.raises(ConfigError, match=r"in\.parquet, after row 0: column 'w' is struct<.*: leave it out"):
        list(table.rows())


@pytest.mark.slow
def test_examples_of_tensorflow_are_read(tmp_path, make_data):
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(tmp_path / "q.tfrecord")) as writer:
        for texts in (("x", "é"), ("y", None)):
            example = tf.train.Example()
            for name, text in zip("ab", texts, strict=True):
                if text is not None:
                    example.features.feature[name].bytes_list.value.append(text.encode())
            writer.write(example.SerializeToString())
        writer.write(b"none")
    table = open_table(tmp_path / "q.tfrecord", make_data(format="tfrecord"), [("a", "b")])
    assert [(row.values, row.problem) for row in table.rows()] == [
        ({"a": "x", "b": "é"}, ""),
        ({"a": "y", "b": None}, "no text 'b'"),
        ({"a": None, "b": None}, "line 3: malformed example: 4 bytes that are no tf.Example"),
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("q.csv", b"x,y\n1,2\n", "no column 'text_a' nor 'a': there are x, y"),
        ("q.jsonl", b'{"x": 1}\n', "no column 'text_a' nor 'a': there are x"),
        ("q.json", b"[]", "is one JSON document: write one object a line, as .jsonl"),
        ("q.xlsx", b"PK", "is a workbook: save its sheet as .csv"),
        ("q.zip", b"PK", "is an archive: unpack it"),
        ("q.csv", b"PAR1" * 9, "not a Parquet file"),
        ("q.csv", b"Export\n\nscore;a;b\n1;x;y\n", "line 3 has the names: remove the lines above it"),
        ("q.jsonl", b'[{"a": "x", "b": "y"}]', "the file is a JSON array: write one object a line"),
        ("q.jsonl", b"<html>", "the file is an HTML page"),
        ("q.parquet.gz", gzip.compress(b"PAR1", mtime=0), "Parquet cannot be read through .gz: unpack it"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(read, tmp_path, name, content, message):
    with pytest.raises(ConfigError) as caught:
        read(name, content)
    assert str(caught.value).startswith(f"--input {tmp_path / name}: {message}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.mkdir(), "is a folder: name a file in it"),
        (lambda path: path.symlink_to("no.csv"), "no such file"),
        (os.mkfifo, "is no regular file: save the rows in one"),
    ],
)
def test_what_is_no_file_is_one_line(tmp_path, make_data, make, message):
    make(tmp_path / "q.csv")
    with pytest.raises(ConfigError) as caught:
        open_table(tmp_path / "q.csv", make_data(), [("a", "b")])
    assert str(caught.value) == f"--input {tmp_path}/q.csv: {message}"


@pytest.mark.parametrize("output", ["/dev/stdout", "/dev/stderr", "/dev/fd/1", "/proc/self/fd/2"])
def test_a_stream_that_libraries_print_to_is_no_file_to_write(make_data, output):
    with pytest.raises(ConfigError, match=f"--output {output}: is no file to write: name a file"):
        check_not_read(Path(output), Path("twins.toml"), make_data())


def test_a_table_that_is_replaced_before_it_is_read_is_named_once(tmp_path):
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"a": ["x"], "b": ["y"]}), path)
    table = open_table(path, DataSection.model_construct(format="parquet"), [("a", "b")])
    path.write_text("no table any more")
    with pytest.raises(reading.InputError, match=r"^--input (?!--input ).*rows\.parquet: ") as caught:
        list(table.rows())
    assert caught.value.fault == str(caught.value).removeprefix("--input ")
