"""New spans are read in their order; what is trained is the newest good one, and all behind it."""

from __future__ import annotations

import json

import pytest
from ml_metadata.proto import metadata_store_pb2 as mlmd

from components.version_folder.push import push
from pipeline.graph.step_result import FAILED, RAN, SKIPPED, StepResult
from pipeline.retraining.survey import survey_spans
from pipeline.runs.run import Run
from pipeline.runs.summary import decision_of, declines_training
from pipeline.store.ledger import ACCEPTED, REJECTED, Ledger, SpanExamples
from pipeline.store.outcome import RunStart
from pipeline.store.workdir import Workdir
from tests.pipeline.retraining.spans import configure
from trainer.errors import DataRejected, KembarError

HEADER = "a,b,score\nx,y,1\n"


START = RunStart("twins", "r", 0.0)
TERMINAL = object()


class Pipeline:
    """Carries plans out: `verdicts` maps a span to what goes wrong with it."""

    def __init__(self, tmp_path, monkeypatch, verdicts, texts=HEADER):
        monkeypatch.setattr(Run, "launch", self.launch)
        self.root = tmp_path
        self.verdicts = verdicts
        (tmp_path / "data").mkdir()
        for number in verdicts:
            (tmp_path / "data" / f"{number}.csv").write_text(
                texts if isinstance(texts, str) else texts[number]
            )
        self.config = configure(tmp_path / "data", data={"spans": {"window": 3}}, retraining={})
        self.workdir = Workdir(tmp_path / "work", tmp_path / "serving")
        self.ledger = Ledger.local(self.workdir, "twins")
        self.ran: list[tuple[int, list[int], str]] = []
        self.suffixes: list[str] = []

    def work(self):
        run = Run.decide(self.config, self.workdir, self.ledger, START, "new")
        run.pushed = {"/model/1": 41}
        return run

    def launch(self, plan, suffix="", last="end", terminal=None):
        assert (terminal is None) == (last != "end"), "only the whole graph is shown"
        self.ran.append((plan.carry.span, sorted(plan.window), last))
        self.suffixes.append(suffix)
        steps = self._steps(plan.carry.span)
        if last != "end":
            return steps
        state = SKIPPED if any(step.state == FAILED for step in steps) else RAN
        blessing = {"blessing": mlmd.Artifact(uri="/x")} if state == RAN else {}
        return [*steps, StepResult("QualityGate", state, outputs=blessing)]

    def say(self, line):
        assert " read in " in line

    def _steps(self, number):
        error = self.verdicts[number]
        if error is not None:
            return [
                StepResult("ExampleGen", RAN),
                StepResult("DataGate", FAILED, error=error),
                StepResult("LiveMetrics", SKIPPED),
            ]
        folder = self.root / f"live{number}"
        folder.mkdir(exist_ok=True)
        told = {"model": "/model/1", "rows": 9, "metrics": {"spearman": 0.5, "pearson": float("nan")}}
        (folder / "live.json").write_text(json.dumps(told))
        live = {"evaluation": mlmd.Artifact(uri=str(folder))}
        return [
            StepResult("ExampleGen", RAN),
            StepResult("DataGate", RAN),
            StepResult("LiveMetrics", RAN, outputs=live),
        ]


def outcomes(work):
    return {number: seen.outcome for number, seen in work.verdicts.items()}


def test_the_backlog_is_read_first_and_the_newest_is_trained_on(tmp_path, monkeypatch):
    pipeline = Pipeline(tmp_path, monkeypatch, {1: None, 2: None, 3: None})
    work = pipeline.work()
    assert work.read_backlog(pipeline.say)
    work.finish(TERMINAL)
    assert pipeline.ran == [(1, [1], "LiveMetrics"), (2, [1, 2], "LiveMetrics"), (3, [1, 2, 3], "end")]
    assert outcomes(work) == dict.fromkeys((1, 2, 3), ACCEPTED)
    assert sorted(work.trained) == [1, 2, 3]
    assert work.served[2].version == 41
    assert work.served[2].metrics == {"spearman": 0.5, "pearson": None}


