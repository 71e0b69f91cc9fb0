"""What is served is what was pushed, and what cannot be served holds up nothing."""

from __future__ import annotations

import json
import os

import pytest

from components.version_folder.log import checksum, digests
from components.version_folder.pins import Pins, write_pins
from pipeline.serving.errors import RequestError, ServingError
from pipeline.serving.folder import load_served
from pipeline.serving.model import LoadedModel
from pipeline.serving.model_store import ModelStore


@pytest.fixture
def log(base_dir):
    """Writes the log of versions as a push would, of what is there now."""

    def write(*numbers: int) -> None:
        entries = [
            {"version": n, "pushed": n, "sha256": checksum(digests(base_dir / str(n)))} for n in numbers
        ]
        (base_dir / "versions.json").write_text(json.dumps(entries))

    return write


def damage(folder) -> None:
    with (folder / "saved_model.pb").open("ab") as file:
        file.write(b"\0")


def states(store) -> list[tuple[int, str]]:
    return [(status.version, status.state) for status in store.statuses()]


def test_a_damaged_version_is_told_and_the_one_before_it_serves(base_dir, push, log, caplog):
    push(1)
    second = push(2, offset=2)
    log(1, 2)
    damage(second)
    store = ModelStore(base_dir)
    assert store.refresh()
    assert states(store) == [(2, "END"), (1, "AVAILABLE")]
    assert "its files have changed: `kembar run` pushes it again" in store.statuses()[0].error
    caplog.clear()
    assert load_served(base_dir).version == 1
    assert f"{second}: SHA-256 " in caplog.text


def test_where_nothing_else_is_there_a_damaged_version_is_refused(base_dir, push, log):
    first = push(1)
    log(1)
    damage(first)
    store = ModelStore(base_dir)
    assert not store.refresh()
    assert store.current is None
    with pytest.raises(ServingError, match=r"its files have changed: .*; no other version can be served$"):
        load_served(base_dir)


def test_without_a_log_that_can_be_read_versions_are_served_and_that_is_told_once(base_dir, push, caplog):
    push(1)
    (base_dir / "versions.json").write_text("[")
    store = ModelStore(base_dir)
    assert store.refresh()
    store.refresh()
    assert caplog.text.count("served without being compared with what was pushed") == 1
    assert load_served(base_dir).version == 1


def test_a_numbered_folder_that_is_no_version_is_told_once_and_holds_up_nothing(base_dir, push, caplog):
    push(1)
    (base_dir / "9999999999").mkdir()
    (base_dir / "8888888888").mkdir()
    (base_dir / "8888888888" / "notes.txt").write_text("mine")
    store = ModelStore(base_dir)
    assert store.refresh()
    store.refresh()
    assert store.current.version == 1
    assert caplog.text.count(f"{base_dir}/9999999999: is no version: it is empty") == 1
    assert caplog.text.count(f"{base_dir}/8888888888: is no version: it holds no saved_model.pb") == 1
    assert load_served(base_dir).version == 1


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Disk:
    """Loads versions, unless it is out of order."""

    def __init__(self) -> None:
        self.broken = True
        self.tries: list[float] = []

    def load(self, path, clock) -> LoadedModel:
        self.tries.append(clock())
        if self.broken:
            raise ServingError("the network is away")
        return LoadedModel.load(path)


def test_a_version_that_cannot_be_read_is_tried_again_after_pauses_that_grow(base_dir, push, caplog):
    clock, disk = Clock(), Disk()
    push(1)
    store = ModelStore(base_dir, lambda path: disk.load(path, clock), clock=clock)
    while clock.now < 1_000:
        store.refresh()
        clock.now += 1
    assert disk.tries == [0, 2, 6, 14, 30, 62, 126, 254, 510, 810]
    assert caplog.text.count("version 1 cannot be served") == 1, "told once, not each time"
    disk.broken = False
    while store.current is None:
        clock.now += 1
        store.refresh()
    assert (store.current.version, clock.now) == (1, 1_110)
    assert store.load_failures == 10


def test_who_may_read_a_version_is_a_change_of_it(base_dir, push):
    clock, disk = Clock(), Disk()
    folder = push(1)
    store = ModelStore(base_dir, lambda path: disk.load(path, clock), clock=clock)
    store.refresh()
    store.refresh()
    assert len(disk.tries) == 1
    os.chmod(folder / "saved_model.pb", 0o640)
    store.refresh()
    assert len(disk.tries) == 2
    os.chmod(folder, 0o700)
    store.refresh()
    assert len(disk.tries) == 3


@pytest.fixture
def recorded(monkeypatch):
    """Every state that a reader could have met."""
    met = []

    class Recording(ModelStore):
        def __setattr__(self, name, value):
            if name == "_serving":
                met.append(value)
            super().__setattr__(name, value)

    return Recording, met


def test_a_label_moves_without_a_moment_in_which_it_is_nowhere(base_dir, push, recorded):
    kind, met = recorded
    push(1)
    push(2, offset=2)
    write_pins(base_dir, "twin", Pins((1,), {"stable": 1}))
    store = kind(base_dir, name="twin")
    store.refresh()
    met.clear()
    for pins in (
        Pins((2,), {"stable": 2}),
        Pins((1, 2), {"stable": 1, "canary": 2}),
        Pins((1,), {"stable": 1}),
    ):
        write_pins(base_dir, "twin", pins)
        store.refresh()
        assert store.find("twin", label="stable").version == pins.labels["stable"]
    assert all(now.labels["stable"] in now.loaded for now in met)
    assert [status.version for status in store.statuses() if status.state == "AVAILABLE"] == [1]


def test_a_label_stays_where_it_is_while_its_new_version_cannot_answer(base_dir, push):
    push(1)
    write_pins(base_dir, "twin", Pins((1,), {"stable": 1}))
    store = ModelStore(base_dir, name="twin")
    store.refresh()
    write_pins(base_dir, "twin", Pins((2, 3), {"stable": 2}))
    push(3, offset=2)
    store.refresh()
    assert store.find("twin", label="stable").version == 1
    assert [status.version for status in store.statuses() if status.state == "AVAILABLE"] == [3, 1]
    push(2)
    store.refresh()
    assert store.find("twin", label="stable").version == 2
    assert [status.version for status in store.statuses() if status.state == "AVAILABLE"] == [3, 2]
    write_pins(base_dir, "twin", None)
    store.refresh()
    with pytest.raises(RequestError, match="Unrecognized servable version label: stable"):
        store.find("twin", label="stable")
