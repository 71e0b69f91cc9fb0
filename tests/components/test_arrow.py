"""Every type that Arrow has is taken for what it holds, or named with the way out."""

from __future__ import annotations

import datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from components.example_gen.arrow import check_type, plain
from components.example_gen.batch import FaultReason
from components.example_gen.data_config import DataSection
from components.example_gen.reader import EmptyFile, check_columns
from tests.components.example_rows import Quarantined, Row, read_rows
from tests.components.tables import OF_LISTS, write_table
from trainer.errors import ConfigError, DataRejected

TEXTS = ["é", "語 x", None]
IN_BYTES = [None if text is None else text.encode() for text in TEXTS]
HALVES = pa.array([np.float16(1), np.float16(0), None], pa.float16())
NESTED = [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]


@pytest.mark.parametrize(
    "column",
    [
        pa.array(TEXTS),
        pa.array(TEXTS, pa.large_string()),
        pa.array(TEXTS, pa.string_view()),
        pa.array(IN_BYTES),
        pa.array(IN_BYTES, pa.large_binary()),
        pa.array(IN_BYTES, pa.binary_view()),
        pa.array([one and one.ljust(6, b"\0") for one in IN_BYTES], pa.binary(6)),
        pa.array(TEXTS).dictionary_encode(),
        pa.array(IN_BYTES).dictionary_encode(),
        pc.run_end_encode(pa.array(TEXTS)),
        pa.concat_arrays([pa.array(["before"]), pa.array(TEXTS)]).slice(1),
    ],
    ids=lambda column: str(column.type),
)
def test_texts(column):
    check_type("text_a", "a", column.type)
    check_type("label.column", "a", column.type)
    assert plain(column) == TEXTS


@pytest.mark.parametrize(
    "column",
    [
        *(
            pa.array([1, 0, None], kind)
            for kind in (pa.int8(), pa.uint8(), pa.int64(), pa.uint64(), pa.float32(), pa.float64())
        ),
        HALVES,
        pa.array([Decimal("1.00"), Decimal("0.00"), None]),
        pa.array([Decimal("1.00"), Decimal("0.00"), None], pa.decimal256(50, 2)),
        pa.array([True, False, None]),
        pa.array([1, 0, None]).dictionary_encode(),
        pc.run_end_encode(pa.array([1, 0, None])),
    ],
    ids=lambda column: str(column.type),
)
def test_numbers(column):
    check_type("label.column", "y", column.type)
    check_type("vector.columns[0]", "y", column.type)
    assert list(plain(column)) == [1, 0, None]
    assert list(plain(column.slice(0, 2))) == [1, 0]
    with pytest.raises(ConfigError) as caught:
        check_type("text_a", "y", column.type)
    assert str(caught.value).startswith(f"column 'y' is {column.type}, and a text is a string, or binary")


def test_a_column_that_is_only_carried_along_may_have_any_type():
    check_type("other.when", "when", pa.timestamp("us"))


def lists_of(values, kind=None):
    """Two lists of two, in one type of list after another."""
    flat = pa.array(values, kind)
    kind = flat.type
    lists = pa.ListArray.from_arrays(pa.array([0, 2, 4], pa.int32()), flat)
    yield lists
    yield lists.cast(pa.large_list(kind))
    yield pa.FixedSizeListArray.from_arrays(flat, 2)
    for view, size in ((pa.ListViewArray, pa.int32()), (pa.LargeListViewArray, pa.int64())):
        yield view.from_arrays(pa.array([0, 2], size), pa.array([2, 2], size), flat)


@pytest.mark.parametrize(
    "column",
    [
        *lists_of([1, 0, 0, 1]),
        *lists_of([True, False, False, True]),
        *lists_of([Decimal("1.0"), Decimal("0.0"), Decimal("0.0"), Decimal("1.0")]),
        next(lists_of([1, 0, 0, 1], pa.uint64())),
        next(lists_of(np.float16([1, 0, 0, 1]))),
        next(lists_of(["1", "0.0", " 0", "1e0"])),
        next(lists_of([b"1", b"0", b"0", b"true"])),
        next(lists_of(pa.array(["1", "0", "0", "1"]).dictionary_encode())),
        pa.array([[[1], [0]], [[0], [1]]]),
        pa.array([[[1, 0]], [[0, 1]]], pa.list_(pa.list_(pa.int32(), 2), 1)),
        pa.FixedShapeTensorArray.from_numpy_ndarray(np.float32([[[1], [0]], [[0], [1]]])),
    ],
    ids=lambda column: str(column.type)[:60],
)
def test_vectors(column):
    check_type("vector", "v", column.type)
    found = plain(column)
    assert isinstance(found, np.ndarray)
    assert found.tolist() == [[1, 0], [0, 1]]
    assert plain(column.slice(1)).tolist() == [[0, 1]]
    with pytest.raises(ConfigError, match=r"column 'v' is .*, and a label is a number, a bool or a string"):
        check_type("label.column", "v", column.type)


