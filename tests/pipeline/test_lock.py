from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.lock import lock
from trainer.errors import Locked

ROOT = Path(__file__).parents[2]
HOLDER = """
import pathlib, sys, time
from pipeline.lock import lock
with lock(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock of `tmp_path`."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_second_holder_is_told_who_the_first_is(tmp_path, holder):
    with pytest.raises(Locked) as caught, lock(tmp_path):
        pytest.fail("two hold the lock")
    said = str(caught.value)
    assert said.startswith(f"{tmp_path}/lock: another run is at work: process {holder.pid} on ")
    assert said.endswith(": wait for it to end")
    assert caught.value.exit_code == 5


def test_the_lock_of_a_killed_holder_is_free(tmp_path, holder):
    holder.kill()
    holder.wait(timeout=20)
    assert json.loads((tmp_path / "lock").read_text())["pid"] == holder.pid
    with lock(tmp_path):
        assert json.loads((tmp_path / "lock").read_text())["pid"] == os.getpid()


def test_the_lock_is_let_go_of_when_the_block_ends_or_fails(tmp_path):
    folder = tmp_path / "not" / "there yet"
    with pytest.raises(KeyError), lock(folder):
        raise KeyError
    with lock(folder):
        pass
    with lock(folder), pytest.raises(Locked), lock(folder):
        pytest.fail("two hold the lock")


def test_a_holder_that_has_not_written_its_name(tmp_path):
    with lock(tmp_path):
        (tmp_path / "lock").write_text("")
        with pytest.raises(Locked, match="it has not written its name yet"), lock(tmp_path):
            pytest.fail("two hold the lock")
