"""How a step ends that cannot even begin: one line for a person, and the webhook hears of it."""

from __future__ import annotations

import socket
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.config import configuration
from pipeline.config.notification import WEBHOOK
from pipeline.graph.step_result import FAILED, RAN, StepResult
from pipeline.kubeflow import step, step_end
from pipeline.kubeflow.compile import cluster_values
from pipeline.kubeflow.records import CONCLUDE, Records
from pipeline.kubeflow.run_configuration import Parameters, configure
from pipeline.kubeflow.step import StepCall, run_step
from pipeline.store.database import PASSWORD, USER
from pipeline.store.workdir import Workdir
from tests.pipeline.twins import mounted
from trainer.errors import ConfigError, DataRejected, KembarError


def with_database(mount: Path, port: int) -> str:
    return f'{mounted(mount)}database = {{ host = "127.0.0.1", port = {port}, secret = "account" }}\n'


@pytest.fixture
def closed_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        yield free.getsockname()[1]


@pytest.fixture
def run(tmp_path, monkeypatch, closed_port, capfd):
    """Runs a step whose database does not answer; its exit code and the last line that it printed."""
    monkeypatch.setenv(USER, "kembar")
    monkeypatch.setenv(PASSWORD, "open-sesame")
    path = tmp_path / "twins.toml"
    path.write_text(with_database(tmp_path / "mnt", closed_port))
    values = cluster_values(path, configuration.read(path))

    def run(node, *settings):
        status = run_step(StepCall(node, "run-1", Parameters(settings=settings)), values)
        return status, capfd.readouterr().err.splitlines()[-1]

    return run


@pytest.fixture
def webhook(listen, monkeypatch):
    server = listen(200)
    monkeypatch.setenv(WEBHOOK, server.url)
    return server


def test_a_wrong_run_parameter_is_told_by_the_last_task_alone(run, webhook):
    said = "kembar: error: the compiled pipeline with this run's parameters: unknown key [training] epoch"
    for node in ("ExampleGen", CONCLUDE):
        status, line = run(node, "training.epoch=3")
        assert status == 2
        assert line.startswith(said)
    [heard] = webhook.heard
    assert (heard["pipeline"], heard["run_id"], heard["status"]) == ("twins", "run-1", "failed")
    assert line == f"kembar: error: {heard['reason']}"
    assert heard["text"] == f"twins: failed: {heard['reason']}"
    assert heard["report"] is heard["version"] is None


def test_a_database_that_does_not_answer_is_named(run, webhook, closed_port):
    status, line = run(CONCLUDE)
    place = f"kembar at 127.0.0.1:{closed_port}"
    assert status == 1
    assert line.startswith(f"kembar: error: cannot open the metadata database {place}: is it running")
    assert "open-sesame" not in line
    assert [heard["reason"] for heard in webhook.heard] == [line.removeprefix("kembar: error: ")]


def test_a_volume_that_cannot_be_written_is_named(run, tmp_path):
    (tmp_path / "mnt").write_text("a file, where the volume should be")
    status, line = run("ExampleGen")
    assert status == 2
    assert line.startswith(
        f"kembar: error: [kubeflow] cannot write in {tmp_path / 'mnt' / 'twins'}: Not a directory"
    )


def test_what_nobody_thought_of_is_one_line_too(run, webhook, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("no\nidea")

    monkeypatch.setattr("pipeline.kubeflow.step.open_ledger", fail)
    assert run("ExampleGen") == (1, "kembar: error: ExampleGen: ZeroDivisionError: no idea")
    assert webhook.heard == []
    assert run(CONCLUDE) == (1, "kembar: error: Conclude: ZeroDivisionError: no idea")
    assert len(webhook.heard) == 1


def test_what_fails_after_the_component_is_the_step_s_failure(tmp_path, monkeypatch, capfd):
    path = tmp_path / "twins.toml"
    path.write_text(with_database(tmp_path, 1))
    config = configure(cluster_values(path, configuration.read(path)), Parameters())

    def fail(*_: object) -> None:
        raise ZeroDivisionError("nothing to show")

    monkeypatch.setattr("pipeline.kubeflow.user_interface.of_step", fail)
    records = Records(tmp_path / "run")
    launcher = SimpleNamespace(node_ids=["Evaluator"])
    run = SimpleNamespace(config=config)
    assert step_end.end_step(StepResult("Evaluator", RAN), run, records, launcher, "{}") == 1
    assert capfd.readouterr().err.splitlines()[-1] == "kembar: error: Evaluator: nothing to show"
    [read] = records.steps(launcher)
    assert (read.state, str(read.error)) == (FAILED, "nothing to show")


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (ConfigError("wrong"), 2, "wrong"),
        (DataRejected("bad"), 3, "bad"),
        (KembarError("gone"), 1, "gone"),
        (ValueError("no idea"), 1, "DataGate: no idea"),
    ],
)
def test_a_failed_step_ends_with_the_exit_code_of_its_error(tmp_path, capfd, error, status, reason):
    failed = StepResult("DataGate", FAILED, error=error)
    assert step_end.end_step(failed, None, Records(tmp_path), None, None) == status
    assert capfd.readouterr().err.splitlines()[-1] == f"kembar: error: {reason}"


