"""Who hears how a run has ended, and that nobody who listens badly can fail the run or hold it up."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from pathlib import Path

import pytest

from pipeline.config.notification import WEBHOOK, Notify
from pipeline.runs import notify as notifying
from pipeline.runs.notify import notify, notify_error, post, run_command
from trainer.errors import ConfigError, DataRejected

FOUND = {
    "pipeline": "twins",
    "run_id": "run-1",
    "status": "pushed",
    "reason": "version 7: better",
    "started": "2026-11-25T03:00:00+00:00",
    "seconds": 60.5,
    "model": {"version": 7},
    "metrics": {"test": {"spearman": 0.7}},
}
TOLD = {
    "text": "twins: pushed: version 7: better",
    "pipeline": "twins",
    "run_id": "run-1",
    "status": "pushed",
    "reason": "version 7: better",
    "started": "2026-11-25T03:00:00+00:00",
    "seconds": 60.5,
    "version": 7,
    "metrics": {"test": {"spearman": 0.7}},
    "report": "/work/report.html",
}


@pytest.fixture
def webhook(listen, monkeypatch):
    server = listen(200)
    monkeypatch.setenv(WEBHOOK, server.url)
    return server


def program(code: str, *arguments: object) -> tuple[str, ...]:
    return (sys.executable, "-c", code, *map(str, arguments))


KEEP = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_bytes(sys.stdin.buffer.read())"


@pytest.mark.parametrize("word", ["NaN", float("nan"), float("inf")])
def test_what_is_sent_is_strict_json_whatever_stands_for_a_metric_without_a_value(webhook, word):
    notify(Notify(), {**FOUND, "metrics": {"test": {"spearman": 0.7, "pearson": word}}})
    [heard] = webhook.heard
    assert heard["metrics"] == {"test": {"spearman": 0.7, "pearson": None}}


def test_webhook_and_command_hear_the_same(webhook, tmp_path, caplog):
    notify(Notify(command=program(KEEP, tmp_path / "heard")), FOUND, Path("/work/report.html"))
    assert webhook.heard == [TOLD]
    assert json.loads((tmp_path / "heard").read_text()) == TOLD
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("status", "on", "heard"),
    [
        ("unchanged", None, False),
        ("failed", None, True),
        ("not_blessed", None, True),
        ("not_blessed", ("failed",), False),
        ("unchanged", ("unchanged",), True),
        ("pushed", (), False),
    ],
)
def test_only_the_statuses_that_are_asked_for_are_told(webhook, tmp_path, status, on, heard):
    section = Notify(command=program(KEEP, tmp_path / "heard"), **({} if on is None else {"on": on}))
    notify(section, {**FOUND, "status": status})
    assert len(webhook.heard) == heard
    assert (tmp_path / "heard").exists() == heard


def test_the_url_can_be_in_another_variable(listen, monkeypatch):
    server, other = listen(200), listen(200)
    monkeypatch.setenv(WEBHOOK, other.url)
    monkeypatch.setenv("TEAM_HOOK", server.url)
    notify(Notify(webhook="TEAM_HOOK"), FOUND)
    assert [len(server.heard), len(other.heard)] == [1, 0]


def test_without_a_url_and_a_command_nothing_happens(monkeypatch, caplog):
    monkeypatch.delenv(WEBHOOK, raising=False)
    notify(Notify(), FOUND)
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (ConfigError("c.toml: [data] train: no such file"), "failed", "c.toml: [data] train: no such file"),
        (DataRejected("x.parquet: not a Parquet file"), "data_rejected", "x.parquet: not a Parquet file"),
        (ValueError("open-sesame"), "failed", "ValueError"),
    ],
)
def test_a_run_that_ended_before_it_had_a_summary_is_told_too(webhook, error, status, reason):
    notify_error(Notify(), "twins", error)
    [heard] = webhook.heard
    assert (heard["pipeline"], heard["status"], heard["reason"]) == ("twins", status, reason)
    assert heard["text"] == f"twins: {status}: {reason}"
    assert heard["run_id"] is heard["version"] is heard["report"] is None


# --- the webhook --------------------------------------------------------------------------------------------


@pytest.fixture
def pauses(monkeypatch):
    """Seconds between the tries, which nobody waits for."""
    seconds: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", seconds.append)
    return seconds


def test_a_server_that_stumbles_is_asked_again(listen, pauses):
    server = listen(503, 500, 200)
    assert post(server.url, {"text": "twins: pushed"})
    assert pauses == [2, 4]
    assert server.heard == [{"text": "twins: pushed"}] * 3


def test_a_server_that_stays_down_costs_three_tries_and_no_error(listen, pauses, caplog):
    server = listen(503)
    assert not post(server.url, {})
    assert len(server.heard) == 3
    assert "webhook: not delivered: answered 503" in caplog.text
    assert "secret-path" not in caplog.text


def test_a_refusal_is_final(listen, caplog):
    server = listen(404)
    assert not post(server.url, {})
    assert len(server.heard) == 1
    assert "answered 404" in caplog.text


@pytest.mark.parametrize("url", ["file:///etc/passwd", "hooks.example/x"])
def test_other_schemes_are_not_opened(url, caplog):
    assert not post(url, {}, "TEAM_HOOK")
    assert "the URL in TEAM_HOOK begins neither with https:// nor with http://" in caplog.text
    assert url not in caplog.text


@pytest.mark.parametrize(
    "url", ["http://[secret-path", "http://127.0.0.1:1/secret-path", "http://a b/secret-path"]
)
def test_a_url_that_leads_nowhere_is_no_error_and_never_shown(url, pauses, monkeypatch, caplog):
    monkeypatch.setenv(WEBHOOK, url)
    notify(Notify(), FOUND)
    assert "webhook: not delivered: " in caplog.text
    assert "secret-path" not in caplog.text


def drip(listener: socket.socket, stop: threading.Event) -> None:
    """Answers with one byte of a header at a time: no single read of it ever takes long."""
    connection, _ = listener.accept()
    with connection:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
        while not stop.wait(0.02):
            connection.sendall(b"x")


def test_a_server_that_drips_its_answer_holds_nobody_up(monkeypatch, caplog):
    monkeypatch.setattr(notifying, "_LIMIT_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stop = threading.Event()
        thread = threading.Thread(target=drip, args=(listener, stop))
        thread.start()
        monkeypatch.setenv(WEBHOOK, f"http://127.0.0.1:{listener.getsockname()[1]}/secret-path")
        notify(Notify(), FOUND)
        said = caplog.text
        stop.set()
        thread.join()
    assert "webhook: no answer within 0.5 s" in said
    assert "secret-path" not in said


# --- the command --------------------------------------------------------------------------------------------


def test_a_command_that_fails_is_logged_without_what_it_said(capfd, caplog):
    code = "import sys; print('open-sesame'); print('open-sesame', file=sys.stderr); sys.exit(3)"
    assert not run_command(program(code), {})
    assert f"command: {sys.executable}: exit status 3" in caplog.text
    assert "open-sesame" not in caplog.text + "".join(capfd.readouterr())


def test_a_command_that_is_not_there_is_logged(caplog):
    assert not run_command(("/no/such/program",), {})
    assert "command: /no/such/program could not be started: FileNotFoundError" in caplog.text


FLOOD = """
import os, sys
for _ in range(400):
    os.write(1, b"x" * 100_000)
    os.write(2, b"x" * 100_000)
