from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import pytest

from components.atomic_pusher import versions as pushing
from components.atomic_pusher.versions import checksum, next_version, push, read_log, versions
from trainer.errors import ServingError


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
    return {path.name for path in base.iterdir()}


def test_a_push_copies_the_model_into_a_version_and_logs_it(make_model, base):
    model = make_model("a")
    target, digest = push(model, base, {"metrics": {"test": {"spearman": 0.7}}}, now=1_000.9)
    assert target == base / "1000"
    assert digest == checksum(target) == checksum(model)
    assert names(base) == {"1000", "versions.json"}
    assert (target / "assets" / "tokens").read_text() == "a of assets/tokens"
    assert read_log(base) == [
        {"version": 1000, "pushed": 1000, "sha256": digest, "metrics": {"test": {"spearman": 0.7}}}
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
    (base / "99").write_text("a file")
    assert versions(base) == [7, 12]
    assert next_version(base, now=3) == 13
    assert versions(base / "not there") == []
    assert next_version(base / "not there", now=3.9) == 3


def test_folders_that_tf_serving_would_not_serve_are_no_versions(base):
    # An Arabic seven, and a number that does not fit into 64 bits.
    for name in ("7", "\u0667", "9" * 20):
        (base / name).mkdir(parents=True)
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


def test_a_push_killed_before_its_log_entry_is_logged_by_the_next(make_model, base, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(pushing, "_append", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            push(make_model("a"), base, {"reason": "r"}, now=1_000)
    assert versions(base) == [1000]
    assert read_log(base) == []
    _, digest = push(make_model("a"), base, {"reason": "r"}, now=2_000)
    assert versions(base) == [1000]
    assert read_log(base) == [{"version": 1000, "pushed": 2000, "sha256": digest, "reason": "r"}]


def test_leftovers_of_a_killed_push_go(make_model, base):
    (base / ".incoming-123" / "variables").mkdir(parents=True)
    push(make_model("a"), base, {}, now=1_000)
    (base / ".incoming-456").mkdir()
    push(make_model("a"), base, {}, now=1_000)
    assert names(base) == {"1000", "versions.json"}


def test_nothing_is_left_when_copying_fails(make_model, base, monkeypatch):
    def fail(source, target):
        Path(target).mkdir()
        (Path(target) / "saved_model.pb").write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr(shutil, "copytree", fail)
    with pytest.raises(OSError, match="disk full"):
        push(make_model("a"), base, {}, now=1_000)
    assert names(base) == set()


def test_a_copy_that_differs_does_not_appear(make_model, base, monkeypatch):
    copy = shutil.copytree

    def corrupt(source, target):
        monkeypatch.setattr(shutil, "copytree", copy)  # it calls itself by this name
        copy(source, target)
        (Path(target) / "saved_model.pb").write_text("bit rot")

    monkeypatch.setattr(shutil, "copytree", corrupt)
    with pytest.raises(
        ServingError, match=r"checksum [0-9a-f]{12} after copying, [0-9a-f]{12} before: check the disk"
    ):
        push(make_model("a"), base, {}, now=1_000)
    assert names(base) == set()


def test_the_checksum_sees_names_and_contents(make_model):
    model = make_model("a")
    seen = {checksum(model)}
    (model / "assets" / "tokens").rename(model / "assets" / "words")
    seen.add(checksum(model))
    (model / "assets" / "words").write_text("")
    seen.add(checksum(model))
    (model / "assets" / "more").write_text("")
    seen.add(checksum(model))
    assert len(seen) == 4


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
