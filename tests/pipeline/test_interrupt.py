"""Signals end a run with a summary and the exit code that a shell would give it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import apache_beam as beam
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from pipeline import interrupt
from pipeline.graph.step_result import FAILED, StepResult
from pipeline.interrupt import Interrupted, interruptible
from pipeline.runs.launch import launch_all

ROOT = Path(__file__).parents[2]
# `kembar run` whose work is to be sent a signal; what is asked of the configuration is its name alone.
MAIN = """
import os, signal, sys, types
from contextlib import nullcontext
from pathlib import Path
from pipeline import cli
from pipeline.runs import local
from pipeline.terminal import Terminal
number, folder = int(sys.argv[1]), Path(sys.argv[2])
def work(*_):
    os.kill(os.getpid(), number)
    signal.pause()
local._run, local.preflight, local.read_pins = work, lambda *_: None, lambda *_: None
config = types.SimpleNamespace(
    pipeline=types.SimpleNamespace(name="twins"), serving=types.SimpleNamespace(for_gate=lambda: None)
)
workdir = types.SimpleNamespace(root=folder, log=folder / "run.log", serving=folder, name="twins")
def app(**_):
    local.run_pipeline(Path("twins.toml"), config, workdir, Terminal(), None)
cli.app = app
cli.main()
"""


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)]
)
def test_a_signal_raises_where_the_work_is(number, code):
    before = signal.getsignal(number)
    with pytest.raises(Interrupted, match=f"{number.name}: the next run goes on") as stop, interruptible():
        signal.raise_signal(number)
    assert stop.value.exit_code == code
    assert signal.getsignal(number) is before


def test_what_is_ignored_stays_so():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            signal.raise_signal(signal.SIGHUP)  # and raises nothing
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_run_that_a_signal_ends_says_so(tmp_path):
    (tmp_path / "summary.json").write_text('{"status": "pushed"}')
    done = subprocess.run(
        [sys.executable, "-c", MAIN, str(int(signal.SIGTERM)), str(tmp_path)],
        capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 143, done.stderr
    assert done.stderr.splitlines()[-1].startswith("kembar: interrupted: SIGTERM: the next run goes on")
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["status"], summary["pipeline"]) == ("interrupted", "twins")
    assert summary["reason"] == "SIGTERM: the next run goes on from what is done"
    assert summary["data"]["rows_read"] == 0


def test_a_signal_that_beam_takes_for_an_error_of_its_own_ends_the_run_all_the_same():
    """Its workers catch whatever is raised in them, and hand on words."""

    class InBeam:
        node_ids = ("Evaluator", "Pusher")

        def launch(self, node_id):
            try:
                with beam.Pipeline(runner=FnApiRunner()) as pipeline:
                    _ = (
                        pipeline
                        | beam.Create([signal.SIGTERM, signal.SIGTERM])
                        | beam.Map(signal.raise_signal)
                    )
            except Exception as error:  # noqa: BLE001 - what Beam makes of it
                return StepResult(node_id, FAILED, error=error)
            raise AssertionError

    started, ended = [], []
    display = SimpleNamespace(start=started.append, end=ended.append)
    with pytest.raises(Interrupted) as stop, interruptible():
        launch_all(InBeam(), display)
    assert (stop.value.exit_code, started, ended) == (143, ["Evaluator"], [])
    interrupt.raise_again()  # and nothing is left of it


AT_IMPORT = """
import os, signal, sys
class Finder:
    def find_spec(self, name, *_):
        if name == "pydantic":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
from pipeline.__main__ import main
main()
"""


def test_ctrl_c_while_the_command_is_imported_leaves_no_traceback():
    done = subprocess.run(
        [sys.executable, "-c", AT_IMPORT], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")
