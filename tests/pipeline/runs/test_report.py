"""The report stands alone, says what the summary says, and shows hostile texts as texts."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import configuration
from pipeline.config.configuration import Config
from pipeline.runs.report import write_report
from pipeline.store.workdir import Workdir
from trainer.errors import ServingError

ROOT = Path(__file__).parents[3]
VOID = {"meta", "br", "img", "rect", "line", "polyline", "path", "circle"}
SUMMARY: dict[str, Any] = {
    "status": "pushed",
    "reason": "version 7: spearman 0.7653 beats tfidf_cosine 0.6406; <script>alert(1)</script>",
    "pipeline": "sts",
    "run_id": "r1",
    "started": "2026-11-24T00:00:00+00:00",
    "seconds": 99.5,
    "peak_memory_mb": 1234,
    "components": [{"id": "Trainer", "state": "ran", "seconds": 9.5, "peak_memory_mb": 900}],
    "data": {
        "rows_read": 1001,
        "rows_kept": 1000,
        "rows_quarantined": 1,
        "quarantine_reasons": {"empty text": 1},
        "splits": {"train": 1000},
        "warnings": [],
    },
    "metrics": {"test": {"spearman": 0.7653}},
    "baselines": {"tfidf_cosine": {"test": {"spearman": 0.6406}}},
    "model": {"version": 7, "path": "/x/7", "parameters": 10, "examples_per_second": 5.0, "epochs": 2},
}


class Checked(HTMLParser):
    """Fails where a tag is not closed, and keeps what the page would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        self.fetched += [value for name, value in attrs if name in ("src", "href") and value]

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


@pytest.fixture
def sts() -> Config:
    return configuration.load(ROOT / "configs" / "sts.toml")


@pytest.fixture
def workdir(sts, tmp_path) -> Workdir:
    (tmp_path / "quarantine").mkdir()
    row = {"file": "x.csv", "line": 3, "reason": "empty text", "detail": "", "raw": "<img src=//evil>"}
    (tmp_path / "quarantine" / "train.jsonl").write_text(json.dumps(row) + "\n")
    history = {"loss": [0.5, 0.25], "eval_spearman": [0.6, 0.7]}
    (tmp_path / "training.json").write_text(json.dumps({"history": history}))
    (tmp_path / "summary.json").write_text(json.dumps(SUMMARY))
    return Workdir.of(sts, tmp_path)


def test_page_is_well_formed_and_fetches_nothing(sts, workdir):
    page = write_report(sts, workdir).read_text()
    checked = Checked()
    checked.feed(page)
    assert checked.open == []
    assert [url for url in checked.fetched if not url.startswith("data:")] == []
    assert "script" not in checked.tags
    assert "img" not in checked.tags  # the one in the quarantined row is text


def test_page_says_what_the_summary_says(sts, workdir):
    page = write_report(sts, workdir).read_text()
    for said in ("0.7653", "0.6406", "tfidf_cosine", "spearman ← decides", "1,001", "empty text", "Trainer"):
        assert said in page
    assert page.count("<svg") == 2


@pytest.mark.parametrize("word", [None, "NaN", "Infinity"])
def test_a_metric_without_a_value_is_undefined_whoever_wrote_the_summary(sts, workdir, word):
    metrics = {"test": {"spearman": word, "mse": 1e72}}
    part = {"test": {"length 1": {"rows": 1_000, "spearman": word}}}
    summary = {**SUMMARY, "metrics": metrics, "baselines": {"majority": metrics}, "slices": part}
    if word is None:
        summary["undefined"] = {"metrics": {"test": {"spearman": "all 9 labels are <b>0</b>"}}}
    (workdir.root / "summary.json").write_text(json.dumps(summary))
    (workdir.root / "training.json").write_text(json.dumps({"history": {"loss": [0.5, word, 0.2]}}))
    page = write_report(sts, workdir).read_text()
    assert page.count(">undefined</td>") == 3
    assert "NaN" not in page
    assert ("test: spearman is not defined: all 9 labels are &lt;b&gt;0&lt;/b&gt;" in page) is (word is None)


