"""`kembar schedule run`: the loop in the foreground, with real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from apscheduler.executors.debug import DebugExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from pipeline.cli import app
from pipeline.scheduling import loop as loops
from pipeline.scheduling.loop import Loop
from tests.pipeline.twins import SCORED
from trainer.errors import ConfigError

ROOT = Path(__file__).parents[3]
# Writes down when it begins and ends, and prints a line.
CALL = """
import pathlib, sys, time
def write(what):
    with pathlib.Path(sys.argv[1]).open("a") as file:
        file.write(f"{what} {time.time()}\\n")
write("begin")
print("of the run", flush=True)
time.sleep(float(sys.argv[2]))
write("end")
sys.exit(int(sys.argv[3]))
"""
EVERY_SECOND = "* * * * * *"
NEVER_SOON = "0 3 1 1 *"


class Running:
    """A loop in a thread, and its messages."""

    def __init__(self, folder: Path, cron: str, seconds: float = 0, status: int = 0) -> None:
        self.calls_file = folder / "calls"
        self.messages: list[str] = []
        command = (sys.executable, "-c", CALL, str(self.calls_file), str(seconds), str(status))
        self.loop = Loop(command, cron, "UTC", folder / "schedule.json", self.messages.append)
        self.thread = threading.Thread(target=self.loop.run)

    def __enter__(self) -> Running:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.stop()
        self.thread.join(60)

    def times(self, what: str) -> list[float]:
        """When calls began, or ended."""
        lines = self.calls_file.read_text().splitlines() if self.calls_file.exists() else []
        return [float(line.split()[1]) for line in lines if line.startswith(what)]

    @property
    def calls(self) -> list[float]:
        return self.times("begin")

    @property
    def results(self) -> list[str]:
        """What the loop says of calls that ended."""
        return [message for message in self.messages if message.startswith("exit code ")]

    def wait(self, condition: Callable[[], bool]) -> None:
        until = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < until, self.messages
            time.sleep(0.02)


def next_call(folder: Path) -> datetime:
    """When a loop that begins now calls first."""
    return Loop(("true",), NEVER_SOON, "UTC", folder / "schedule.json", lambda text: None)._first()


def called(folder: Path, ago: timedelta) -> None:
    moment = datetime.now(UTC) - ago
    (folder / "schedule.json").write_text(json.dumps({"called": moment.isoformat()}))


def test_it_calls_again_and_again_whatever_became_of_the_call_before(tmp_path, capfd):
    with Running(tmp_path, EVERY_SECOND, status=3) as running:
        running.wait(lambda: len(running.results) >= 3)
    assert {line.split(" after")[0] for line in running.results} == {"exit code 3 (data rejected)"}
    assert capfd.readouterr().out.count("of the run\n") == len(running.calls)


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        (0, "pushed, or unchanged"),
        (1, "failed"),
        (2, "wrong configuration"),
        (3, "data rejected"),
        (4, "not served"),
        (5, "another run is at work"),
        (143, "interrupted by SIGTERM"),
        (77, "not known"),
    ],
)
def test_what_became_of_a_call_is_said_in_words(tmp_path, status, meaning):
    said: list[str] = []
    loop = Loop(("sh", "-c", f"exit {status}"), NEVER_SOON, "UTC", tmp_path / "schedule.json", said.append)
    loop._call()
    assert said[0].startswith(f"exit code {status} ({meaning}) after ")
    assert "called" in json.loads((tmp_path / "schedule.json").read_text())


def test_a_program_that_is_not_there_does_not_end_it(tmp_path):
    said: list[str] = []
    loop = Loop(("/no/such/program",), EVERY_SECOND, "UTC", tmp_path / "schedule.json", said.append)
    thread = threading.Thread(target=loop.run)
    thread.start()
    until = time.monotonic() + 60
    while sum("could not be started" in line for line in said) < 2 and time.monotonic() < until:
        time.sleep(0.02)
    loop.stop()
    thread.join(60)
    assert sum("/no/such/program could not be started: " in line for line in said) >= 2


def test_two_calls_are_never_at_work_together(tmp_path):
    """Calls of more than a second, at every second: the times that come meanwhile are passed over."""
    with Running(tmp_path, EVERY_SECOND, seconds=1.3) as running:
        running.wait(lambda: len(running.calls) >= 3)
    assert running.calls[1] > running.times("end")[0]
    assert running.calls[2] > running.times("end")[1]
    assert len(running.calls) == 3


def test_the_first_loop_of_all_waits_for_its_time(tmp_path):
    with Running(tmp_path, NEVER_SOON) as running:
        running.wait(lambda: bool(running.messages))
    assert running.calls == []
    assert running.messages[0].startswith("first at ")
    assert next_call(tmp_path) > datetime.now(UTC)


def test_times_that_were_missed_are_made_up_for_once(tmp_path):
    """Nobody was there for three years, in which 1 January came three times."""
    called(tmp_path, timedelta(days=3 * 366))
    with Running(tmp_path, NEVER_SOON) as running:
        running.wait(lambda: bool(running.results))
    assert len(running.calls) == 1
    assert running.messages[0].startswith("missed ")
    assert " next at " in running.results[0]
    # And the loop after this one knows of it.
    assert next_call(tmp_path) > datetime.now(UTC)


def test_a_machine_that_slept_over_three_new_years_calls_once(tmp_path, monkeypatch):
    """Late is better than never, and once is enough: the scheduler wakes up behind its times."""
    workers, options, calls = [], {}, []

    def in_line(count: int) -> DebugExecutor:
        workers.append(count)
        return DebugExecutor()

    class Scheduler(BackgroundScheduler):
        def add_job(self, *arguments, **told):
            options.update(told)
            return super().add_job(*arguments, **told)

    monkeypatch.setattr(loops, "ThreadPoolExecutor", in_line)
    monkeypatch.setattr(loops, "BackgroundScheduler", Scheduler)
    loop = Loop(("true",), NEVER_SOON, "UTC", tmp_path / "schedule.json", lambda text: None)
    monkeypatch.setattr(loop, "_first", lambda: datetime.now(UTC) - timedelta(days=3 * 366))

    def call() -> None:
        calls.append(1)
        loop.stop()

    monkeypatch.setattr(loop, "_call", call)
    thread = threading.Thread(target=loop.run)
    thread.start()
    thread.join(20)
    loop.stop()
    thread.join(20)
    assert calls == [1]
    # Two calls are never at work together.
    assert (workers, options["max_instances"]) == ([1], 1)


def test_a_call_that_was_cut_short_is_made_up_for(tmp_path):
    called(tmp_path, timedelta(days=366))
    with Running(tmp_path, NEVER_SOON, seconds=50) as running:
        running.wait(lambda: len(running.calls) == 1)
    assert "at work" in running.messages[1]
    with Running(tmp_path, NEVER_SOON) as running:
        running.wait(lambda: len(running.calls) == 2)
    assert running.messages[0].startswith("missed ")


def test_of_a_call_that_was_cut_short_no_word_is_left(tmp_path):
    called(tmp_path, timedelta(days=366))
    before, calls = (tmp_path / "schedule.json").read_text(), tmp_path / "calls"
    command = (sys.executable, "-c", CALL, str(calls), "50", "0")
    loop = Loop(command, NEVER_SOON, "UTC", tmp_path / "schedule.json", lambda text: None)
    thread = threading.Thread(target=loop._call)
    thread.start()
    Running.wait(SimpleNamespace(messages="the call did not begin"), calls.exists)
    loop.stop()
    loop._end_child()
    thread.join(60)
    assert (tmp_path / "schedule.json").read_text() == before


def test_a_call_has_less_time_to_end_than_a_cluster_gives_the_loop(tmp_path, monkeypatch):
    done: list[object] = []

    class Child:
        pid = 1

        def terminate(self) -> None:
            done.append("terminate")

        def kill(self) -> None:
            done.append("kill")

        def wait(self, seconds: float | None = None) -> None:
            done.append(seconds)
            if seconds is not None:
                raise subprocess.TimeoutExpired("kembar", seconds)

    loop = Loop(("true",), NEVER_SOON, "UTC", tmp_path / "schedule.json", lambda text: None)
    monkeypatch.setattr(loop, "_child", Child())
    loop._end_child()
    assert done == ["terminate", 20, "kill", None]


def test_a_clock_that_was_put_back_makes_no_loop_wait(tmp_path):
    called(tmp_path, -timedelta(days=3 * 366))
    with Running(tmp_path, EVERY_SECOND) as running:
        running.wait(lambda: len(running.calls) >= 1)
    assert running.messages[0].startswith("first at ")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"called": 7}', '{"called": "yesterday"}', '{"called": "2020-01-01"}']
)
def test_a_note_that_cannot_be_read_is_no_missed_time(tmp_path, text):
    (tmp_path / "schedule.json").write_text(text)
    with Running(tmp_path, NEVER_SOON) as running:
        running.wait(lambda: bool(running.messages))
    assert running.messages[0].startswith("first at ")
    assert running.calls == []
    assert datetime.fromisoformat(json.loads((tmp_path / "schedule.json").read_text())["called"]).tzinfo


CONFIG = f"""{SCORED}[schedule]
cron = "* * * * * *"
by = "cron"
"""
# `kembar schedule run`, whose `kembar` is a program that writes down its arguments and waits to be ended.
MAIN = """
import sys
from pipeline.__main__ import main
from pipeline.scheduling import job
job.program = lambda: (sys.executable, "-c", '''
import json, os, signal, sys
# Waited for, not handled: a handler could come while the first line is still being printed.
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
print(json.dumps([os.getpid(), *sys.argv[1:]]), flush=True)
if signal.sigtimedwait([signal.SIGTERM], 60):
    print("ended in order", flush=True)
''')
main()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_loop_and_the_call_that_is_at_work(tmp_path, number):
    config = tmp_path / "twins.toml"
    config.write_text(CONFIG)
    with subprocess.Popen(
        [sys.executable, "-c", MAIN, "schedule", "run", str(config), "--set", "training.epochs=3"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:  # fmt: skip
        pid, *arguments = json.loads(process.stdout.readline())
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert arguments == [
        "retrain", str(config), "--workdir", str(tmp_path / "runs" / "twins"), "--set", "training.epochs=3",
    ]  # fmt: skip
    assert process.returncode == 0, err
    assert out == "ended in order\n"
    assert f"kembar schedule: ends process {pid}, which is at work\n" in err
    assert err.endswith("kembar schedule: ended\n")
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize(
    ("setting", "message"),
    [("schedule.enabled=false", "enabled = false: there is nothing to wait for")],
)
def test_what_there_is_nothing_to_wait_for_ends_at_once(tmp_path, setting, message):
    config = tmp_path / "twins.toml"
    config.write_text(CONFIG)
    with pytest.raises(ConfigError, match=message):
        app(["schedule", "run", str(config), "--set", setting], standalone_mode=False)


def test_a_schedule_of_a_cluster_is_not_kept_twice(tmp_path):
    config = tmp_path / "twins.toml"
    config.write_text(CONFIG.replace('by = "cron"', '[kubeflow]\nimage = "i"\nvolume_claim = "c"'))
    with pytest.raises(ConfigError, match=r"the cluster keeps this schedule: set by = \"cron\""):
        app(["schedule", "run", str(config)], standalone_mode=False)