def test_a_bad_span_in_the_backlog_is_left_out(tmp_path, monkeypatch):
    pipeline = Pipeline(tmp_path, monkeypatch, {1: None, 2: DataRejected("garbage"), 3: None})
    work = pipeline.work()
    assert work.read_backlog(pipeline.say)
    work.finish(TERMINAL)
    assert pipeline.ran[-1] == (3, [1, 3], "end")
    assert outcomes(work) == {1: ACCEPTED, 2: REJECTED, 3: ACCEPTED}
    assert work.to_json()["spans"]["rejected"] == {"2": "garbage"}


def test_where_the_newest_is_bad_the_newest_good_one_is_trained_on(tmp_path, monkeypatch):
    pipeline = Pipeline(tmp_path, monkeypatch, {1: None, 2: None, 3: DataRejected("flipped")})
    work = pipeline.work()
    assert work.read_backlog(pipeline.say)
    work.finish(TERMINAL)
    assert pipeline.ran[-2:] == [(3, [1, 2, 3], "end"), (2, [1, 2], "end")]
    assert pipeline.suffixes == ["1", "2", "", "2-again"], "each is a run of its own in ML Metadata"
    assert sorted(work.trained) == [1, 2]


def test_where_all_is_bad_nothing_is_trained(tmp_path, monkeypatch):
    pipeline = Pipeline(tmp_path, monkeypatch, {1: DataRejected("garbage")})
    work = pipeline.work()
    assert work.read_backlog(pipeline.say)
    work.finish(TERMINAL)
    assert pipeline.ran == [(1, [1], "end")]
    assert work.trained == {}
    assert outcomes(work) == {1: REJECTED}


def test_a_failure_ends_it_and_the_span_stays_new(tmp_path, monkeypatch):
    pipeline = Pipeline(tmp_path, monkeypatch, {1: None, 2: OSError("disk full"), 3: None})
    work = pipeline.work()
    assert not work.read_backlog(pipeline.say)
    assert [number for number, _, _ in pipeline.ran] == [1, 2]
    assert outcomes(work) == {1: ACCEPTED}
    assert work.steps[1].error.args == ("disk full",)


def test_a_file_without_the_columns_is_rejected_before_anything_starts(tmp_path, monkeypatch):
    pipeline = Pipeline(tmp_path, monkeypatch, {1: None, 2: None}, {1: "x,y\n1,2\n", 2: HEADER})
    work = pipeline.work()
    assert work.read_backlog(pipeline.say)
    work.finish(TERMINAL)
    assert [number for number, _, _ in pipeline.ran] == [2]
    assert "no column 'a'" in work.verdicts[1].reason


def test_a_file_that_cannot_be_read_is_tried_again(tmp_path, monkeypatch):
    pipeline = Pipeline(tmp_path, monkeypatch, {1: None})
    work = pipeline.work()
    monkeypatch.setattr("os.access", lambda path, mode: False)
    work.finish(TERMINAL)
    assert pipeline.ran == []
    assert work.verdicts == {}
    [step] = work.steps
    assert isinstance(step.error, KembarError)
    assert not isinstance(step.error, DataRejected)
    assert "1.csv: cannot be read: " in str(step.error)


@pytest.mark.parametrize("train", [True, False])
def test_the_gates_decision_is_read_from_its_artifact(tmp_path, train):
    (tmp_path / "decision.json").write_text(json.dumps({"train": train, "reason": "because"}))
    step = StepResult("RetrainingGate", RAN, outputs={"decision": mlmd.Artifact(uri=str(tmp_path))})
    assert decision_of([StepResult("DataGate", RAN), step])["reason"] == "because"
    assert declines_training(step) is not train
    assert not declines_training(StepResult("RetrainingGate", SKIPPED))


