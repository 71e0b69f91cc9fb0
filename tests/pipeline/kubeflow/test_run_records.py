"""The plan of a run in a cluster, and what the run's end makes of it, in processes that share files alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.example_gen.spans import Carry
from pipeline.config import configuration
from pipeline.graph.step_result import FAILED, RAN, SKIPPED, StepResult
from pipeline.kubeflow.records import Records
from pipeline.retraining.survey import survey_spans
from pipeline.runs.run import Run
from pipeline.store.ledger import ACCEPTED, REJECTED, Ledger
from pipeline.store.outcome import RunStart
from pipeline.store.workdir import Workdir
from trainer.errors import DataRejected

REJECTION = [
    StepResult("ExampleGen", RAN),
    StepResult("DataGate", FAILED, error=DataRejected("turned labels")),
]
SUCCESS = [StepResult("ExampleGen", RAN), StepResult("DataGate", RAN), StepResult("LiveMetrics", SKIPPED)]


@pytest.mark.parametrize("key", ["path", "pattern"])
@pytest.mark.parametrize(("steps", "outcome"), [(REJECTION, REJECTED), (SUCCESS, ACCEPTED)])
def test_a_file_that_changes_while_the_run_is_at_work_is_not_the_one_that_was_judged(
    tmp_path, key, steps, outcome
):
    path = tmp_path / "1.csv"
    path.write_text("a,b,score\nx,y,1\n")
    label = {"column": "score", "kind": "score", "range": [0, 5]}
    place = str(path) if key == "path" else str(tmp_path / "{SPAN}.csv")
    data = {"format": "csv", key: place, "text_a": "a", "text_b": "b", "label": label}
    config = configuration.validate(
        {"pipeline": {"name": "twins"}, "data": data, "retraining": {}}, "twins.toml"
    )
    workdir = Workdir(tmp_path / "work", tmp_path / "serving")
    ledger, records = Ledger.local(workdir, "twins"), Records(tmp_path / "run")
    [before] = survey_spans(config, [], ()).ready.values()

    run = Run.decide(config, workdir, ledger, RunStart("twins", "run"), None)
    run.plan = run.make_plan(run.newest)
    records.write_run(run, "AtomicPusher")
    path.write_text("a,b,score\nx,y,1\nmended,rows,2\n")
    work = records.read_run(config, workdir, ledger)
    for name in ("start", "reason", "idle", "before", "plan", "verdicts", "served"):
        assert getattr(work, name) == getattr(run, name), "the next process knows what the first one decided"
    assert work.to_json() == run.to_json()
    work.close(steps)

    [seen] = work.verdicts.values()
    assert (seen.outcome, seen.files) == (outcome, before.fingerprint)
    [now] = survey_spans(config, [], ()).ready.values()
    assert now.fingerprint != before.fingerprint


def test_a_record_of_an_older_version_still_has_its_start_and_plan(tmp_path):
    carry = {"span": 3, "fingerprint": "f", "oldest": 1, "earlier": "/e", "spans": {"/e": 2}}
    old = {
        "started": "2026-11-27T00:00:00+00:00", "clock": 7.5, "before": [41], "last": "AtomicPusher",
        "plan": {"files": ["/d/3.csv"], "carry": carry, "window": {"1": "a", "3": "f"}, "asked": "3 is new"},
        "asked": "3 is new", "files": {"3": "f"}, "seen": {}, "served": {},
    }  # fmt: skip
    records = Records(tmp_path)
    records.write("run", old)
    decision = records.decision
    assert (decision.clock, decision.before, decision.last) == (7.5, [41], "AtomicPusher")
    assert decision.plan.window == {1: "a", 3: "f"}
    assert (decision.plan.files, decision.plan.carry) == ((Path("/d/3.csv"),), Carry(**carry))
    assert not records.is_over
    records.decline()
    assert records.is_over