def test_checks_of_the_data_are_shown_with_what_was_found_first(sts, workdir):
    common = {"subject": "drift", "split": "train", "severity": "warn", "detail": "", "limit": 0.1}
    fine = {**common, "feature": "text_a", "kind": "tokens", "found": False, "value": 0.05, "chance": 0.01}
    bad = {**common, "feature": "text_b", "kind": "characters", "found": True, "value": 0.25, "chance": 0.02}
    verdict = {"warnings": ["train <b>"], "notes": [], "checks": [fine, bad], "compared_with": {}}
    (workdir.root / "verdict.json").write_text(json.dumps(verdict))
    page = write_report(sts, workdir).read_text()
    assert "train &lt;b&gt;" in page
    found, near = page.index("<td>train</td><td class=n>text_b</td>"), page.index(">text_a</td>")
    assert found < near
    assert "<td class=n>0.2500</td><td class=n>0.1200</td><td class=n>warn</td>" in page
    assert "<td class=n>0.0500</td><td class=n>0.1100</td><td class=n>ok</td>" in page


def test_pictures_are_inside(sts, workdir):
    (workdir.root / "pictures").mkdir()
    (workdir.root / "pictures" / "kl_by_dimension.svg").write_text(
        "<svg xmlns='http://www.w3.org/2000/svg'/>"
    )
    page = write_report(sts, workdir).read_text()
    assert 'alt="kl by dimension" src="data:image/svg+xml;base64,' in page


def test_failed_run_leaves_out_what_there_is_not(sts, workdir):
    failed = {**SUMMARY, "status": "failed", "reason": "Trainer: no", "metrics": {}, "baselines": {}}
    failed |= {"model": dict.fromkeys(SUMMARY["model"]), "components": []}
    (workdir.root / "summary.json").write_text(json.dumps(failed))
    page = write_report(sts, workdir).read_text()
    assert "a step went wrong" in page
    assert "<h2>Training</h2>" not in page
    assert "<h2>Metrics</h2>" not in page


def test_without_a_run_there_is_no_report(sts, tmp_path):
    with pytest.raises(ServingError, match=r"summary\.json: no run to report on"):
        write_report(sts, Workdir.of(sts, tmp_path))


def test_words_of_trials_classes_and_files_are_texts_too(sts, workdir):
    hostile = "<img src=//evil>\u202e"
    summary = {**SUMMARY, "model": {**SUMMARY["model"], "tuned": {"training.epochs": 3}}}
    (workdir.root / "summary.json").write_text(json.dumps(summary))
    trial = {"values": {"a": 0.12345678}, "score": None, "epochs": 0, "seconds": None, "error": hostile}
    search = {
        "best": {"trial": 2, "values": {hostile: 1}},
        "kept": False,
        "objective": "x",
        "trials": [trial],
    }
    (workdir.root / "tuning.json").write_text(json.dumps(search))
    confusion = {"test": {"classes": ["a", hostile], "matrix": [[1_000, 2], [3, 4]]}}
    (workdir.root / "confusion.json").write_text(json.dumps(confusion))
    page = write_report(sts, workdir).read_text()
    assert page.count("&lt;img src=//evil&gt;\\u202e") == 4
    assert ("<td class=n>0.1235</td>" in page, "<td class=n>1,000</td>" in page) == (True, True)
    checked = Checked()
    checked.feed(page)
    assert (checked.open, "img" in checked.tags) == ([], False)
    (workdir.root / "tuning.json").write_text(json.dumps({**search, "kept": True}))
    page = write_report(sts, workdir).read_text()
    assert "<p>Values of an earlier search:</p><ul><li>&lt;img src=//evil&gt;\\u202e = 1</li></ul>" in page
