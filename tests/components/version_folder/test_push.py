from __future__ import annotations

import json
import os
import shutil
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from components.version_folder import push as pushing
from components.version_folder.log import checksum, digests, read_log
from components.version_folder.pins import Pins, write_pins
from components.version_folder.push import (
    clear_aside,
    in_service,
    next_version,
    push,
    removable,
    set_aside,
    versions,
)
from trainer.errors import ServingError
from trainer.files import LOCK


@pytest.fixture
def make_model(tmp_path):
    """A folder shaped like a SavedModel whose content tells models apart."""

    def make(content: str) -> Path:
        folder = tmp_path / f"model-{content}"
        for name in ("saved_model.pb", "variables/variables.index", "assets/tokens"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(f"{content} of {name}")
        return folder

    return make


@pytest.fixture
def base(tmp_path):
    return tmp_path / "serving" / "twins"


def names(base: Path) -> set[str]:
    return {path.name for path in base.iterdir()} - {LOCK}


def test_a_push_copies_the_model_into_a_version_and_logs_it(make_model, base):
    model = make_model("a")
    target, digest = push(model, base, {"metrics": {"test": {"spearman": 0.7}}}, now=1_000.9)
    assert target == base / "1000"
    assert digest == checksum(digests(target)) == checksum(digests(model))
    assert names(base) == {"1000", "versions.json"}
    assert (target / "assets" / "tokens").read_text() == "a of assets/tokens"
    assert read_log(base) == [
        {
            "version": 1000,
            "pushed": 1000,
            "sha256": digest,
            "champion": None,
            "metrics": {"test": {"spearman": 0.7}},
        }
    ]


def test_versions_rise_even_when_the_clock_goes_back(make_model, base):
    found = [
        push(make_model(str(now)), base, {}, now=now)[0].name for now in (1_000, 1_000.5, 900, 1_001, 2_000)
    ]
    assert found == ["1000", "1001", "1002", "1003", "2000"]
    assert versions(base) == [1000, 1001, 1002, 1003, 2000]
    assert [entry["version"] for entry in read_log(base)] == versions(base)
    assert [entry["pushed"] for entry in read_log(base)] == [1000, 1000, 900, 1001, 2000]


def test_versions_are_numbers_and_folders_only(base):
    for name in ("7", "12", "007x", ".incoming-3", "v1", "-4", "1.5"):
        (base / name).mkdir(parents=True)
        (base / name / "saved_model.pb").write_text("a model")
    (base / "99").write_text("a file")
    (base / "13").mkdir()
    assert versions(base) == [7, 12]
    assert next_version(base, now=3) == 14  # an empty folder keeps its number
    assert versions(base / "not there") == []
    assert next_version(base / "not there", now=3.9) == 3


def test_folders_that_tf_serving_would_not_serve_are_no_versions(base):
    # An Arabic seven, and a number that does not fit into 64 bits.
    for name in ("7", "\u0667", "9" * 20):
        (base / name).mkdir(parents=True)
        (base / name / "saved_model.pb").write_text("a model")
    assert versions(base) == [7]


def test_the_model_in_service_is_not_pushed_again(make_model, base):
    first = push(make_model("a"), base, {}, now=1_000)
    assert push(make_model("a"), base, {}, now=2_000) == first
    assert versions(base) == [1000]
    assert len(read_log(base)) == 1


def test_a_model_that_is_not_the_newest_is_pushed_again(make_model, base):
    push(make_model("a"), base, {}, now=1_000)
    push(make_model("b"), base, {}, now=2_000)
    assert push(make_model("a"), base, {}, now=3_000)[0].name == "3000"


def test_a_number_that_was_used_is_not_used_again(make_model, base):
    push(make_model("a"), base, {}, now=1_000)
    push(make_model("b"), base, {}, now=2_000)
    shutil.rmtree(base / "2000")
    assert push(make_model("c"), base, {}, now=1_500)[0].name == "2001"


def test_the_largest_number_has_no_successor(make_model, base):
    (base / str(2**63 - 1)).mkdir(parents=True)
    assert next_version(base, 1_000) == 1_000, "an empty folder holds up nothing"
    (base / "1000").mkdir()
    assert next_version(base, 1_000) == 1_001
    (base / str(2**63 - 1) / "saved_model.pb").write_text("a model")
    with pytest.raises(ServingError, match="no version can follow the largest number"):
        push(make_model("a"), base, {}, now=1_000)


def test_the_log_says_what_was_in_service_before(make_model, base):
    for now in (1, 2, 3):
        push(make_model(str(now)), base, {}, now=now)
    write_pins(base, "twins", Pins((1,), {"stable": 1}))
    push(make_model("4"), base, {}, now=4)
    assert [entry["champion"] for entry in read_log(base)] == [None, 1, 2, 1]
    assert in_service(base) == 1


def killed(monkeypatch, name):
    """Ends the next push where it would call `name`, as kill -9 would: nothing is tidied up."""

    def die(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(pushing, name, die)
    monkeypatch.setattr(pushing, "remove_folder", lambda *_, **__: None)


@pytest.mark.parametrize("following", ["a", "b"])
def test_a_push_killed_before_its_log_entry_is_logged_by_the_next(make_model, base, monkeypatch, following):
    with monkeypatch.context() as patched:
        killed(patched, "_log")
        with pytest.raises(KeyboardInterrupt):
            push(make_model("a"), base, {"reason": "first"}, now=1_000)
    assert versions(base) == [1000]
    assert read_log(base) == []
    push(make_model(following), base, {"reason": "second"}, now=2_000)
    logged = [(entry["version"], entry["pushed"], entry["reason"]) for entry in read_log(base)]
    assert logged[0] == (1000, 1000, "first")
    assert logged[1:] == ([] if following == "a" else [(2000, 2000, "second")])
    assert names(base) == {str(version) for version in versions(base)} | {"versions.json"}


@pytest.mark.parametrize("place", ["digests", "sync_all"])
def test_a_push_killed_before_the_rename_leaves_nothing_that_counts(make_model, base, monkeypatch, place):
    push(make_model("a"), base, {}, now=1_000)
    with monkeypatch.context() as patched:
        killed(patched, place)
        with pytest.raises(KeyboardInterrupt):
            push(make_model("b"), base, {}, now=2_000)
    assert versions(base) == [1000]
    assert push(make_model("b"), base, {}, now=3_000)[0].name == "3000"
    assert [entry["version"] for entry in read_log(base)] == [1000, 3000]
    assert names(base) == {"1000", "3000", "versions.json"}


def test_leftovers_of_a_killed_push_go(make_model, base):
    (base / f".incoming-{socket.gethostname()}-1" / "variables").mkdir(parents=True)
    (base / ".removing-7-1" / "variables").mkdir(parents=True)
    push(make_model("a"), base, {}, now=1_000)
    assert names(base) == {"1000", "versions.json"}


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"version": "x"}'])
def test_an_intent_that_is_none_of_a_push_is_passed_over(make_model, base, content):
    base.mkdir(parents=True)
    (base / ".pending.json").write_text(content)
    push(make_model("a"), base, {}, now=1_000)
    assert names(base) == {"1000", "versions.json"}


@pytest.mark.parametrize("version", [1_000, 1_500], ids=["logged already", "not there"])
def test_an_intent_is_logged_once_and_only_where_its_version_is_there(make_model, base, version):
    push(make_model("a"), base, {}, now=1_000)
    before = read_log(base)
    (base / ".pending.json").write_text(json.dumps({**before[0], "version": version}))
    push(make_model("a"), base, {}, now=2_000)
    assert read_log(base) == before
    assert names(base) == {"1000", "versions.json"}


def test_leftovers_that_are_links_are_left_alone(make_model, base, tmp_path):
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "precious").touch()
    base.mkdir(parents=True)
    for name in (f".incoming-{socket.gethostname()}-1", ".removing-7-1"):
        (base / name).symlink_to(tmp_path / "foreign")
    push(make_model("a"), base, {}, now=1_000)
    assert (tmp_path / "foreign" / "precious").exists()


