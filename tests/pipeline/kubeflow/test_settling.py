"""Runs that end otherwise than they were summed up: KFP's Retry, a last task that died or never came."""

from __future__ import annotations

import json
import os
import time
from types import SimpleNamespace

import pytest

from pipeline import cli
from pipeline.config import configuration
from pipeline.config.cluster import Database
from pipeline.config.notification import WEBHOOK
from pipeline.graph.step_result import FAILED, RAN, StepResult
from pipeline.kubeflow import run_configuration, step
from pipeline.kubeflow.compile import cluster_values
from pipeline.kubeflow.conclude import conclude
from pipeline.kubeflow.records import CONCLUDE, RUN, RUNNING, Records
from pipeline.kubeflow.run_configuration import Parameters, configure
from pipeline.kubeflow.settling import settle_runs, settled_entries
from pipeline.kubeflow.step import StepCall, run_command
from pipeline.runs.run import Run
from pipeline.store.database import PASSWORD, USER, ledger_of
from pipeline.store.ledger import Ledger
from pipeline.store.workdir import Workdir
from tests.pipeline.twins import mounted
from trainer.errors import KembarError

NODES = ["ExampleGen", "Trainer", "Evaluator"]


class Cluster:
    """A volume with runs on it."""

    def __init__(self, mount) -> None:
        path = mount / "twins.toml"
        path.write_text(mounted(mount))
        (mount / "pairs.csv").write_text("a,b,same\nx,y,1\n")
        self.values = cluster_values(path, configuration.read(path))
        self.config = configure(self.values, Parameters())
        self.workdir = Workdir.of(self.config, mount / "twins")
        self.ledger = Ledger.local(self.workdir, "twins")

    def launcher(self, run_id):
        return SimpleNamespace(run_id=run_id, node_ids=NODES)

    def run(self, run_id):
        return self.records(run_id).read_run(self.config, self.workdir, self.ledger)

    def conclude_again(self, run_id):
        step._conclude_again(self.run(run_id), self.records(run_id), self.launcher(run_id))

    def records(self, run_id):
        return Records.of(self.workdir.root, run_id)

    def end(self, run_id, *, clock=None, **states):
        """Steps that ended, each with a state or an error."""
        records = self.records(run_id)
        if records.read(RUN) is None:
            records.write(
                RUN, {"started": "2026-11-27T00:00:00+00:00", "clock": clock or time.time(), "before": []}
            )
        for node, state in states.items():
            error = None if state == RAN else ValueError(state)
            records.write_step(StepResult(node, RAN if error is None else FAILED, error=error))
        return records

    def conclude(self, run_id):
        task_input = json.dumps({"inputs": {"parameterValues": {}}})
        conclude(self.run(run_id), self.records(run_id), self.launcher(run_id), task_input)

    @property
    def history(self):
        return [(entry.run_id, entry.status, entry.reason) for entry in self.ledger.entries()]

    def summary(self, run_id=None):
        folder = self.workdir.root if run_id is None else self.records(run_id).folder
        return json.loads((folder / "summary.json").read_text())["reason"]


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    cluster = Cluster(tmp_path)
    monkeypatch.setattr(Run, "launcher", lambda run, plan: cluster.launcher(run.start.run_id))
    return cluster


@pytest.fixture
def webhook(listen, monkeypatch):
    server = listen(200)
    monkeypatch.setenv(WEBHOOK, server.url)
    return server


def test_a_step_that_ends_a_run_after_its_last_task_sums_it_up_anew(cluster, webhook):
    cluster.end("run-1", ExampleGen=RAN, Trainer="no memory")
    cluster.conclude("run-1")
    assert cluster.history == [("run-1", "failed", "Trainer: no memory")]
    cluster.end("run-1", Trainer=RAN, Evaluator="no disk")
    cluster.conclude_again("run-1")
    assert cluster.history == [("run-1", "failed", "Evaluator: no disk")]
    assert cluster.summary() == cluster.summary("run-1") == "Evaluator: no disk"
    assert [heard["reason"] for heard in webhook.heard] == ["Trainer: no memory", "Evaluator: no disk"]
    report = (cluster.records("run-1").folder / "report.html").read_text()
    assert "no disk" in report
    cluster.conclude_again("run-1")
    assert len(webhook.heard) == 2, "what ended as it was told is not told again"


def test_a_step_before_the_last_task_sums_nothing_up(cluster, webhook):
    cluster.end("run-1", ExampleGen="no file")
    cluster.conclude_again("run-1")
    assert (cluster.history, webhook.heard) == ([], [])


def test_report_and_history_sum_up_a_run_that_nobody_has(cluster, monkeypatch, capfd, new_terminal):
    monkeypatch.setattr(cli, "Terminal", new_terminal)
    cluster.end("dead", ExampleGen=RAN, Trainer="no memory")
    config = cluster.workdir.root.with_name("twins.toml")
    cli.report(config, workdir=cluster.workdir.root)
    assert "Trainer: no memory" in (cluster.workdir.root / "report.html").read_text()
    cluster.records("dead").write_step(StepResult("Trainer", FAILED, error=ValueError("no disk")))
    cli.history(config, workdir=cluster.workdir.root)
    assert "Trainer: no disk" in capfd.readouterr().out


