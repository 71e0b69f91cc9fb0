"""Every file that others read while it is written: flushed, and put in its place by one rename."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.kubeflow.records import Records
from pipeline.outputs import write_output
from pipeline.runs import summary
from pipeline.scheduling import job
from pipeline.store import outcome
from pipeline.store.backup import back_up, backup_of
from pipeline.store.workdir import Workdir
from trainer.errors import ConfigError


def back_up_twice(root: Path, number: int) -> Path:
    workdir = Workdir(root, root / "serving" / "twins")
    with sqlite3.connect(workdir.metadata) as connection:
        connection.execute(f"CREATE TABLE t{number} (x)")
    connection.close()
    back_up(workdir, lambda line: pytest.fail(line))
    return backup_of(workdir)


def show(root: Path, number: int) -> Path:
    (root / "source").write_text(f"{number}")
    summary.show_file(root / "source", root / "training.json")
    return root / "training.json"


def record(root: Path, number: int) -> Path:
    Records(root).write("Trainer", {"state": number})
    return root / "Trainer.json"


def summarize(root: Path, number: int) -> Path:
    outcome.write(root, {"status": number})
    return root / "summary.json"


def schedule(root: Path, number: int) -> Path:
    path = root / "twins.timer"
    path.unlink(missing_ok=True)
    job.write({path: f"{number}"})
    return path


def output(root: Path, number: int) -> Path:
    write_output(root / "page.html", f"{number}")
    return root / "page.html"


@pytest.mark.parametrize("write", [summarize, record, show, schedule, output, back_up_twice])
def test_it_is_renamed_into_place_and_flushed_before(tmp_path, disk, write: Callable[[Path, int], Path]):
    write(tmp_path, 1)
    disk.events.clear()
    path = write(tmp_path, 2)
    assert [what for what, target in disk.events if target == path and what != "remove"] == ["rename"]
    assert [what for what, target in disk.events if target == tmp_path] == ["flush"]
    assert [left.name for left in tmp_path.iterdir() if left.name.endswith(".new")] == []


def test_an_output_that_cannot_be_written_is_one_line(tmp_path):
    with pytest.raises(ConfigError, match="--output /dev/full: cannot be written: No space left on device"):
        write_output(Path("/dev/full"), "x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigError, match="cannot be written: Is a directory"):
        write_output(tmp_path / "folder", "x")


def test_a_folder_that_people_look_at_is_replaced_and_keeps_what_they_put_there(tmp_path):
    for number in (1, 2):
        source = tmp_path / f"artifact-{number}"
        source.mkdir()
        (source / f"train-0000{number}-of-00003.jsonl").write_text("{}")
    shown = tmp_path / "quarantine"
    summary.show_folder(tmp_path / "artifact-1", tmp_path, "quarantine")
    (shown / "notes.txt").write_text("mine")
    summary.show_folder(tmp_path / "artifact-2", tmp_path, "quarantine")
    assert sorted(path.name for path in shown.iterdir()) == ["notes.txt", "train-00002-of-00003.jsonl"]
    summary.show_folder(None, tmp_path, "quarantine")
    assert [path.name for path in shown.iterdir()] == ["notes.txt"]
    # Killed between two renames: what is not ours is in the old folder alone.
    shown.rename(tmp_path / ".quarantine.old")
    summary.show_folder(tmp_path / "artifact-1", tmp_path, "quarantine")
    assert sorted(path.name for path in shown.iterdir()) == ["notes.txt", "train-00001-of-00003.jsonl"]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    (shown / "notes.txt").unlink()
    summary.show_folder(None, tmp_path, "quarantine")
    assert not shown.exists()


def test_a_link_in_place_of_such_a_folder_is_left_alone(tmp_path):
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "rows.jsonl").write_text("mine")
    (tmp_path / "quarantine").symlink_to(tmp_path / "foreign")
    with pytest.raises(OSError, match="quarantine: is a link: remove it"):
        summary.show_folder(None, tmp_path, "quarantine")
    assert (tmp_path / "foreign" / "rows.jsonl").read_text() == "mine"
