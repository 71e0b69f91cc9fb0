"""A whole run in one process, as far as it goes without a launcher: what it leaves however it ends."""

from __future__ import annotations

import json

import pytest

from pipeline.config import configuration
from pipeline.config.notification import WEBHOOK
from pipeline.graph.step_result import FAILED, SKIPPED, StepResult
from pipeline.runs.local import run_pipeline
from pipeline.runs.run import Run
from pipeline.store.ledger import Ledger, read_entries
from pipeline.store.workdir import Workdir
from trainer.errors import ConfigError, DataRejected, SectionError

CONFIG = """
[pipeline]
name = "twins"

[data]
format = "csv"
path = "pairs.csv"
text_a = "a"
text_b = "b"
label = { column = "same", kind = "binary" }
"""


@pytest.fixture
def workdir(tmp_path):
    (tmp_path / "work").mkdir()
    return Workdir(tmp_path / "work", tmp_path / "work" / "serving" / "twins")


@pytest.fixture
def run(tmp_path, workdir, monkeypatch, new_terminal):
    """Runs with a launcher that raises, or gives steps; the exit code and the summary."""
    (tmp_path / "pairs.csv").write_text("a,b,same\nx,y,1\n")
    path = tmp_path / "twins.toml"
    path.write_text(CONFIG)
    config = configuration.load(path)

    def run(end):
        def launch(self, plan, suffix="", last=None, terminal=None):
            if isinstance(end, list):
                return end
            raise end

        monkeypatch.setattr(Run, "launch", launch)
        status = run_pipeline(path, config, workdir, new_terminal(), "asked for by a test")
        return status, json.loads((workdir.root / "summary.json").read_text())

    return run


def test_what_goes_wrong_outside_of_any_step_is_kept_like_any_end(run, workdir, listen, monkeypatch):
    server = listen(200)
    monkeypatch.setenv(WEBHOOK, server.url)
    (workdir.root / "verdict.json").write_text("{}")
    status, summary = run(ZeroDivisionError("no idea"))
    assert (status, summary["status"], summary["reason"]) == (1, "failed", "ZeroDivisionError: no idea")
    [entry] = read_entries(workdir, "twins")
    assert (entry.run_id, entry.status, entry.why) == (summary["run_id"], "failed", "")
    assert "no idea" in (workdir.root / "report.html").read_text()
    assert (workdir.root / "verdict.json").exists(), "no step has run: what the last run showed stays"
    assert [heard["reason"] for heard in server.heard] == ["ZeroDivisionError: no idea"]


def test_a_step_that_rejects_the_data_ends_the_run(run, workdir):
    rejected = DataRejected("turned labels")
    steps = [StepResult("ExampleGen", FAILED, error=rejected), StepResult("DataGate", SKIPPED)]
    status, summary = run(steps)
    assert (status, summary["status"], summary["reason"]) == (3, "data_rejected", "turned labels")
    assert [step["state"] for step in summary["components"]] == ["failed", "skipped"]
    [entry] = read_entries(workdir, "twins")
    assert entry.spans[0].outcome == "rejected"


def test_a_mistake_that_the_graph_finds_is_named_with_the_file(run, workdir):
    with pytest.raises(SectionError, match=r"^/.*twins\.toml: \[gates\] floors: no metric") as caught:
        run(SectionError("[gates] floors: no metric 'spaerman'"))
    assert isinstance(caught.value, ConfigError)
    summary = json.loads((workdir.root / "summary.json").read_text())
    assert (summary["status"], summary["reason"]) == ("failed", str(caught.value))
    assert Ledger.local(workdir, "twins").entries() == []