@pytest.mark.parametrize(
    "column",
    [
        pa.array([datetime.datetime(2026, 1, 1)]),
        pa.array([datetime.date(2026, 1, 1)]),
        pa.array([datetime.time(1)]),
        pa.array([datetime.timedelta(1)]),
        pa.array([(1, 2, 3)], pa.month_day_nano_interval()),
        pa.array([{"x": 1}]),
        pa.array([[("x", 1)]], pa.map_(pa.string(), pa.int64())),
        pa.array([b"0" * 16], pa.uuid()),
        pa.array([[datetime.date(2026, 1, 1)]]),
        pa.array([[{"x": 1}]]),
    ],
    ids=lambda column: str(column.type),
)
@pytest.mark.parametrize("key", ["text_a", "text_b", "label.column", "vector", "vector.columns[7]"])
def test_what_cannot_be_taken_is_named_with_the_way_out(column, key):
    with pytest.raises(ConfigError) as caught:
        check_type(key, "when", column.type)
    message = str(caught.value)
    assert message.startswith(f"column 'when' is {column.type}, and a")
    assert message.endswith(f": write it so, or set [data] {key} to another column")


def test_a_type_is_named_in_one_short_line():
    wild = pa.struct([(f"\x1b[2J\n{at}", pa.int64()) for at in range(99)])
    with pytest.raises(ConfigError) as caught:
        check_type("text_a", "a", wild)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 250
    with pytest.raises(
        ConfigError, match=r"is double, .*: write it so, or name columns of single numbers in"
    ):
        check_type("vector", "v", pa.float64())


VECTOR = {"column": "v", "dimension": 4}


@pytest.mark.parametrize("kind", OF_LISTS)
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([1, 2, 3, 4], [1, 2, 3, 4]),
        ([True, False, True, True], [1, 0, 1, 1]),
        ([0.5, 2.0, 3.0, 4.0], [0.5, 2, 3, 4]),
        (["1", " 2", "3e0", "true"], [1, 2, 3, 1]),
        (["1", "2", "3", "1_5"], "column 'v[3]': not a finite number"),
        (["1", "2", "٣", "x"], "column 'v[2]': not a finite number"),
        ([1, 2, 3], "column 'v': 3 values, dimension = 4"),
        ([1.0, 2.0, 3.0, 1e39], "column 'v[3]': 1e+39 is too large for float32"),
        ([1.0, float("nan"), 3.0, 4.0], "column 'v[1]': not a finite number"),
    ],
)
def test_a_list_is_the_same_vector_in_every_format(tmp_path, kind, value, expected):
    path = write_table(kind, tmp_path / "t", {"v": [value] * 2})
    for row in read_rows(path, DataSection(format=kind, path=path, vector=VECTOR)):
        if kind == "tfrecord" and "too large" in str(expected):
            expected = "column 'v[3]': not a finite number"  # there it was written as infinity
        assert (row.vector.tolist() if isinstance(row, Row) else row.detail) == expected


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_lists_of_lists_are_vectors_where_each_has_one_length(tmp_path, kind):
    values = [*NESTED, None, [[1, 2, 3, 4]], [[1, 2], [3]], [[1, 2], None], [[1, None], [3, 4]], [], [[], []]]
    path = write_table(kind, tmp_path / "t", {"v": values})
    found = list(read_rows(path, DataSection(format=kind, path=path, vector=VECTOR)))
    assert [row.vector.tolist() if isinstance(row, Row) else row.detail for row in found] == [
        [1, 2, 3, 4],
        [5, 6, 7, 8],
        "column 'v': no values, dimension = 4",
        [1, 2, 3, 4],
        "column 'v': 2 lists of 1 to 2 values, dimension = 4",
        "column 'v': 2 lists of 0 to 2 values, dimension = 4",
        "column 'v[1]': not a finite number",
        "column 'v': 0 values, dimension = 4",
        "column 'v': 0 values, dimension = 4",
    ]


def pairs(path, **changes):
    label = {"column": "y", "kind": "binary"}
    return DataSection(
        **{"format": "parquet", "path": path, "text_a": "a", "text_b": "b", "label": label, **changes}
    )


