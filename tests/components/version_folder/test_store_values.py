"""What the log and the folders of versions say, to the value."""

from __future__ import annotations

import hashlib
import json
import os
from datetime import timedelta
from pathlib import Path

import pytest

from components.version_folder import log as store
from components.version_folder.log import (
    checksum,
    damage,
    defect,
    digests,
    folders,
    numbered,
    read_log,
    stamp,
)
from components.version_folder.pins import Pins, write_pins
from components.version_folder.push import age_of, damaged, in_service, models_of, next_version, push
from trainer.errors import ServingError


@pytest.fixture
def model(tmp_path) -> Path:
    folder = tmp_path / "model"
    for name in ("saved_model.pb", "assets/deep/er/tokens"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


@pytest.fixture
def base(model, tmp_path) -> Path:
    """Version 7, pushed."""
    push(model, tmp_path / "twins", {"model": "first"}, now=7)
    return tmp_path / "twins"


def entry(version: int, **changes: object) -> dict[str, object]:
    return {"version": version, "pushed": 1, "sha256": "ab", **changes}


def log(base: Path, *entries: object) -> None:
    (base / "versions.json").write_text(json.dumps(entries))


def test_the_largest_version_is_the_largest_number_of_64_bits_with_a_sign(tmp_path):
    for number in (0, 2**63 - 1, 2**63):
        (tmp_path / str(number)).mkdir()
    assert list(numbered(tmp_path)) == [0, 2**63 - 1]


def test_a_checksum_is_of_names_and_contents_in_the_order_of_their_folders():
    expected = hashlib.sha256(b"a/b\0\x02" + b"a.b\0\x01").hexdigest()
    assert checksum({"a.b": "01", "a/b": "02"}) == checksum({"a/b": "02", "a.b": "01"}) == expected


def test_a_file_of_many_parts_has_its_own_digest(tmp_path):
    content = os.urandom(1024) * 2_500
    (tmp_path / "large").write_bytes(content)
    assert digests(f"{tmp_path}/") == {"large": hashlib.sha256(content).hexdigest()}


def test_damage_names_both_checksums_and_the_last_line_of_the_log_counts(base):
    whole = read_log(base)[0]["sha256"]
    assert damage(base, 7) == ""
    log(base, entry(7, sha256=whole), entry(8), entry(7, sha256="c" * 64))
    assert damage(base, 7) == (f"SHA-256 {whole[:12]}, {'c' * 12} when it was pushed: its files have changed")
    assert damage(base, 9) == "", "of what nobody has pushed nothing is known"


@pytest.mark.parametrize(
    "wrong", [{"version": "7"}, {"pushed": "1"}, {"pushed": None}, {"sha256": 7}, {"version": None}]
)
def test_an_entry_has_all_of_its_parts(base, wrong):
    log(base, entry(1), entry(2) | wrong, entry(3))
    with pytest.raises(ServingError, match="no list of pushes"):
        read_log(base)
    log(base, entry(1), entry(3))
    assert [found["version"] for found in read_log(base)] == [1, 3]


def test_a_log_that_cannot_be_read_is_named(base):
    (base / "versions.json").unlink()
    (base / "versions.json").mkdir()
    with pytest.raises(ServingError, match=r"versions\.json: cannot be read: Is a directory: let this user"):
        read_log(base)


def test_a_marker_that_is_a_folder_is_none(base):
    (base / "8" / "saved_model.pb").mkdir(parents=True)
    assert defect(base / "8") == "saved_model.pb is no file"
    assert list(folders(base)) == [7]


def test_what_vanishes_while_it_is_looked_at_is_left_out(tmp_path):
    for number in range(20):
        (tmp_path / f"link{number}").symlink_to("nowhere")
        (tmp_path / f"file{number}").touch()
    assert [place for place, *_ in stamp(tmp_path)] == sorted([".", *(f"file{n}" for n in range(20))])


def test_a_folder_that_cannot_be_seen_is_one(base, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(store.Path, "is_dir", refuse)
    assert list(numbered(base)) == [7]


def test_the_age_of_a_version_is_counted_from_its_last_push(base):
    log(base, entry(7, pushed=10), entry(8, pushed=20), entry(7, pushed=30))
    assert age_of(base, 7, now=90.0) == timedelta(minutes=1)
    assert age_of(base, 8, now=20.5) == timedelta(seconds=0.5)
    assert age_of(base, 9, now=90.0) is None
    assert age_of(base, None, now=90.0) is None


def test_models_are_known_by_where_they_came_from(base):
    log(base, entry(7, model="first"), entry(8), entry(9, model="second"))
    assert models_of(base) == {"first": 7, "second": 9}


def test_the_version_that_was_pushed_last_may_be_damaged(base, model):
    assert damaged(base) is None
    (base / "7" / "saved_model.pb").write_text("other")
    assert damaged(base) == 7
    push(model, base, {}, now=8)
    assert damaged(base) is None, "an older one is not the last"
    log(base)
    assert damaged(base) is None
    log(base, entry(99))
    assert damaged(base) is None, "it is not there"


def test_the_stable_version_is_in_service_and_else_the_highest(base, model):
    for version in (8, 9):
        (model / "saved_model.pb").write_text(str(version))
        push(model, base, {}, now=version)
    write_pins(base, "twins", Pins((7, 8), {"stable": 7}))
    assert in_service(base) == 7
    write_pins(base, "twins", Pins((7, 8), {"old": 7}))
    assert in_service(base) == 8
    write_pins(base, "twins", Pins((8,), {"stable": 99}))
    assert in_service(base) == 8
    write_pins(base, "twins", Pins((98, 99)))
    assert in_service(base) is None


@pytest.mark.parametrize("left", [[], [entry(5)], [entry(9)]], ids=["none", "an older", "a newer"])
def test_a_log_that_was_lost_is_written_anew_by_the_next_push_of_the_same_model(base, model, left):
    whole = read_log(base)[0]["sha256"]
    log(base, *left)
    assert push(model, base, {"reason": "again"}, now=50.9) == (base / "7", whole)
    assert read_log(base) == [*left, {"version": 7, "pushed": 50, "sha256": whole, "reason": "again"}]


def test_below_the_largest_number_the_next_is_one_that_is_free(base):
    (base / str(2**63 - 1)).mkdir()
    for number in (8, 9, 11):
        (base / str(number)).mkdir()
    assert next_version(base, 3) == 10
    assert next_version(base, 20) == 20
    assert next_version(base, 11) == 12


def test_above_the_largest_number_but_one_there_is_the_largest(base):
    (base / str(2**63 - 2)).mkdir()
    assert next_version(base, 3) == 2**63 - 1
    (base / str(2**63 - 2) / "saved_model.pb").touch()
    (base / str(2**63 - 1)).mkdir()
    with pytest.raises(ServingError, match="no version can follow the largest number"):
        next_version(base, 3)


def test_below_the_largest_number_what_was_pushed_once_is_not_pushed_again(base):
    (base / str(2**63 - 1)).mkdir()
    log(base, entry(7), entry(12))
    assert next_version(base, 3) == 13