@pytest.mark.parametrize(
    ("verdict", "status"), [("pushed", 0), ("unchanged", 0), ("not_blessed", 4), ("serving_rejected", 4)]
)
def test_the_last_step_alone_ends_with_the_verdict_on_the_run(tmp_path, monkeypatch, capfd, verdict, status):
    said = {"status": verdict, "reason": "why"}
    monkeypatch.setattr(step_end, "summarize", lambda steps, before, name: said)
    run = SimpleNamespace(config=None, before=[], workdir=Workdir(tmp_path, tmp_path))
    launcher = SimpleNamespace(node_ids=["Trainer", "AtomicPusher"])
    ends = [
        step_end.end_step(StepResult(node, RAN), run, Records(tmp_path), launcher, None)
        for node in launcher.node_ids
    ]
    assert ends == [0, status]
    shown = capfd.readouterr()
    assert f"{verdict}: why" in (shown.err if status else shown.out)


def test_what_fails_before_the_component_is_the_step_s_failure_too(tmp_path, monkeypatch, capfd):
    """And not that of a container that was ended while it worked, as its first record would have it."""
    path = tmp_path / "twins.toml"
    path.write_text(mounted(tmp_path))
    values = cluster_values(path, configuration.read(path))

    def fail(*_: object) -> None:
        raise ZeroDivisionError("no idea")

    monkeypatch.setattr("pipeline.kubeflow.step.preflight", fail)
    assert run_step(StepCall("ExampleGen", "run-1"), values) == 1
    assert capfd.readouterr().err.splitlines()[-1] == "kembar: error: ExampleGen: no idea"
    [read] = Records.of(tmp_path / "twins", "run-1").steps(SimpleNamespace(node_ids=["ExampleGen"]))
    assert (read.state, str(read.error)) == (FAILED, "no idea")


def test_a_data_path_is_not_for_spans(tmp_path):
    path = tmp_path / "twins.toml"
    text = with_database(tmp_path, 1)
    path.write_text(text.replace("path = ", "pattern = ", 1).replace("pairs.csv", "{YYYY}-{MM}-{DD}.csv"))
    values = cluster_values(path, configuration.read(path))
    with pytest.raises(
        ConfigError, match=r"data_path = .*elsewhere': \[data\] pattern says where the spans are"
    ):
        configure(values, Parameters(data_path="elsewhere"))
    moved = configure(values, Parameters(settings=("data.pattern={SPAN}.csv",)))
    assert str(moved.data.pattern).endswith("{SPAN}.csv")


def test_what_fails_before_there_is_a_record_is_the_step_s_failure_too(run, tmp_path):
    """The database may answer again when the run is summed up: a step without a record never started."""
    assert run("Trainer")[0] == 1
    [read] = Records.of(tmp_path / "mnt" / "twins", "run-1").steps(SimpleNamespace(node_ids=["Trainer"]))
    assert read.state == FAILED
    assert str(read.error).startswith("cannot open the metadata database kembar at 127.0.0.1:")


def test_a_run_that_cannot_be_summed_up_again_does_not_fail_its_last_step(tmp_path, monkeypatch, capfd):
    def fail(*_: object) -> None:
        raise ZeroDivisionError("no idea")

    monkeypatch.setattr("pipeline.kubeflow.conclude.conclude", fail)
    records = Records(tmp_path)
    (tmp_path / "summary.json").write_text("{}")
    step._conclude_again(None, records, None)
    assert capfd.readouterr().out == "the run cannot be summed up: no idea\n"
