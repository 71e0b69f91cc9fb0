"""The temporary folder of a command, and its log."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pipeline import scratch as scratching
from pipeline.scratch import FOLDER, scratch

ROOT = Path(__file__).parents[2]
HOLDER = """
import pathlib, sys, tempfile, time
from pipeline.scratch import scratch
with scratch(pathlib.Path(sys.argv[1])) as folder:
    tempfile.NamedTemporaryFile(delete=False)
    print(folder, flush=True)
    time.sleep(60)
"""


def test_what_libraries_leave_goes_at_the_end(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", "/somewhere")
    before = tempfile.gettempdir()
    with scratch(tmp_path) as folder:
        with tempfile.NamedTemporaryFile(delete=False) as left:
            assert Path(left.name).parent == folder
        child = [sys.executable, "-c", "import tempfile; print(tempfile.mkdtemp())"]
        made = subprocess.run(child, capture_output=True, text=True, check=True).stdout.strip()
        assert Path(made).parent == folder
        assert stat.S_IMODE((tmp_path / FOLDER).stat().st_mode) == 0o700
    assert list(tmp_path.iterdir()) == []
    assert (os.environ["TMPDIR"], tempfile.gettempdir()) == ("/somewhere", before)


def test_a_killed_command_leaves_nothing_beyond_the_next_one_and_others_stay(tmp_path):
    with (
        subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
        ) as process,
    ):
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        with scratch(tmp_path):
            assert len(list(folder.iterdir())) == 1, "it is at work"
        process.kill()
        process.wait()
    (tmp_path / FOLDER / "notes").mkdir()
    with scratch(tmp_path):
        assert not folder.exists()
    assert [path.name for path in (tmp_path / FOLDER).iterdir()] == ["notes"]


@pytest.fixture
def read_only(monkeypatch, tmp_path):
    """A folder that nobody can write, root neither."""
    mkdir = Path.mkdir

    def refuse(path, *arguments, **more):
        if tmp_path in path.parents:
            raise OSError(30, "Read-only file system", str(path))
        mkdir(path, *arguments, **more)

    monkeypatch.setattr(scratching.Path, "mkdir", refuse)
    return tmp_path


def test_where_the_work_folder_is_read_only_the_systems_own_is_used(read_only):
    before = tempfile.gettempdir()
    with scratch(read_only) as folder:
        assert folder.parent == Path(before)
    assert not folder.exists()
    assert Path(before).is_dir()


def test_a_log_is_for_its_owner_alone(tmp_path, new_terminal):
    log = tmp_path / "run.log"
    log.touch(mode=0o644)
    with new_terminal().noise_to(log):
        os.write(1, b"a text\n")
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert log.read_text() == "a text\n"


def test_without_a_place_for_a_log_a_command_works_and_says_so(tmp_path, new_terminal, capfd):
    (tmp_path / "file").touch()
    log = tmp_path / "file" / "predict.log"
    with new_terminal().noise_to(log):
        os.write(1, b"noise\n")
    told = capfd.readouterr()
    assert told.err == f"warning: {log}: File exists: no log is kept\n"
    assert told.out == ""