"""


def test_a_command_that_floods_its_output_and_reads_nothing_ends_well(caplog):
    # More than a pipe holds, which nobody takes out of it.
    body = {**TOLD, "metrics": {str(n): 0.5 for n in range(50_000)}}
    assert run_command(program(FLOOD), body)
    assert caplog.text == ""


HANG = """
import os, pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
pathlib.Path(sys.argv[1]).write_text(f"{os.getpid()} {child.pid}")
time.sleep(60)
"""


def test_a_command_that_hangs_is_stopped_with_its_children(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(notifying, "_LIMIT_SECONDS", 1.5)
    monkeypatch.delenv(WEBHOOK, raising=False)
    notify(Notify(command=program(HANG, tmp_path / "pids")), FOUND)
    assert "stopped after 1.5 s" in caplog.text
    for pid in (tmp_path / "pids").read_text().split():
        until = time.monotonic() + 5
        while is_alive(pid) and time.monotonic() < until:
            time.sleep(0.02)
        assert not is_alive(pid)


def is_alive(pid: str) -> bool:
    """Whether it runs; a zombie that waits for somebody to look does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_whatever_goes_wrong_stays_here(monkeypatch, caplog):
    def fail(*_: object) -> bool:
        raise ZeroDivisionError("open-sesame")

    monkeypatch.setattr(notifying, "run_command", fail)
    monkeypatch.delenv(WEBHOOK, raising=False)
    notify(Notify(command=("x",)), FOUND)
    notify(Notify(command=("x",)), {"status": "failed"})
    assert caplog.text.count("notification: ") == 2
    assert "open-sesame" not in caplog.text


def test_what_goes_wrong_is_seen_on_the_terminal(new_terminal, tmp_path, capfd):
    with new_terminal().noise_to(tmp_path / "log"):
        run_command(("/no/such/program",), {})
    assert "        command: /no/such/program could not be started" in capfd.readouterr().err


def test_the_environment_is_that_of_the_run(tmp_path, monkeypatch):
    """So a command finds its own secrets there."""
    monkeypatch.setenv("TEAM_TOKEN", "open-sesame")
    code = "import os, pathlib, sys; pathlib.Path(sys.argv[1]).write_text(os.environ['TEAM_TOKEN'])"
    assert run_command(program(code, tmp_path / "token"), {})
    assert (tmp_path / "token").read_text() == os.environ["TEAM_TOKEN"]
