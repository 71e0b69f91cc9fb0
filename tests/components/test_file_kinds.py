"""What is no file of rows is named as what it is."""

from __future__ import annotations

import gzip
import io
import pickle
import sqlite3
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.orc
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from components.example_gen.file_kinds import check_kind
from components.example_gen.reader import check_columns
from trainer.errors import ConfigError

TABLE = pa.table({"a": ["x"], "b": ["y"], "score": [1.0]})
FRAME = TABLE.to_pandas()


def zipped(**files: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name.replace("__", "/")), content)  # without the time of day
    return made.getvalue()


def tarred() -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        entry = tarfile.TarInfo("x.csv")
        entry.size = 6
        archive.addfile(entry, io.BytesIO(b"a,b,c\n"))
    return made.getvalue()


def saved(write, tmp_path: Path) -> bytes:
    path = tmp_path / "made"
    write(path)
    return path.read_bytes()


def write_sqlite(path: Path) -> None:
    made = sqlite3.connect(path)
    made.execute("create table t (a, b)")
    made.commit()
    made.close()


def write_records(path: Path) -> None:
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(b"x" * 20)


MADE = {
    "a Parquet file": lambda path: pq.write_table(TABLE, path),
    "an Arrow or Feather file": lambda path: pyarrow.feather.write_feather(TABLE, str(path)),
    "an Arrow or Feather": lambda path: pyarrow.feather.write_feather(TABLE, str(path), version=1),
    "an ORC file": lambda path: pyarrow.orc.write_table(TABLE, str(path)),
    "a Python pickle": lambda path: path.write_bytes(pickle.dumps([1, 2])),
    "an SQLite database": write_sqlite,
    "a Stata file": lambda path: FRAME.to_stata(path),
    "a Stata": lambda path: FRAME.to_stata(path, version=117),
    "a NumPy array": lambda path: path.write_bytes(saved_array()),
    "a TFRecord file": write_records,
}


def saved_array() -> bytes:
    made = io.BytesIO()
    np.save(made, np.zeros(3))
    return made.getvalue()


@pytest.mark.parametrize("what", MADE)
def test_files_of_other_programs_are_named(tmp_path, make_data, what):
    content = saved(MADE[what], tmp_path)
    for name, packed in (("x.csv", content), ("x.csv.gz", gzip.compress(content))):
        path = tmp_path / name
        path.write_bytes(packed)
        with pytest.raises(ConfigError) as caught:
            check_columns(path, make_data())
        assert str(caught.value).startswith(f"{path}: the file is {what}")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (zipped(**{"pairs.csv": "a,b"}), "a zip archive that holds pairs.csv: unpack it, as by unzip x, and"),
        (zipped(**{"a.csv": "", "b.csv": ""}), "a zip archive that holds a.csv and 1 more: unpack it"),
        (zipped(xl__workbook_xml="", other=""), "an Excel workbook (xlsx): open it where it was made and"),
        (zipped(**{"mimetype": "", "content.xml": ""}), "an OpenDocument file (ods, odt): open it"),
        (zipped(**{"a.npy": ""}), "NumPy arrays (npz)"),
        (zipped(**{"pairs.csv": "a,b"})[:40], "a zip archive that is damaged: download it again"),
        (tarred(), "a tar archive: unpack it"),
        (gzip.compress(tarred(), mtime=0), "a tar archive: unpack it"),
        (
            gzip.compress(gzip.compress(b"a,b", mtime=0), mtime=0),
            "packed twice, with gzip and inside with gzip: unpack it once",
        ),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "an Excel workbook (xls), or one with a password"),
        (b"7z\xbc\xaf\x27\x1c\0\4" + bytes(40), "a 7z archive"),
        (b"Rar!\x1a\x07\x01\0", "a RAR archive"),
        (b"Obj\x01\x04\x16avro.schema", "an Avro file"),
        (b"%PDF-1.7\n%\xe2\xe3", "a PDF"),
        (b" \n<!DOCTYPE html>\n<html>", "an HTML page"),
        (b"\xef\xbb\xbf<html lang='de'>", "an HTML page"),
        (b"<head><title>Sign in", "an HTML page"),
        (b"<?xml version='1.0'?>", "XML"),
        (b"<Error><Code>AccessDenied</Code></Error>", "XML"),
        (b"@RELATION iris\n@DATA\n1,2\n", "an ARFF file: write it as CSV"),
        (b"\0\x05\x16\x07\0\2\0\0Mac OS X        \0\2", "what macOS keeps beside a file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a pointer of Git LFS, not the data"),
        (bytes(5_000), "a file of zero bytes"),
        (b'{"a": "x", "b": "y", "score": 1}\n', 'JSON lines: set [data] format = "jsonl"'),
    ],
)
def test_what_is_no_table_is_named(tmp_path, make_data, content, what):
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        check_columns(path, make_data())
    assert str(caught.value).startswith(f"{path}: the file is {what}")
    assert "\n" not in str(caught.value)


def test_formats_that_were_mixed_up_are_named(tmp_path, make_data):
    path = tmp_path / "x"
    for content, form, what in (
        (b'[\n{"a": "x"}]', "jsonl", "a JSON array: write one object a line, such as by jq -c '.[]' FILE"),
        (gzip.compress(b"PAR1"), "parquet", "packed with gzip: unpack it"),
        (b"BZh91AY&SY", "tfrecord", "packed with bzip2: unpack it, or pack it with gzip"),
        (b"%PDF-1.7", "parquet", "a PDF"),
    ):
        path.write_bytes(content)
        with pytest.raises(ConfigError) as caught:
            check_kind(path, form)
        assert str(caught.value).startswith(f"{path}: the file is {what}")


@pytest.mark.parametrize(
    "content",
    [
        "PAR1,b,score\n",
        "ORCID,b,score\n",
        "PK,b,score\n",
        "MZ,b,score\n",
        "BZh,b\n",
        "LZIP,b\n",
        "FEA1,b\n",
        "RDX2,b\n",
        "<b>,c\n",
        "a\n<html>\n",
        "CDF,b\n",
        "%PDF\n",
        "[1]\n",
        "Rar!,b\n",
        '{"a",b\n',
        "é\n",
        "\x80,\x02b\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32-le"])
def test_a_table_is_a_table_whatever_its_first_name(tmp_path, content, encoding):
    path = tmp_path / "x"
    path.write_bytes(content.encode(encoding) + pd.Series(["x"]).to_csv().encode(encoding))
    check_kind(path, "csv")