def test_a_push_of_another_machine_is_left_alone_while_it_may_live(make_model, base):
    for name, age in ((".incoming-elsewhere-1", 0), (".incoming-elsewhere-2", 7_200)):
        (base / name).mkdir(parents=True)
        (base / name / "saved_model.pb").write_text("half")
        for path in (base / name / "saved_model.pb", base / name):
            os.utime(path, (time.time() - age,) * 2)
    push(make_model("a"), base, {}, now=1_000)
    assert names(base) == {"1000", "versions.json", ".incoming-elsewhere-1"}


def test_pushes_at_once_do_not_disturb_each_other(make_model, base):
    models = [make_model(str(number)) for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda model: push(model, base, {"model": model.name}, now=1_000), models))
    assert sorted(int(target.name) for target, _ in found) == versions(base) == list(range(1_000, 1_006))
    for (target, digest), model in zip(found, models, strict=True):
        assert digest == checksum(digests(target)) == checksum(digests(model))
    assert {(entry["version"], entry["model"]) for entry in read_log(base)} == {
        (int(target.name), model.name) for (target, _), model in zip(found, models, strict=True)
    }
    assert names(base) == {*map(str, versions(base)), "versions.json"}


def test_nothing_is_left_when_copying_fails(make_model, base, monkeypatch):
    def fail(source, target):
        target.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(shutil, "copyfileobj", fail)
    with pytest.raises(OSError, match="disk full"):
        push(make_model("a"), base, {}, now=1_000)
    assert names(base) == set()


