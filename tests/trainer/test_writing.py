"""Files that are the old ones or the new ones, and deletions that stay inside."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from trainer.files import exclusive, hide, remove_folder, remove_tree, replace_file, replacing

DEAD = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
HOST = socket.gethostname()


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_file_is_flushed_takes_its_place_and_the_folder_is_flushed(tmp_path, disk):
    target = tmp_path / "summary.json"
    replace_file(target, "é")
    assert target.read_text(encoding="utf-8") == "é"
    assert disk.events[-2:] == [("rename", target), ("flush", tmp_path)]
    assert names(tmp_path) == {"summary.json"}


def test_who_reads_meanwhile_reads_the_old_file(tmp_path):
    target = tmp_path / "summary.json"
    replace_file(target, "old")
    with target.open() as reader, replacing(target) as fresh:
        fresh.write_text("ne")
        assert (reader.read(), target.read_text()) == ("old", "old")
        fresh.write_text("new")
    assert target.read_text() == "new"


def test_where_writing_fails_the_old_file_stays_and_nothing_else(tmp_path):
    target = tmp_path / "summary.json"
    replace_file(target, "old")

    def fail() -> None:
        with replacing(target) as fresh:
            fresh.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert (target.read_text(), names(tmp_path)) == ("old", {"summary.json"})


def test_a_link_stays_and_the_file_behind_it_keeps_its_mode(tmp_path):
    real = tmp_path / "elsewhere" / "real"
    real.parent.mkdir()
    real.write_text("old")
    real.chmod(0o640)
    link = tmp_path / "link"
    link.symlink_to(real)
    replace_file(link, "new")
    assert link.is_symlink()
    assert (real.read_text(), stat.S_IMODE(real.stat().st_mode)) == ("new", 0o640)
    assert names(real.parent) == {"real"}


def test_a_device_is_written_to_and_stays_one():
    replace_file(Path("/dev/null"), "x")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    with pytest.raises(OSError, match="No space left"):
        replace_file(Path("/dev/full"), "x")


def test_a_name_may_be_as_long_as_the_file_system_takes(tmp_path):
    target = tmp_path / ("é" * 127)
    replace_file(target, "x")
    assert names(tmp_path) == {target.name}


def test_what_killed_writers_left_goes_and_what_others_are_writing_stays(tmp_path):
    target = tmp_path / "a.json"
    dead = f".a.json.{HOST}-{int(DEAD.stdout)}-0123.new"
    others = {
        f".a.json.{HOST}-{os.getpid()}-0123.new", ".a.json.elsewhere-1-0123.new", ".b.json.x.new",
        "a.json.new",
    }  # fmt: skip
    for name in (dead, *others):
        (tmp_path / name).write_text("half")
    replace_file(target, "x")
    assert names(tmp_path) == {"a.json", *others}


@pytest.mark.parametrize("error", [PermissionError, OverflowError])
def test_what_a_process_is_writing_that_may_not_be_asked_stays(tmp_path, monkeypatch, error):
    """Another user's, or one whose number is none on this machine."""

    def refuse(pid: int, number: int) -> None:
        raise error

    writing = tmp_path / f".summary.json.{HOST}-4711-00000000.new"
    writing.touch()
    monkeypatch.setattr(os, "kill", refuse)
    replace_file(tmp_path / "summary.json", "new")
    assert names(tmp_path) == {"summary.json", writing.name}


@pytest.fixture
def ours(tmp_path):
    """A folder of ours, and beside it one of somebody else's."""
    (tmp_path / "ours" / "a" / "b").mkdir(parents=True)
    (tmp_path / "foreign" / "b").mkdir(parents=True)
    for place in ("foreign/precious", "foreign/b/precious"):
        (tmp_path / place).write_text("x")
    return tmp_path / "ours"


def test_a_folder_goes_with_the_links_in_it_and_not_with_what_they_point_to(ours, tmp_path):
    (ours / "a" / "b" / "link").symlink_to(tmp_path / "foreign")
    (ours / "a" / "b" / "file").symlink_to(tmp_path / "foreign" / "precious")
    assert remove_folder(ours, ours / "a")
    assert not (ours / "a").exists()
    assert (tmp_path / "foreign" / "precious").read_text() == "x"


@pytest.mark.parametrize("remove", [remove_folder, lambda root, folder: remove_tree(str(folder))])
def test_a_link_is_not_removed_nor_what_it_points_to(ours, tmp_path, remove):
    (ours / "link").symlink_to(tmp_path / "foreign")
    remove(ours, ours / "link")
    assert (ours / "link" / "precious").read_text() == "x"
    if remove is remove_folder:
        assert not remove_folder(ours, ours / "link" / "b"), "a link on the way"
        assert (tmp_path / "foreign" / "b" / "precious").read_text() == "x"


def test_what_is_not_there_is_no_error(ours):
    assert not remove_folder(ours, ours / "nothing" / "here")
    remove_tree(str(ours / "nothing" / "here"))


def test_a_folder_of_texts_is_for_its_owner_alone(tmp_path):
    tmp_path.chmod(0o755)
    hide(str(tmp_path))
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
    hide("gs://bucket/texts")  # of which others take care


def test_one_lock_is_held_by_one_at_a_time_and_taken_again(tmp_path):
    with exclusive(tmp_path):
        code = f"""
import filelock, sys
try: filelock.FileLock({str(tmp_path / ".push.lock")!r}).acquire(blocking=False)
except filelock.Timeout: sys.exit(7)
"""
        assert subprocess.run([sys.executable, "-c", code]).returncode == 7
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
