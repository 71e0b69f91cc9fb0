"""Files are found by the names that people write, and a name that leads nowhere is explained."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.example_gen.data_config import DataSection
from components.example_gen.doubts import source_facts
from components.example_gen.paths import for_pattern, local_path, matching, why_missing, without_aliases
from components.example_gen.plan import plan
from components.example_gen.reader import EmptyFile, check_files, read, whole
from components.example_gen.spans import Spans, find
from tests.components.examples import ingest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (
        "set[v1]/p-1.csv",
        "set[v1]/p-2.csv",
        "set[v1]/deep/er/p-3.csv",
        "x*y/p-4.csv",
        "setv/p-5.csv",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("a,b,score\nx,y,1\n")
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("set[v1]/*.csv", ["p-1.csv", "p-2.csv"]),
        ("set[v1]/p-1.csv", ["p-1.csv"]),
        ("set[v1]/p-[13].csv", ["p-1.csv"]),
        ("set[v1]/**/*.csv", ["p-3.csv", "p-1.csv", "p-2.csv"]),
        ("x*y/*.csv", ["p-4.csv"]),
        ("set[uv]/*.csv", ["p-5.csv"]),
        ("set?v1?/*-2.csv", ["p-2.csv"]),
        ("set[v1]/*.tsv", []),
        ("set[v1]", []),
    ],
)
def test_signs_of_a_pattern_are_those_that_no_name_has(folder, monkeypatch, pattern, names):
    assert [os.path.basename(path) for path in matching(folder / pattern)] == names
    monkeypatch.chdir(folder)
    assert [os.path.basename(path) for path in matching(pattern)] == names


def test_spans_are_found_in_a_folder_with_brackets(folder):
    (folder / "set[v1]" / "day-2026-11-01.csv").write_text("")
    [span] = find(str(folder / "set[v1]" / "day-{YYYY}-{MM}-{DD}.csv"), Spans())
    assert [path.name for path in span.files] == ["day-2026-11-01.csv"]
    spans = find(str(folder / "set[v1]" / "p-{SPAN}.csv"), Spans(marker=str(folder / "x*y/p-{SPAN}.csv")))
    assert [(span.number, bool(span.waiting)) for span in spans] == [(1, True), (2, True)]


def test_tensorflow_takes_no_bracket_for_a_sign(folder):
    import tensorflow as tf

    path = str(folder / "set[v1]" / "p-1.csv")
    assert tf.io.gfile.glob(for_pattern(path)) == [path]


def test_a_file_of_several_names_is_read_once_under_its_own(folder):
    here = folder / "set[v1]"
    (here / "latest.csv").symlink_to("p-2.csv")
    (here / "a-link.csv").symlink_to(here / "p-1.csv")
    (here / "p-0.csv").hardlink_to(here / "p-1.csv")
    paths, remarks = without_aliases([*matching(here / "*.csv"), str(here / "p-2.csv")])
    assert [path.name for path in paths] == ["p-0.csv", "p-2.csv"]
    assert [line.removeprefix(f"{here}/") for line in remarks] == [
        "p-1.csv is the file p-0.csv once more: it is read once",
        "a-link.csv is the file p-0.csv once more: it is read once",
        "latest.csv is the file p-2.csv once more: it is read once",
    ]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (
            "https://example.org/x.csv",
            "a URL, and only files of this machine are read: download it, as by curl",
        ),
        ("S3://bucket/x.csv", "download it, as by aws s3 cp, and name the file"),
        ("gs://bucket/*.csv", "as by gcloud storage cp"),
        ("hdfs://name/x.csv", "as by hdfs dfs -get"),
        ("abfss://name/x.csv", "download it and name the file"),
        ("file://localhost/data/x.csv", "a URL: write the path alone, /data/x.csv"),
        ("file:///data/x.csv", "a URL: write the path alone, /data/x.csv"),
        (
            "C:\\Users\\me\\x.csv",
            "a path of Windows, and this machine runs another system: under WSL it is /mnt/c/Us",
        ),
        ("d:/x.csv", "under WSL it is /mnt/d/x.csv"),
        ("\\\\server\\share\\x.csv", "a path of Windows"),
        ("C:\temp\new.csv", "there is a control character in the path: between double quotes \\t is a tab"),
    ],
)
def test_what_is_no_path_of_this_machine_is_explained(written, said):
    with pytest.raises(ValueError, match=r"path|URL") as caught:
        local_path(written, "/base")
    assert said in str(caught.value)


def test_paths_are_relative_to_the_base_and_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert local_path("../x.csv", "/base/in") == "/base/x.csv"
    assert local_path("~/x.csv", "/base") == "/home/me/x.csv"
    assert local_path("~nobody-has-it/x.csv", "/base") == "/base/~nobody-has-it/x.csv"
    assert local_path("a:b/x.csv", "/base") == "/base/a:b/x.csv"


def test_a_name_that_leads_nowhere_is_explained(folder, monkeypatch):
    here = folder / "set[v1]"
    (here / "gone.csv").symlink_to("p-9.csv")
    (here / "loop.csv").symlink_to("loop.csv")
    os.mkfifo(here / "pipe")
    monkeypatch.setenv("HERE", str(here))
    (folder / "empty").mkdir()
    assert [why_missing(name) for name in (here, folder / "empty", here / "pipe", here / "gone.csv")] == [
        f"a folder: name its files by a pattern, such as '{here}/*.csv'",
        f"a folder, and there is no file in it: name its files by a pattern, such as '{folder}/empty/*'",
        "no regular file, but a pipe or a device: write the rows into a file",
        "a link to 'p-9.csv', which is not there: correct the link",
    ]
    assert why_missing(f"{here}\\p-1.csv") == f"no such file: write / between folders, '{here}/p-1.csv'"
    assert why_missing("$HERE/p-1.csv").startswith("no such file: variables such as $HOME are not replaced")
    assert why_missing(here / "p-9.csv") == "no such file: correct the path"


def test_an_empty_file_is_passed_over_among_others_and_refused_alone(tmp_path, make_data):
    for name, content in (("1", "a,b,score\nx,y,1\n"), ("2", ""), ("3", "a,b,score\n"), ("4", "\n\r\n")):
        (tmp_path / name).write_text(content)
    paths = [tmp_path / name for name in "1234"]
    assert check_files(paths, make_data()) == paths[1:]
    with pytest.raises(EmptyFile, match="2: the file is empty"):
        check_files(paths[1:], make_data())


def test_an_empty_parquet_file_is_passed_over_among_others_too(tmp_path):
    pq.write_table(pa.table({"a": ["x"], "b": ["y"], "l": [1.0]}), tmp_path / "p-1")
    pq.write_table(pa.table({"a": pa.nulls(0), "b": pa.nulls(0), "l": pa.nulls(0)}), tmp_path / "p-2")
    (tmp_path / "p-3").write_bytes(b"")
    label = {"column": "l", "kind": "binary"}
    data = DataSection(format="parquet", path=tmp_path / "p-*", text_a="a", text_b="b", label=label)
    paths = data.files()["path"]
    assert check_files(paths, data) == paths[1:]
    items = plan(data, data.files())
    assert source_facts(data, items)["remarks"] == [
        f"{path} holds no row and is passed over" for path in paths[1:]
    ]
    pieces = [whole(path, data) for path in paths] + [piece for item in items for piece in item.pieces]
    assert [len(batch.positions) for piece in pieces for batch in read(piece, data)] == [1, 1]
    with pytest.raises(EmptyFile, match="p-2: the file holds no row"):
        check_files(paths[1:], data)


def test_what_was_seen_of_the_files_is_recorded(tmp_path):
    rows = [(f"left {at}", f"right {at}", at % 2) for at in range(40)] + [("NULL", "N/A", 1)]
    (tmp_path / "p-1.csv").write_text("a;b;l\n" + "".join(f"{a};{b};{n}\n" for a, b, n in rows[:20]))
    (tmp_path / "p-2.csv").write_text("")
    lines = "\n".join(map(str, range(12)))
    (tmp_path / "p-3.csv").write_text(
        "l\tb\ta\n" + "".join(f"{n}\t{b}\t{a}\n" for a, b, n in rows[20:]) + f'1\t"{lines}"\tlong\n;;\n'
    )
    (tmp_path / "p-4.csv").symlink_to("p-1.csv")
    label = {"column": "l", "kind": "binary"}
    found = ingest(
        DataSection(format="csv", path=tmp_path / "p-*.csv", text_a="a", text_b="b", label=label),
        tmp_path / "out",
    )
    assert found.counts["dialects"] == {
        "path": {'semicolon, quote ", utf-8': 1, 'tab, quote ", utf-8': 1},
    }
    assert [line.replace(f"{tmp_path}/", "") for line in found.counts["remarks"]] == [
        "p-4.csv is the file p-1.csv once more: it is read once",
        "p-2.csv holds no row and is passed over",
        "1 record has more than 10 lines, the first p-3.csv lines 23 to 34: if they are rows, a quote in "
        "line 23 is never closed",
        "column 'a': the text is 'NULL' 1 times: if that stands for nothing, name it in [data] null",
        "column 'b': the text is 'N/A' 1 times: if that stands for nothing, name it in [data] null",
    ]
    counts = found.counts["sources"]["path"]
    assert counts["read"] == 43
    assert sum(counts[f"kept in {split}"] for split in found.splits) == 42
    assert [(row["line"], row["reason"]) for row in found.quarantine] == [(35, "wrong column count")]
