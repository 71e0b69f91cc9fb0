"""Vectors from CSV and Parquet: the same rows, and each bad one named by its column."""

import csv

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from components.example_gen.batch import FaultReason
from components.example_gen.data_config import DataSection
from components.example_gen.reader import check_columns
from tests.components.example_rows import Quarantined, Row, read_rows
from trainer.errors import ConfigError, DataRejected

NAMES = ["p0", "p1", "p2", "digit"]
GOOD = [[0.0, 0.5, 1.0, "a"], [1.0, 1.0, 0.25, "b"]]
LABEL = {"column": "digit", "kind": "classes", "classes": ["a", "b"]}


def csv_data(path):
    vector = {"columns": ["p0..p2"], "dimension": 3, "range": [0, 1]}
    return DataSection(format="csv", path=path, vector=vector, label=LABEL)


def parquet_data(path, **extra):
    vector = {"column": "pixels", "dimension": 3, "range": [0, 1]}
    return DataSection(format="parquet", path=path, vector=vector, label=LABEL, **extra)


def write_csv(path, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([NAMES, *rows])
    return path


def write_parquet(path, vectors, labels, kind=None):
    kind = kind or pa.list_(pa.float32())
    table = pa.table({"other": labels, "pixels": pa.array(vectors, kind), "digit": labels})
    pq.write_table(table, path)
    return path


def test_csv_and_parquet_give_the_same_rows(tmp_path):
    a = write_csv(tmp_path / "a.csv", GOOD)
    b = write_parquet(tmp_path / "b.parquet", [row[:3] for row in GOOD], [row[3] for row in GOOD])
    from_csv, from_parquet = list(read_rows(a, csv_data(a))), list(read_rows(b, parquet_data(b)))
    for one, other, written in zip(from_csv, from_parquet, GOOD, strict=True):
        assert one.vector.dtype == other.vector.dtype == np.float32
        assert one.vector.tolist() == other.vector.tolist() == written[:3]
    assert [row.label for row in from_csv] == [row.label for row in from_parquet] == [0.0, 1.0]


@pytest.mark.parametrize(
    "kind",
    [pa.list_(pa.float64()), pa.large_list(pa.float32()), pa.list_(pa.float32(), 3), pa.list_(pa.int8())],
)
def test_every_kind_of_list_column_is_read(tmp_path, kind):
    path = write_parquet(tmp_path / "v.parquet", [[0, 1, 0], [1, 1, 1]], ["a", "b"], kind)
    assert [row.vector.tolist() for row in read_rows(path, parquet_data(path))] == [[0, 1, 0], [1, 1, 1]]


@pytest.mark.parametrize(
    ("row", "reason", "said"),
    [
        (["nan", 0, 0, "a"], FaultReason.BAD_NUMBER, "'p0'"),
        ([0, "inf", 0, "a"], FaultReason.BAD_NUMBER, "'p1'"),
        ([0, 0, "x", "a"], FaultReason.BAD_NUMBER, "'p2'"),
        ([0, "", 0, "a"], FaultReason.BAD_NUMBER, "'p1': not a finite number"),
        ([0, "-1e300", 0, "a"], FaultReason.BAD_NUMBER, "'p1': -1e+300 is too large for float32"),
        ([0, 0, 1.5, "a"], FaultReason.VALUE_OUT_OF_RANGE, "'p2': 1.5 is not within 0..1"),
        ([0, 0, "a"], FaultReason.WRONG_COLUMN_COUNT, "3 fields, 4 columns"),
        ([0, 0, 0, "c"], FaultReason.BAD_LABEL, "'c' is none of the classes"),
    ],
)
def test_bad_rows_of_numbers_are_quarantined_by_column(tmp_path, row, reason, said):
    path = write_csv(tmp_path / "v.csv", [GOOD[0], row, GOOD[1]])
    first, bad, last = read_rows(path, csv_data(path))
    assert isinstance(first, Row)
    assert isinstance(last, Row)
    assert isinstance(bad, Quarantined)
    assert (bad.line, bad.reason) == (3, reason)
    assert said in bad.detail


@pytest.mark.parametrize(
    ("vector", "reason", "said"),
    [
        ([0.0, 1.0], FaultReason.WRONG_DIMENSION, "'pixels': 2 values, dimension = 3"),
        (None, FaultReason.WRONG_DIMENSION, "'pixels': no values"),
        ([0.0, None, 1.0], FaultReason.BAD_NUMBER, "'pixels[1]'"),
        ([0.0, float("nan"), 1.0], FaultReason.BAD_NUMBER, "'pixels[1]'"),
        ([0.0, 0.0, -1.0], FaultReason.VALUE_OUT_OF_RANGE, "'pixels[2]': -1"),
    ],
)
def test_bad_lists_are_quarantined_by_place(tmp_path, vector, reason, said):
    path = write_parquet(tmp_path / "v.parquet", [[0, 0, 0], vector, [1, 1, 1]], ["a", "a", "b"])
    first, bad, last = read_rows(path, parquet_data(path))
    assert isinstance(first, Row)
    assert isinstance(last, Row)
    assert (bad.line, bad.reason) == (2, reason)
    assert said in bad.detail


def test_a_list_of_words_is_no_vector(tmp_path):
    path = write_parquet(tmp_path / "v.parquet", [["x", "y", "z"]], ["a"], pa.list_(pa.string()))
    [bad] = read_rows(path, parquet_data(path))
    assert (bad.reason, bad.detail) == (FaultReason.BAD_NUMBER, "column 'pixels[0]': not a finite number")


def test_what_is_no_parquet_is_rejected(tmp_path):
    path = tmp_path / "v.parquet"
    path.write_bytes(b"not parquet at all")
    with pytest.raises(DataRejected, match=r"v\.parquet: not a Parquet file"):
        check_columns(path, parquet_data(path))


def test_a_missing_column_names_what_there_is(tmp_path):
    path = tmp_path / "v.parquet"
    pq.write_table(pa.table({"x": [1]}), path)
    with pytest.raises(ConfigError, match=r"no column 'pixels': set \[data\] vector to one of x"):
        check_columns(path, parquet_data(path))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"vector": {"columns": ["a", "b"], "dimension": 3}}, "dimension = 3, but 2 columns are named"),
        ({"vector": {"dimension": 3}}, "give one of the two"),
        ({"vector": {"columns": ["a"], "dimension": 1, "range": [1, 1]}}, "range must rise"),
        ({"vector": {"column": "a", "dimension": 1}}, "has no list columns"),
        ({"text_a": "a"}, "not both"),
        ({"path": None}, "one file a split"),
        ({"train": "x.csv"}, "cannot be given too"),
        ({"path": None, "train": "x", "eval": "x", "test": "x", "split": {}}, "split divides path"),
    ],
)
def test_contradictions_are_refused(change, said):
    good = {"format": "csv", "path": "v.csv", "vector": {"columns": ["p0..p2"], "dimension": 3}}
    assert DataSection.model_validate(good).vector.columns == ("p0", "p1", "p2")
    with pytest.raises(ValidationError, match=said):
        DataSection.model_validate({**good, **change})