def test_where_nothing_was_run_there_are_no_entries(cluster):
    assert settled_entries(cluster.config, Workdir.of(cluster.config, cluster.workdir.root / "other")) == []
    assert not (cluster.workdir.root / "other").exists()


def test_whoever_asks_gets_the_end_that_the_steps_had(cluster, webhook, monkeypatch):
    cluster.end("dead", clock=1.0, ExampleGen=RAN, Trainer="no memory")  # its last task never wrote anything
    cluster.end("alive", clock=2.0, ExampleGen=RAN)
    cluster.records("alive").write("Trainer", {"state": RUNNING})
    cluster.end("between", clock=3.0, ExampleGen=RAN)
    settle_runs(cluster.config, cluster.workdir, cluster.ledger)
    assert cluster.history == [("dead", "failed", "Trainer: no memory")]
    assert webhook.heard == []
    assert not (cluster.workdir.root / "summary.json").exists(), "on top lies the newest run's"
    monkeypatch.setattr("pipeline.kubeflow.conclude.conclude", lambda *_: pytest.fail("there is nothing new"))
    settle_runs(cluster.config, cluster.workdir, cluster.ledger)


def test_a_step_that_was_killed_ends_its_run_when_the_run_has_had_its_time(cluster):
    """Nobody has said so: its record has it at work, and the last task never ran."""
    records = cluster.end("dead", ExampleGen=RAN)
    records.write("Trainer", {"state": RUNNING})
    settle_runs(cluster.config, cluster.workdir, cluster.ledger)
    assert cluster.history == []
    longest = cluster.config.kubeflow.run_timeout_seconds
    for path in records.folder.iterdir():
        os.utime(path, (time.time() - longest - 1,) * 2)
    settle_runs(cluster.config, cluster.workdir, cluster.ledger)
    [(run_id, status, reason)] = cluster.history
    assert (run_id, status) == ("dead", "failed")
    assert reason.startswith("Trainer: its container was ended while it worked")


def test_the_next_run_tells_of_one_that_nobody_told_of(cluster, webhook):
    cluster.end("dead", ExampleGen=RAN, Trainer="no memory")
    settle_runs(cluster.config, cluster.workdir, cluster.ledger, but="dead", tell=True)
    assert webhook.heard == []
    settle_runs(cluster.config, cluster.workdir, cluster.ledger, but="next", tell=True)
    assert [heard["reason"] for heard in webhook.heard] == ["Trainer: no memory"]
    records = cluster.end("dead", Evaluator="later")
    newest = max(path.stat().st_mtime_ns for path in records.folder.iterdir())
    os.utime(records.folder / "Evaluator.json", ns=(newest + 1_000_000, newest + 1_000_000))
    cluster.records("dead").write_step(StepResult("Trainer", RAN))
    settle_runs(cluster.config, cluster.workdir, cluster.ledger)
    assert cluster.history == [("dead", "failed", "Evaluator: later")]


def test_the_history_of_a_cluster_is_asked_of_its_database(cluster, monkeypatch):
    database = Database(host="127.0.0.1", port=1, secret="account")  # noqa: S106
    told = cluster.config.model_copy(
        update={"kubeflow": cluster.config.kubeflow.model_copy(update={"database": database})}
    )
    assert ledger_of(told, cluster.workdir).entries() == []  # no account: what lies here
    monkeypatch.setenv(USER, "kembar")
    monkeypatch.setenv(PASSWORD, "open-sesame")
    with pytest.raises(KembarError, match=r"cannot open the metadata database kembar at 127\.0\.0\.1:1: "):
        ledger_of(told, cluster.workdir)


def test_a_run_whose_first_step_never_started_is_told_and_kept(cluster, webhook, capfd):
    packed = run_configuration.pack(run_configuration.for_exit_task(cluster.values))
    root = cluster.workdir.root
    assert run_command(StepCall(CONCLUDE, "run-1", executor_input="{}"), root, packed) == 0
    [(run_id, status, reason)] = cluster.history
    assert (run_id, status) == ("run-1", "failed")
    assert reason.startswith("the first step never started, and the cluster does not tell")
    assert cluster.summary() == cluster.summary("run-1") == reason
    assert [heard["reason"] for heard in webhook.heard] == [reason]
    assert capfd.readouterr().err.splitlines()[-1] == f"kembar: error: {reason}"


def test_a_step_without_the_first_s_configuration_is_one_line(cluster, capfd):
    assert run_command(StepCall("Trainer", "run-1"), cluster.workdir.root, None) == 2
    [line] = capfd.readouterr().err.splitlines()
    assert line.endswith("no configuration: the run's first step writes it: do all see one volume?")


def test_the_first_step_writes_down_what_the_others_read(cluster, monkeypatch):
    seen = []
    monkeypatch.setattr(step, "run_step", lambda call, values: seen.append((call.node, values)) or 0)
    root, packed = cluster.workdir.root, run_configuration.pack(cluster.values)
    assert run_command(StepCall("ExampleGen", "run-1"), root, packed) == 0
    assert run_command(StepCall("Trainer", "run-1"), root, None) == 0
    thin = run_configuration.pack(run_configuration.for_exit_task(cluster.values))
    assert run_command(StepCall(CONCLUDE, "run-1"), root, thin) == 0
    assert seen == [(node, cluster.values) for node in ("ExampleGen", "Trainer", CONCLUDE)]