def test_an_entry_says_what_was_seen_and_trained(tmp_path, monkeypatch):
    pipeline = Pipeline(tmp_path, monkeypatch, {1: None, 2: None})
    work = pipeline.work()
    assert work.read_backlog(pipeline.say)
    work.finish(TERMINAL)
    found = {
        "started": "2026-11-25T00:00:00+00:00", "status": "pushed", "reason": "good", "seconds": 1.0,
        "run_id": "r", "model": {"version": 42}, "metrics": {}, "retraining": work.to_json(),
    }  # fmt: skip
    entry = work.entry(found)
    pipeline.ledger.append(entry)
    assert pipeline.ledger.entries() == [entry]
    assert (entry.span, sorted(entry.trained), entry.why) == (2, [1, 2], "new")
    assert SpanExamples(1, "/x", 1, entry.trained[1], 5).files == entry.spans[1].files
    pending = survey_spans(pipeline.config, pipeline.ledger.entries(), [
        SpanExamples(number, "/x", number, files, 5) for number, files in entry.trained.items()
    ]).pending  # fmt: skip
    assert pending == ()


def test_a_damaged_version_is_a_reason_to_work(tmp_path, monkeypatch):
    pipeline = Pipeline(tmp_path, monkeypatch, {1: None})
    workdir = Workdir(tmp_path / "work", tmp_path / "serving")
    for number in (7, 8):
        (tmp_path / "model").mkdir(exist_ok=True)
        (tmp_path / "model" / "saved_model.pb").write_text(f"{number}")
        push(tmp_path / "model", workdir.serving, {}, now=number)
    assert "damaged" not in Run.decide(pipeline.config, workdir, pipeline.ledger, START, None).reason
    (workdir.serving / "8" / "saved_model.pb").write_text("9")
    work = Run.decide(pipeline.config, workdir, pipeline.ledger, START, None)
    assert work.idle is None
    assert work.reason.startswith("version 8 is damaged")


def test_a_run_with_nothing_to_do_is_kept_and_leaves_what_the_last_one_showed(tmp_path, monkeypatch):
    pipeline = Pipeline(tmp_path, monkeypatch, {1: None})
    run = pipeline.work()
    run.idle = "no new data"
    shown = pipeline.workdir.root / "verdict.json"
    shown.write_text("of the last run")
    run.keep(run.summary(), pytest.fail)
    summary = json.loads((pipeline.workdir.root / "summary.json").read_text())
    assert (summary["status"], summary["reason"], summary["run_id"]) == ("unchanged", "no new data", "r")
    assert shown.read_text() == "of the last run"
    [entry] = pipeline.ledger.entries()
    assert (entry.status, entry.span, entry.spans) == ("unchanged", None, {})


def test_what_cannot_be_shown_is_a_warning_and_the_end_is_kept_all_the_same(tmp_path, monkeypatch):
    pipeline = Pipeline(tmp_path, monkeypatch, {1: DataRejected("garbage")})
    run = pipeline.work()
    run.finish(TERMINAL)
    (tmp_path / "elsewhere").mkdir()
    (pipeline.workdir.root / "quarantine").symlink_to(tmp_path / "elsewhere")
    lines = []
    run.keep(run.summary(), lines.append)
    [line] = lines
    assert line.endswith("quarantine: is a link: remove it: make room")
    [entry] = pipeline.ledger.entries()
    assert (entry.status, entry.spans[1].outcome) == ("data_rejected", REJECTED)
    assert json.loads((pipeline.workdir.root / "summary.json").read_text())["status"] == "data_rejected"


def test_of_a_run_that_is_not_the_newest_only_the_history_is_kept(tmp_path, monkeypatch):
    pipeline = Pipeline(tmp_path, monkeypatch, {1: DataRejected("garbage")})
    run = pipeline.work()
    run.finish(TERMINAL)
    run.keep(run.summary(), pytest.fail, is_newest=False)
    assert not (pipeline.workdir.root / "summary.json").exists()
    assert [entry.status for entry in pipeline.ledger.entries()] == ["data_rejected"]
