"""In which order a push writes, flushes and renames: nothing half-done is visible, and nothing is lost."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from components.version_folder.log import LOG, numbered, read_log
from components.version_folder.pins import Pins, write_pins
from components.version_folder.push import PENDING, push, versions

FILES = ("saved_model.pb", "variables/variables.index", "assets/tokens")
NAMES = {Path(name).name for name in FILES}


@pytest.fixture
def model(tmp_path) -> Path:
    folder = tmp_path / "model"
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"of {name}")
    return folder


@pytest.fixture
def base(tmp_path) -> Path:
    found = tmp_path / "serving" / "twins"
    found.mkdir(parents=True)
    return found


def test_a_version_appears_flushed_and_by_one_rename_between_its_intent_and_its_log(model, base, disk):
    push(model, base, {}, now=7)
    steps = [(what, path.name) for what, path in disk.events if path.parent == base or path == base]
    order = [step for step in steps if step[1] in (PENDING, "7", base.name, LOG)]
    assert order == [
        ("rename", PENDING), ("flush", base.name),
        ("rename", "7"), ("flush", base.name),
        ("rename", LOG), ("flush", base.name),
        ("remove", PENDING),
    ]  # fmt: skip
    assert not [step for step in disk.events if step[0] == "rename unflushed"]


def test_a_version_goes_by_one_rename_before_any_of_its_files(model, base, disk):
    push(model, base, {}, now=7)
    (model / "assets" / "tokens").write_text("others")
    disk.events.clear()
    push(model, base, {}, now=8, keep=1)
    touched = [(what, path) for what, path in disk.events if "7" in path.parts or ".removing-7-" in str(path)]
    assert touched[0][0].startswith("rename")
    assert touched[0][1].name.startswith(".removing-7-")
    # Before its files go, its folder's entry has: a power loss brings no half of it back.
    gone = disk.events.index(touched[0])
    first = next(at for at, (what, path) in enumerate(disk.events) if what == "remove" and path.name in NAMES)
    assert ("flush", base) in disk.events[gone:first]
    assert not (base / "7").exists()
    # A removal names its files by handle; none of them was reached by the version's own name.
    assert not [path for what, path in disk.events if what == "remove" and "7" in path.parts]


@pytest.mark.parametrize("change", ["pins", "log"])
def test_pins_and_log_are_replaced_and_never_written_in_place(model, base, disk, change):
    push(model, base, {}, now=7)
    write_pins(base, "twins", Pins((7,), {"stable": 7}))
    path = base / LOG if change == "log" else base.parent / "models.config"
    old, inode = path.read_text(), path.stat().st_ino
    disk.events.clear()
    with path.open() as reader:
        if change == "log":
            (model / "assets" / "tokens").write_text("others")
            push(model, base, {}, now=8)
        else:
            write_pins(base, "twins", None)
        assert reader.read() == old
    assert path.stat().st_ino != inode
    assert ("rename", path) in disk.events
    assert disk.events[disk.events.index(("rename", path)) + 1] == ("flush", path.parent)


def test_a_reader_that_looks_at_every_moment_of_a_slow_copy_sees_no_half_version(model, base, monkeypatch):
    """Looks between any two parts of a file, and between any two files."""
    push(model, base, {}, now=7)
    (model / "assets" / "tokens").write_text("others " * 10)
    whole = {name: (model / name).read_bytes() for name in FILES}
    seen = []

    def look() -> None:
        for version, folder in numbered(base).items():
            content = {
                str(path.relative_to(folder)): path.read_bytes()
                for path in folder.rglob("*")
                if path.is_file()
            }
            seen.append(version)
            assert version == 7 or content == whole

    def slowly(source, target):
        while part := source.read(3):
            target.write(part)
            target.flush()
            look()

    monkeypatch.setattr(shutil, "copyfileobj", slowly)
    push(model, base, {}, verify=lambda copy: look(), now=8)
    assert len(seen) > 30
    assert set(seen) == {7}
    assert versions(base) == [7, 8]
    assert [entry["version"] for entry in read_log(base)] == [7, 8]


def test_a_reader_that_looks_at_every_moment_of_a_removal_sees_no_half_version(model, base, monkeypatch):
    push(model, base, {}, now=7)
    (model / "assets" / "tokens").write_text("others")
    unlink, seen = os.unlink, []

    def slowly(path, **more):
        for at in range(2):
            for version, folder in numbered(base).items():
                seen.append(version)
                assert [name for name in FILES if not (folder / name).is_file()] == []
            if not at:
                unlink(path, **more)

    monkeypatch.setattr(os, "unlink", slowly)
    push(model, base, {}, now=8, keep=1)
    assert seen[-6:] == [8] * 6
    assert versions(base) == [8]
