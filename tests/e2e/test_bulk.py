"""A run that answers rows without a label when its model was pushed."""

from __future__ import annotations

import csv
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

pytestmark = pytest.mark.e2e

KEPT = {"train": 300, "eval": 100, "test": 100}


def write_questions(project, rows):
    """No column of the label, another order of columns, and one more."""
    with (project.root / "questions.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["id", "sentence2", "sentence1"], *rows])


@pytest.fixture(scope="module")
def questions(pairs):
    found = [[str(at), b, a] for at, (_, a, b) in enumerate(pairs["test"][100:400])]
    found[7][1] = " "
    found[20] = found[21][:2]
    return found


@pytest.fixture(scope="module")
def configured(project, pairs, questions):
    for split, rows in KEPT.items():
        project.write(split, pairs[split][:rows])
    write_questions(project, questions)
    with project.config.open("a") as file:
        file.write('\n[bulk]\ninput = "questions.csv"\n')
    return project


@pytest.fixture(scope="module")
def pushed(configured):
    ran = configured.kembar("run")
    assert ran.status == 0, ran.err
    return configured, ran, configured.summary


def states(project):
    return {step["id"]: step["state"] for step in project.summary["components"]}


@pytest.mark.slow
def test_each_usable_row_is_answered_as_the_served_version_answers_it(pushed, questions):
    project, ran, summary = pushed
    table = pq.read_table(project.workdir / "bulk.parquet")
    assert table.column_names == ["file", "line", "text_a", "text_b", "score"]
    kept = [(at + 2, row) for at, row in enumerate(questions) if at not in (7, 20)]
    assert table["line"].to_pylist() == [line for line, _ in kept]
    assert set(table["file"].to_pylist()) == {str(project.root / "questions.csv")}
    assert table["text_a"].to_pylist() == [row[2].strip() for _, row in kept]
    assert table["text_b"].to_pylist() == [row[1].strip() for _, row in kept]
    model = tf.saved_model.load(summary["model"]["path"])
    texts = {name: tf.constant(table[name].to_pylist()) for name in ("text_a", "text_b")}
    served = model.signatures["serving_default"](**texts)["score"].numpy()
    np.testing.assert_allclose(table["score"].to_numpy(), served, atol=1e-5)
    assert served.std() > 0.01
    assert table.schema.metadata[b"version"] == str(summary["model"]["version"]).encode()
    assert "  bulk: 298 of 300 rows scored: work/bulk.parquet\n" in ran.err


@pytest.mark.slow
def test_the_summary_and_the_quarantine_account_for_every_row(pushed):
    project, _, summary = pushed
    path = summary["bulk"].pop("path")
    assert summary["bulk"] == {
        "rows_read": 300,
        "rows_scored": 298,
        "rows_quarantined": 2,
        "quarantine_reasons": {"empty text": 1, "wrong column count": 1},
    }
    assert pq.read_table(path).num_rows == 298
    lines = (project.workdir / "bulk_quarantine" / "rows.jsonl").read_text().splitlines()
    assert [json.loads(line)["line"] for line in lines] == [9, 22]
    assert summary["data"]["rows_quarantined"] == 0


@pytest.mark.slow
def test_other_rows_are_answered_by_the_same_version_and_nothing_else_runs(pushed, questions):
    project, _, first = pushed
    write_questions(project, questions[:5])
    ran = project.kembar("run")
    assert ran.status == 0, ran.err
    assert {name for name, state in states(project).items() if state == "ran"} == {
        "AcceptedResolver",
        "ChampionResolver",
        "BulkExampleGen",
        "BulkInferrer",
    }
    assert project.summary["status"] == "unchanged"
    assert project.summary["reason"] == f"version {first['model']['version']} is in service"
    assert pq.read_table(project.workdir / "bulk.parquet")["line"].to_pylist() == [2, 3, 4, 5, 6]


@pytest.mark.slow
def test_a_model_that_is_not_pushed_answers_nothing(pushed):
    project, _, _ = pushed
    ran = project.kembar("run", "--set", "gates.floors={spearman = 1.01}")
    assert ran.status == 4, ran.err
    rows = project.summary["bulk"]["rows_read"]
    assert rows > 0
    assert f"  bulk: 0 of {rows} rows scored\n" in ran.err
    assert project.summary["bulk"]["rows_scored"] == 0
    assert project.summary["bulk"]["path"] is None
    assert not (project.workdir / "bulk.parquet").exists()


def test_a_file_that_lacks_a_column_ends_the_run_before_it_begins(configured):
    project = configured
    (project.root / "other.csv").write_text("sentence1,text\na,b\n")
    ran = project.kembar("run", "--set", "bulk.input=other.csv")
    assert ran.status == 2
    assert "[bulk] input: " in ran.err
    assert "other.csv: no column 'sentence2': set [data] text_b to one of sentence1, text" in ran.err
    missing = project.kembar("run", "--set", "bulk.input=nowhere.csv")
    assert missing.status == 2
    assert f"[bulk] input = '{project.root}/nowhere.csv': no such file: correct the path" in missing.err
