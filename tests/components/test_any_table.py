"""Any table of texts, labels and numbers gives the same examples and splits, however it is written."""

from __future__ import annotations

import csv
import io
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.example_gen.data_config import SPLITS, DataSection
from tests.components.examples import Written, ingest_here
from tests.components.packing import PACK
from tests.components.tables import FORMATS, write_table

PAIR = {"text_a": "a", "text_b": "b"}
LABELS = {
    "binary": ({"kind": "binary"}, [0, 1, 2, "x"]),
    "score": ({"kind": "score", "range": (0, 5)}, [0, 2.5, 5, 6, -1]),
    "classes": ({"kind": "classes", "classes": ["e", "n", "3"]}, ["e", "n", 3, "other"]),
}
# The same value as people write it; a column of Parquet has one type, so all of it is text there.
SPELLINGS = {0: ["0", "0.0", "no", "False"], 1: ["1", "1.0", "YES", "true", "t"], 3: ["3", "3.0", " 3"]}
letters = st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\\")
texts = st.text(letters, max_size=8) | st.sampled_from(
    ["Montréal", "MONTRÉAL!", "Montre\u0301al", "a,b;c", 'say "x"', "…", "two\nlines", "❤️", "it's", "x\ty"]
)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """What `[data]` says, and the columns: texts that come again, and labels of which some are none."""
    label, values = LABELS[draw(st.sampled_from(list(LABELS)))]
    known = draw(st.lists(texts, min_size=1, max_size=6))
    rows = draw(st.lists(st.tuples(st.sampled_from(known), texts, st.sampled_from(values)), min_size=1))  # type: ignore[call-overload]
    spelled = [
        draw(st.sampled_from(SPELLINGS[value])) if label["kind"] != "score" and value in SPELLINGS else value  # type: ignore[index]
        for _, _, value in rows
    ]
    columns = {"a": [row[0] for row in rows], "b": [row[1] for row in rows], "y": [str(v) for v in spelled]}
    return {**PAIR, "label": {"column": "y", **label}}, columns


@st.composite
def vectors(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """The same of numbers, of which some are none, or beyond float32 or the range."""
    number = st.floats(width=32) | st.sampled_from([0.1, 1e300, -0.0, 1e-40])
    rows = draw(st.lists(st.tuples(number, number), min_size=1, max_size=9))
    within = draw(st.sampled_from([None, (-10.0, 10.0)]))
    vector = {"columns": ["p0..p1"], "dimension": 2, "range": within}
    return {"vector": vector}, {f"p{at}": [repr(row[at]) for row in rows] for at in range(2)}


@st.composite
def dialects(draw: st.DrawFn) -> dict[str, Any]:
    """How a CSV file is written."""
    return {
        "delimiter": draw(st.sampled_from(",;\t|")),
        "lineterminator": draw(st.sampled_from(["\n", "\r\n"])),
        "encoding": draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"])),
        "packed": draw(st.sampled_from(list(PACK))),
    }


def write_csv(path: Path, columns: dict[str, list[Any]], dialect: dict[str, Any]) -> None:
    file = io.StringIO(newline="")
    form = {key: dialect[key] for key in ("delimiter", "lineterminator")}
    writer = csv.writer(file, quoting=csv.QUOTE_ALL, **form)
    writer.writerows([list(columns), *zip(*columns.values(), strict=True)])
    path.write_bytes(PACK[dialect["packed"]](file.getvalue().encode(dialect["encoding"])))


def outcome(folder: Path, data: dict[str, Any], rows: int) -> tuple[dict[str, Counter[Any]], Counter[str]]:
    """The examples of each split and the reasons of the quarantine; that no row is lost."""
    written: Written = ingest_here(DataSection(**data), folder / "out")
    [counts] = written.counts["sources"].values()
    kept = sum(len(written.splits[split]) for split in SPLITS)
    assert counts["read"] == rows == kept + len(written.quarantine)
    reasons = Counter(row["reason"] for row in written.quarantine)
    return {split: Counter(map(repr, written.splits[split])) for split in SPLITS}, reasons


def check_alike(
    base: Path, table: tuple[dict[str, Any], dict[str, list[Any]]], dialect: dict[str, Any]
) -> None:
    data, columns = table
    rows = len(next(iter(columns.values())))
    outcomes = {}
    for form in (*FORMATS, "dialect"):
        folder = base / form
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        path = folder / "t"
        if form == "dialect":
            write_csv(path, columns, dialect)
        else:
            write_table(form, path, columns)
        kind = "csv" if form == "dialect" else form
        outcomes[form] = outcome(folder, {"format": kind, "path": path, **data}, rows)
    first = outcomes["jsonl"]
    assert all(other == first for other in outcomes.values()), outcomes


@given(pairs() | vectors(), dialects())
@settings(max_examples=20, deadline=None)
def test_any_table_gives_the_same_examples_and_splits(tmp_path_factory, table, dialect):
    check_alike(tmp_path_factory.getbasetemp() / "any", table, dialect)


@pytest.mark.slow
@pytest.mark.timeout(2 * 3600)
@given(pairs() | vectors(), dialects())
@settings(max_examples=3_000, deadline=None)
def test_thousands_of_tables_give_the_same_examples_and_splits(tmp_path_factory, table, dialect):
    check_alike(tmp_path_factory.getbasetemp() / "any", table, dialect)
