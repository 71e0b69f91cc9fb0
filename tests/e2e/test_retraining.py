"""Daily files through `kembar retrain`: a start with a backlog, an idle day, a bad one, a good one."""

from __future__ import annotations

import csv
import json
import re
from collections import defaultdict
from pathlib import Path

import pytest

from components.tables import read_table
from tests.e2e.days import CONFIG
from trainer import tables

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def days(project, pairs):
    """Writes the file of a day: 150 pairs, and one pair that has come every day."""
    project.config.write_text(CONFIG)
    folder = project.root / "days"
    folder.mkdir()

    def write(day: int) -> Path:
        path = folder / f"2026-11-{day:02d}.csv"
        rows = [*pairs["train"][day * 150 : (day + 1) * 150], ["2.5", "The same every day.", f"Day {day}."]]
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([["score", "sentence1", "sentence2"], *rows])
        return path

    return write


def test_days_are_read_once_and_trained_on_together(project, days):
    days(1)
    days(2)
    ran = project.kembar("retrain")
    assert ran.status == 0, ran.err
    told = project.summary["retraining"]
    assert told["why"] == "nothing is in service yet; 2026-11-01, 2026-11-02 are new"
    assert told["spans"]["trained"] == told["spans"]["accepted"] == ["2026-11-01", "2026-11-02"]
    assert "2026-11-01 read in" in ran.err
    [version] = project.served

    ran = project.kembar("retrain")
    assert ran.status == 0, ran.err
    assert project.summary["status"] == "unchanged"
    assert project.summary["components"] == []
    assert project.summary["reason"].endswith("no new data up to 2026-11-02")

    days(4).write_bytes(b"\x00\xff garbage \x00" * 500)
    ran = project.kembar("retrain")
    assert ran.status == 3
    assert project.summary["status"] == "data_rejected"
    assert "2026-11-04.csv" in project.summary["reason"]
    assert project.served == [version]
    assert project.kembar("retrain").status == 0
    assert project.summary["reason"].endswith("missing: 2026-11-03; rejected before: 2026-11-04")

    days(5)
    ran = project.kembar("retrain")
    assert ran.status == 0, ran.err
    told = project.summary["retraining"]
    assert told["why"] == "2026-11-05 is new"
    assert told["spans"]["trained"] == ["2026-11-01", "2026-11-02", "2026-11-05"]
    assert told["served"]["2026-11-05"]["version"] == int(version)
    assert told["served"]["2026-11-05"]["rows"] > 100
    assert set(told["served"]["2026-11-05"]["metrics"]) == {"mse", "pearson", "spearman"}
    assert len(project.served) == 2
    log = json.loads((project.workdir / "serving" / "twins" / "versions.json").read_text())
    assert [len(entry["data"]["spans"]) for entry in log] == [2, 3]


def test_a_text_stays_in_its_split_from_day_to_day(project):
    log = json.loads((project.workdir / "serving" / "twins" / "versions.json").read_text())
    splits = defaultdict(set)
    for uri in log[-1]["data"]["examples"]:
        for split in ("train", "eval", "test"):
            for texts in tables.texts(read_table(_examples(uri), split)).values():
                for text in texts:
                    splits[text].add(split)
    assert len(splits) > 600
    assert {text for text, found in splits.items() if len(found) > 1} == set()
    assert len(splits["The same every day."]) == 1


def test_the_history_says_what_was_decided_and_why(project):
    said = project.kembar("history").out.splitlines()
    assert said[0].split("  ")[0] == "when"
    statuses = re.compile("pushed|unchanged|data_rejected")
    decisions = [found[0] for line in said[1:] if (found := statuses.search(line)) is not None]
    assert decisions == ["pushed", "unchanged", "data_rejected", "unchanged", "pushed"]
    assert "2026-11-05 is new: version" in said[-1]
    report = (project.workdir / "report.html").read_text()
    assert "<h2>History</h2>" in report
    assert "in service, on new data" in report or "trained, on its test split" in report


@pytest.mark.slow
def test_a_day_can_start_from_the_model_of_the_days_before(project, days):
    project.config.write_text(CONFIG + "warm_start = true\n")
    told = []
    for day in (6, 7):
        days(day)
        ran = project.kembar("retrain")
        assert ran.status == 0, ran.err
        assert project.summary["status"] == "pushed"
        training = json.loads((project.workdir / "training.json").read_text())
        told.append((training["details"], project.summary["retraining"]["spans"]["trained"]))
    (_, before), (details, after) = told
    assert before[-1] == "2026-11-06"
    assert after == [*before, "2026-11-07"][-3:]
    assert details["known_tokens"] > 300
    assert details["new_tokens"] > 0
    assert "start" in details


def _examples(uri: str):
    from tfx.types import artifact_utils, standard_artifacts

    found = standard_artifacts.Examples()
    found.uri = uri
    found.split_names = artifact_utils.encode_split_names(["train", "eval", "test"])
    return found