def test_a_copy_that_differs_does_not_appear(make_model, base, monkeypatch):
    copy = shutil.copyfileobj

    def corrupt(source, target):
        copy(source, target)
        if target.name.endswith("variables.index"):
            target.write(b"bit rot")

    monkeypatch.setattr(shutil, "copyfileobj", corrupt)
    with pytest.raises(
        ServingError,
        match=r"variables\.index: SHA-256 [0-9a-f]{12} after copying, [0-9a-f]{12} before: check the disk",
    ):
        push(make_model("a"), base, {}, now=1_000)
    assert names(base) == set()


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("assets/tokens", ""),
        ("assets/tokens", "0" * 64),
        ("assets/tokens", "f" * 64),
        ("assets/new", "f" * 64),
    ],
    ids=["missing", "lower", "higher", "new"],
)
def test_a_copy_with_other_files_does_not_appear_either(make_model, base, monkeypatch, name, digest):
    def digests_there(folder):
        found = digests(folder)
        if str(base) in str(folder):
            found = {key: value for key, value in found.items() if key != name}
            found |= {name: digest} if digest else {}
        return found

    monkeypatch.setattr(pushing, "digests", digests_there)
    before = digests(make_model("a")).get(name, "None")
    with pytest.raises(ServingError) as error:
        push(make_model("a"), base, {}, now=1_000)
    assert str(error.value).endswith(
        f"/{name}: SHA-256 {digest[:12] or None} after copying, {before[:12]} before: check the disk"
    )
    assert names(base) == set()


def test_a_copy_that_cannot_be_served_does_not_appear(make_model, base):
    seen = []

    def refuse(copy):
        seen.append({str(path.relative_to(copy)) for path in copy.rglob("*") if path.is_file()})
        raise ServingError("no")

    with pytest.raises(ServingError, match="no"):
        push(make_model("a"), base, {}, verify=refuse, now=1_000)
    assert seen == [{"saved_model.pb", "variables/variables.index", "assets/tokens"}]
    assert names(base) == set()


def test_the_newest_versions_stay_and_so_do_pinned_ones(make_model, base):
    for now in (1, 2, 3):
        push(make_model(str(now)), base, {}, now=now, keep=3)
    write_pins(base, "twins", Pins((1,), {"stable": 1, "old": 2}))
    for now in (4, 5, 6):
        push(make_model(str(now)), base, {}, now=now, keep=2)
    assert versions(base) == [1, 2, 5, 6]
    write_pins(base, "twins", None)
    push(make_model("6"), base, {}, now=7, keep=2)  # nothing new, and still the old ones go
    assert versions(base) == [5, 6]
    assert [entry["version"] for entry in read_log(base)] == [1, 2, 3, 4, 5, 6]
    assert names(base) == {"5", "6", "versions.json"}


def test_the_version_in_service_is_never_removed(make_model, base):
    for now in (1, 2, 3):
        push(make_model(str(now)), base, {}, now=now)
    assert removable(base, 1) == [1, 2]
    write_pins(base, "twins", Pins((2,), {"stable": 2, "canary": 1}))
    assert removable(base, 1) == []
    write_pins(base, "twins", Pins((2,)))
    assert removable(base, 1) == [1]
    clear_aside(base, set_aside(base, removable(base, 1)))
    assert versions(base) == [2, 3]
    assert names(base) == {"2", "3", "versions.json"}


def test_a_broken_log_is_named(make_model, base):
    push(make_model("a"), base, {}, now=1_000)
    (base / "versions.json").write_text("[")
    with pytest.raises(ServingError, match=r"versions\.json: not the log of versions: .*: restore it"):
        push(make_model("b"), base, {}, now=2_000)
    assert versions(base) == [1000]


def test_the_checksum_sees_names_and_contents(make_model):
    model = make_model("a")

    def seen():
        return checksum(digests(model))

    found = {seen()}
    (model / "assets" / "tokens").rename(model / "assets" / "words")
    found.add(seen())
    (model / "assets" / "words").write_text("")
    found.add(seen())
    (model / "assets" / "more").write_text("")
    found.add(seen())
    assert len(found) == 4


def test_the_log_is_whole_json_after_every_push(make_model, base):
    for now in range(1, 6):
        push(make_model(str(now)), base, {"reason": "é"}, now=now)
        assert [entry["version"] for entry in json.loads((base / "versions.json").read_text())] == list(
            range(1, now + 1)
        )
    assert names(base) == {"1", "2", "3", "4", "5", "versions.json"}


class Poller(threading.Thread):
    """Looks at the folder as TF Serving does, all the time, and keeps what was not whole."""

    def __init__(self, base: Path, files: dict[str, str]) -> None:
        super().__init__()
        self._base = base
        self._files = files
        self.ended = threading.Event()
        self.seen: set[str] = set()
        self.wrong: list[str] = []

    def run(self) -> None:
        while not self.ended.is_set():
            for version in versions(self._base):
                folder = self._base / str(version)
                found = {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}
                expected = {name: f"{version} of {text}" for name, text in self._files.items()}
                if found != expected:
                    self.wrong.append(f"{version}: {found}")
                self.seen.add(str(version))


def test_a_poller_never_sees_half_a_version(make_model, base):
    files = {name: name for name in ("saved_model.pb", "variables/variables.index", "assets/tokens")}
    poller = Poller(base, files)
    base.mkdir(parents=True)
    poller.start()
    try:
        for version in range(1, 51):
            push(make_model(str(version)), base, {}, now=version)
    finally:
        while str(50) not in poller.seen and poller.is_alive():
            pass
        poller.ended.set()
        poller.join()
    assert poller.wrong == []
    assert len(read_log(base)) == 50
