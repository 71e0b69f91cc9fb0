from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pipeline.config import configuration
from pipeline.runs import local
from pipeline.store import lock as locking
from pipeline.store.lock import Locked, lock
from pipeline.store.workdir import Workdir
from tests.pipeline.twins import CONFIG

ROOT = Path(__file__).parents[3]
HOLDER = """
import pathlib, sys, time
from pipeline.store.lock import lock
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


@pytest.mark.parametrize("requested", ["asked for by kembar run", None])
def test_nothing_is_run_beside_a_run(tmp_path, monkeypatch, new_terminal, requested):
    ran: list[object] = []
    monkeypatch.setattr(local, "_run", lambda *arguments: ran.append(arguments) or 0)
    (tmp_path / "pairs.csv").write_text("a,b,same\nx,y,1\n")
    path = tmp_path / "twins.toml"
    path.write_text(f'{CONFIG}path = "pairs.csv"\n')
    config = configuration.load(path)
    workdir = Workdir.of(config, tmp_path / "work")
    with lock(workdir.root), pytest.raises(Locked):
        local.run_pipeline(path, config, workdir, new_terminal(), requested)
    assert ran == []
    assert local.run_pipeline(path, config, workdir, new_terminal(), requested) == 0
    assert len(ran) == 1


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


def test_nobody_is_named_where_nobody_runs(tmp_path):
    with lock(tmp_path):
        assert json.loads((tmp_path / "lock").read_text())["pid"] == os.getpid()
    assert (tmp_path / "lock").read_text() == ""
    with pytest.raises(KeyError), lock(tmp_path):
        raise KeyError
    assert (tmp_path / "lock").read_text() == ""


@pytest.mark.parametrize("text", ["", "{", "7", '{"pid": 1}'])
def test_a_holder_that_has_not_written_its_name(tmp_path, monkeypatch, text):
    monkeypatch.setattr(locking, "_NAME_SECONDS", 0.05)
    with lock(tmp_path):
        (tmp_path / "lock").write_text(text)
        with pytest.raises(Locked, match="it has not written its name: wait"), lock(tmp_path):
            pytest.fail("two hold the lock")


def test_a_name_that_comes_late_is_waited_for(tmp_path, holder):
    written = (tmp_path / "lock").read_text()
    (tmp_path / "lock").write_text("")
    late = threading.Timer(0.2, lambda: (tmp_path / "lock").write_text(written))
    late.start()
    with pytest.raises(Locked, match=f"process {holder.pid} on "), lock(tmp_path):
        pytest.fail("two hold the lock")
    late.join()


def test_the_name_of_a_dead_holder_is_not_given_for_that_of_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr(locking, "_NAME_SECONDS", 0.05)
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True)
    with lock(tmp_path):
        name = json.loads((tmp_path / "lock").read_text())
        (tmp_path / "lock").write_text(json.dumps({**name, "pid": int(dead.stdout)}))
        with pytest.raises(Locked, match="it has not written its name"), lock(tmp_path):
            pytest.fail("two hold the lock")
        # On another machine nobody can tell.
        (tmp_path / "lock").write_text(json.dumps({**name, "pid": int(dead.stdout), "host": "elsewhere"}))
        with pytest.raises(Locked, match="on elsewhere since"), lock(tmp_path):
            pytest.fail("two hold the lock")


FULL = """
import pathlib, resource, sys
from pipeline.store.lock import Locked, lock
folder = pathlib.Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
with lock(folder):
    try:
        with lock(folder):
            print("two hold the lock")
    except Locked as error:
        print(error)
"""


def test_a_full_disk_does_not_break_the_lock(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert done.stdout.endswith("another run is at work: it has not written its name: wait for it to end\n")
    assert done.stderr == ""


RACE = r"""
import os, pathlib, sys
from pipeline.store.lock import Locked, lock

def contend(folder, start, done, out):
    os.read(start, 1)  # both wait for the same end of the same pipe
    try:
        with lock(folder):
            os.write(out, b"held %d\n" % os.getpid())
            os.read(done, 1)
    except Locked as error:
        os.write(out, f"{error.exit_code} {error}\n".encode())
    os._exit(0)

for number in range(int(sys.argv[2])):
    folder = pathlib.Path(sys.argv[1], str(number // 10))  # the lock file is there, or it is not
    (start, go), (done, finish), (answers, out) = os.pipe(), os.pipe(), os.pipe()
    children = []
    for _ in range(2):
        child = os.fork()
        if not child:
            os.close(go), os.close(finish)
            contend(folder, start, done, out)
        children.append(child)
    os.close(out), os.close(go)
    reader = os.fdopen(answers)
    said = sorted([reader.readline(), reader.readline()])
    os.close(finish)
    for child in children:
        os.waitpid(child, 0)
    winner = int(said[1].removeprefix("held "))
    assert winner in children, said
    assert said[0].startswith(f"5 {folder}/lock: another run is at work: process {winner} on "), said
    reader.close()
    os.close(start), os.close(done)
print("done", flush=True)
os._exit(0)
"""


def test_of_two_that_start_at_the_same_moment_one_runs_and_one_names_it_fifty_times(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", RACE, str(tmp_path), "50"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("done\n", "")