def test_a_type_that_cannot_be_taken_is_told_before_anything_starts(tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"a": ["x"], "b": ["y"], "y": pa.array([0], pa.timestamp("us"))}), path)
    with pytest.raises(ConfigError) as caught:
        check_columns(path, pairs(path))
    assert str(caught.value) == (
        f"{path}: column 'y' is timestamp[us], and a label is a number, a bool or a string: "
        "write it so, or set [data] label.column to another column"
    )


def test_columns_of_nothing_cost_their_rows_and_an_empty_file_costs_nothing(tmp_path):
    """An empty table, or a day without labels, has columns of Arrow's type null."""
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"a": ["x"], "b": pa.nulls(1), "y": pa.nulls(1)}), path)
    check_columns(path, pairs(path))
    [row] = read_rows(path, pairs(path))
    assert row.detail == "column 'y': null is not a binary label"
    pq.write_table(pa.table({"a": pa.nulls(0), "b": pa.nulls(0), "y": pa.array([], pa.timestamp("s"))}), path)
    with pytest.raises(EmptyFile, match="the file holds no row"):
        check_columns(path, pairs(path))
    assert list(read_rows(path, pairs(path))) == []


def test_a_null_in_lists_of_a_fixed_size_is_named(tmp_path):
    """Arrow writes what it cannot read."""
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"v": pa.array([[1, 2], [3, 4], None], pa.list_(pa.float32(), 2))}), path)
    data = DataSection(format="parquet", path=path, split={}, vector={"column": "v", "dimension": 2})
    with pytest.raises(DataRejected, match=r"column 'v' is of lists .* write the column as list, or leave"):
        list(read_rows(path, data))


def test_bytes_that_are_not_utf8_in_a_column_of_strings_cost_their_row(tmp_path):
    path = tmp_path / "t.parquet"
    texts = pa.array([b"ok", b"caf\xe9"]).view(pa.string())
    pq.write_table(pa.table({"a": texts, "b": ["y", "z"], "y": [1, 0]}), path)
    good, bad = read_rows(path, pairs(path))
    assert good == Row("ok", "y", 1.0)
    assert isinstance(bad, Quarantined)
    assert bad.reason == FaultReason.BAD_ENCODING


def test_columns_of_one_name_and_names_with_points(tmp_path):
    path = tmp_path / "t.parquet"
    columns = [pa.array(["x"]), pa.array(["y"]), pa.array([1]), pa.array([7]), pa.array([{"c": 1}])]
    pq.write_table(pa.Table.from_arrays(columns, names=["a.c", "b", "y", "z", "a"]), path)
    assert list(read_rows(path, pairs(path, text_a="a.c"))) == [Row("x", "y", 1.0)]
    pq.write_table(pa.Table.from_arrays(columns[:4], names=["a", "b", "y", "b"]), path)
    with pytest.raises(ConfigError, match="2 columns are named 'b': rename all but one"):
        check_columns(path, pairs(path))


def damaged(content: bytes, how: str) -> bytes:
    middle = len(content) // 3
    return {
        "zeros": bytes(500),
        "cut off": content[:-30],
        "half": content[:middle] + content[-900:],
        "a byte of a page": content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :],
        "the beginning": bytes(200) + content[200:],
        "the footer": content[:-300] + bytes(200) + content[-100:],
    }[how]


@pytest.mark.parametrize(
    "how", ["zeros", "cut off", "half", "a byte of a page", "the beginning", "the footer"]
)
def test_damage_names_the_file_in_one_line(tmp_path, how):
    path = tmp_path / "t.parquet"
    texts = [f"text {at}" for at in range(2_000)]
    table = pa.table({"a": texts, "b": texts[::-1], "y": [1, 0] * 1_000})
    pq.write_table(table, path, compression="none", use_dictionary=False, write_page_checksum=True)
    path.write_bytes(damaged(path.read_bytes(), how))
    with pytest.raises(DataRejected) as caught:
        list(read_rows(path, pairs(path)))
    assert str(caught.value).startswith(f"{path}: ")
    assert str(caught.value).endswith(": write it again")
    assert "\n" not in str(caught.value)


def test_an_encrypted_file_is_called_so(tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"a": ["x"]}), path)
    path.write_bytes(path.read_bytes()[:-4] + b"PARE")
    with pytest.raises(DataRejected, match=r"the file is encrypted .*: write it without encryption"):
        check_columns(path, pairs(path))


def test_a_file_of_another_format_is_not_called_damaged(tmp_path):
    path = tmp_path / "t.parquet"
    path.write_text("a,b,y\n" * 9)
    with pytest.raises(DataRejected) as caught:
        list(read_rows(path, pairs(path)))
    assert str(caught.value).startswith(f"{path}: not a Parquet file: ")
    assert str(caught.value).endswith(": correct [data] format, or write it again")
