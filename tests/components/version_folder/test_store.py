"""What counts as a version: what can be read, and is what was pushed."""

from __future__ import annotations

import os
import shutil

import pytest

from components.version_folder.log import damage, defect, digests, folders, numbered, read_log
from components.version_folder.pins import Pins, write_pins
from components.version_folder.push import in_service, next_version, push, removable, set_aside, versions
from trainer.errors import ServingError


@pytest.fixture
def base(tmp_path):
    """Versions 1, 2 and 3, pushed."""
    model = tmp_path / "model"
    (model / "assets").mkdir(parents=True)
    for version in (1, 2, 3):
        (model / "saved_model.pb").write_text(str(version))
        (model / "assets" / "tokens").write_text("guitar\ndog\n")
        push(model, tmp_path / "twins", {}, now=version)
    return tmp_path / "twins"


def swap(folder) -> None:
    (folder / "assets" / "tokens").write_text("dog\nguitar\n")


def test_a_damaged_version_is_not_in_service_and_the_next_push_replaces_it(base, tmp_path):
    assert [damage(base, version) for version in (1, 2, 3)] == [""] * 3
    swap(base / "3")
    assert "its files have changed" in damage(base, 3)
    assert in_service(base) == 2
    target, _ = push_again(base, tmp_path)
    assert target.name == "4"
    assert in_service(base) == 4


def test_a_version_that_cannot_be_read_is_not_taken_for_the_model_that_is_pushed(base, tmp_path):
    os.mkfifo(base / "3" / "pipe")  # to open it would last until somebody writes
    target, _ = push_again(base, tmp_path)
    assert target.name == "4"
    assert in_service(base) == 4


def push_again(base, tmp_path):
    return push(tmp_path / "model", base, {}, now=4)


@pytest.mark.parametrize(
    "harm",
    [
        lambda f: (f / "assets" / "tokens").unlink(),
        lambda f: (f / "new").touch(),
        lambda f: os.mkfifo(f / "pipe"),  # to open it would last until somebody writes
    ],
)
def test_a_file_too_few_or_too_many_is_damage(base, harm):
    harm(base / "3")
    assert damage(base, 3)
    assert in_service(base) == 2


def test_of_a_stable_version_that_is_damaged_the_other_pinned_one_answers(base):
    write_pins(base, "twins", Pins((1, 2), {"stable": 2, "canary": 1}))
    assert in_service(base) == 2
    swap(base / "2")
    assert in_service(base) == 1


def test_a_damaged_version_counts_for_none_of_the_newest_that_stay(base):
    swap(base / "3")
    assert removable(base, 1) == [1]
    swap(base / "2")
    assert removable(base, 1) == []


def test_numbered_folders_without_a_model_hold_up_nothing(base, tmp_path):
    (base / "9999").mkdir()
    (base / "8888").mkdir()
    (base / "8888" / "notes.txt").write_text("mine")
    (base / "7777").symlink_to(tmp_path / "nowhere")
    assert versions(base) == [1, 2, 3]
    assert in_service(base) == 3
    assert [defect(base / name) for name in ("9999", "8888")] == ["is empty", "holds no saved_model.pb"]
    assert push_again(base, tmp_path)[0] == base / "3", "the newest version is the same model"
    assert next_version(base, 0) == 10_000
    assert removable(base, 1) == [1, 2]


def test_what_cannot_be_read_is_told_and_holds_up_nothing(base, monkeypatch):
    from components.version_folder import log as store

    def scan(folder):
        if folder == base / "2":
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    def refuse(folder):
        if folder.endswith("/3"):
            raise PermissionError(13, "Permission denied", f"{folder}/assets/tokens")
        return digests(folder)

    scandir = store.os.scandir
    monkeypatch.setattr(store.os, "scandir", scan)
    monkeypatch.setattr(store, "digests", refuse)
    assert defect(base / "2") == "cannot be read: Permission denied"
    assert damage(base, 3) == "assets/tokens cannot be read: Permission denied"
    assert in_service(base) == 1


def test_only_what_was_pushed_here_is_removed(base, tmp_path):
    shutil.copytree(base / "1", base / "0007")
    shutil.move(base / "1", tmp_path / "elsewhere")
    (base / "1").symlink_to(tmp_path / "elsewhere")
    assert versions(base) == [1, 2, 3, 7]
    assert removable(base, 1) == [2, 3], "1 is a link, and 7 was pushed by nobody"
    set_aside(base, [2])
    assert (tmp_path / "elsewhere" / "saved_model.pb").is_file()


def test_a_number_may_be_spelt_with_zeros(base):
    (base / "3").rename(base / "003")
    assert folders(base)[3] == base / "003"
    assert in_service(base) == 3
    assert not damage(base, 3)


def test_what_others_pin_in_the_same_folder_is_not_removed(base):
    (base.parent / "models.config").write_text(
        f'model_config_list {{ config {{ name: "alias" base_path: "{base}" '
        "model_version_policy { specific { versions: 1 } } } }"
    )
    assert in_service(base) == 3, "an entry is ours by its name"
    assert removable(base, 1) == [2]


@pytest.mark.parametrize("content", ["{}", "[7]", '[{"version": 1}]', '[{"version": "1", "pushed": 1}]'])
def test_a_log_of_something_else_is_named(base, content):
    (base / "versions.json").write_text(content)
    with pytest.raises(ServingError, match="not the log of versions: no list of pushes"):
        read_log(base)


def test_a_version_is_read_again_only_when_it_has_changed(base, monkeypatch):
    from components.version_folder import log as store

    read = []
    monkeypatch.setattr(store, "digests", lambda folder: read.append(folder) or digests(folder))
    for _ in range(3):
        damage(base, 3)
    assert len(read) == 1
    swap(base / "3")
    assert damage(base, 3)
    assert len(read) == 2


def test_folders_that_are_no_folder(tmp_path):
    (tmp_path / "file").touch()
    assert numbered(tmp_path / "file") == numbered(tmp_path / "nothing") == {}
    assert read_log(tmp_path / "file") == []
