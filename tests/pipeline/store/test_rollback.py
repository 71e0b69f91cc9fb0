"""Going back is pinning: nothing is deleted, and TF Serving's own file says so."""

from __future__ import annotations

import threading

import pytest

from components.version_folder.pins import Pins, config_file, read_pins, write_pins
from components.version_folder.push import in_service, push, set_aside, versions
from pipeline.store.versions import rollback
from pipeline.store.workdir import Workdir
from trainer.errors import ConfigError, ServingError
from trainer.files import exclusive


@pytest.fixture
def workdir(tmp_path):
    """Three pushed versions: 1, 2 and 3."""
    found = Workdir(tmp_path / "work", tmp_path / "work" / "serving" / "twins")
    for version in (1, 2, 3):
        model = tmp_path / "model"
        model.mkdir(exist_ok=True)
        (model / "saved_model.pb").write_text(f"model {version}")
        push(model, found.serving, {}, now=version)
    return found


@pytest.fixture
def back(workdir, new_terminal, capfd):
    def call(to=None, canary=None):
        rollback(workdir, "twins", to, canary, new_terminal())
        return capfd.readouterr().out

    return call


def test_back_is_to_the_version_before_the_one_in_service(workdir, back):
    said = back()
    assert said == f"twins: version 2 in service, until `--to latest`: {config_file(workdir.serving)}\n"
    assert read_pins(workdir.serving) == Pins((2,), {"stable": 2})
    back()
    assert read_pins(workdir.serving) == Pins((1,), {"stable": 1})
    with pytest.raises(ServingError, match="no version before 1: name one with --to"):
        back()
    assert in_service(workdir.serving) == 1
    assert versions(workdir.serving) == [1, 2, 3]


def test_to_a_version_and_to_the_newest_again(workdir, back):
    assert back("1").startswith("twins: version 1 in service")
    assert back("latest").startswith("twins: version 3 in service, and every newer one: ")
    assert read_pins(workdir.serving) is None
    assert back("3").startswith("twins: version 3 in service, until")
    assert read_pins(workdir.serving) == Pins((3,), {"stable": 3})


def test_a_canary_is_loaded_beside(workdir, back):
    assert back("2", 3).startswith("twins: version 2 in service, version 3 as canary, until `--to latest`")
    assert read_pins(workdir.serving) == Pins((2, 3), {"canary": 3, "stable": 2})
    assert in_service(workdir.serving) == 2


def test_a_new_push_leaves_the_pin(workdir, back, tmp_path):
    back("2")
    (tmp_path / "model" / "saved_model.pb").write_text("model 4")
    push(tmp_path / "model", workdir.serving, {}, now=4)
    assert read_pins(workdir.serving) == Pins((2,), {"stable": 2})
    assert in_service(workdir.serving) == 2
    back("latest")
    assert in_service(workdir.serving) == 4


@pytest.mark.parametrize(
    ("to", "canary", "said"),
    [
        ("4", None, r"--to 4: no such version in .*twins: there are 1, 2, 3"),
        ("newest", None, r"--to newest: no such version"),
        ("../1", None, r"--to \.\./1: no such version"),
        ("٢", None, "no such version"),
        ("2", 7, r"--canary 7: no such version"),
        ("2", 2, r"--canary 2: is the stable version: name another"),
        ("latest", 2, r"--canary: there is none beside --to latest"),
    ],
)
def test_what_is_not_there_cannot_be_pinned(workdir, back, to, canary, said):
    with pytest.raises(ConfigError, match=said):
        back(to, canary)
    assert not config_file(workdir.serving).exists()


def test_a_damaged_version_cannot_be_pinned(workdir, back):
    (workdir.serving / "2" / "saved_model.pb").write_text("bit rot")
    with pytest.raises(
        ServingError, match=r"twins/2: SHA-256 \w{12}, \w{12} when it was pushed: its files have"
    ):
        back()
    assert not config_file(workdir.serving).exists()


def test_without_versions_there_is_nothing_to_go_back_to(tmp_path, new_terminal):
    nothing = Workdir(tmp_path, tmp_path / "serving" / "twins")
    with pytest.raises(ServingError, match="no version yet: run `kembar run CONFIG`"):
        rollback(nothing, "twins", None, None, new_terminal())


def test_a_pin_on_versions_that_are_gone_is_no_service(workdir):
    write_pins(workdir.serving, "twins", Pins((9,), {"stable": 9}))
    assert in_service(workdir.serving) is None


def test_with_a_pause_versions_are_loaded_before_labels_move(workdir, new_terminal, monkeypatch):
    """TF Serving refuses a label of a version that it has not loaded, and then the whole file."""
    between = []
    monkeypatch.setattr(
        "pipeline.store.versions.time.sleep", lambda seconds: between.append(read_pins(workdir.serving))
    )
    rollback(workdir, "twins", "2", None, new_terminal(), wait=5)
    rollback(workdir, "twins", "1", 3, new_terminal(), wait=5)
    assert between == [Pins((2, 3)), Pins((1, 2, 3), {"stable": 2})]
    assert read_pins(workdir.serving) == Pins((1, 3), {"canary": 3, "stable": 1})
    rollback(workdir, "twins", "latest", None, new_terminal(), wait=5)
    assert read_pins(workdir.serving) is None


@pytest.mark.parametrize("wait", [0, 5])
def test_what_is_pinned_is_chosen_and_written_under_the_lock_of_the_versions(
    workdir, new_terminal, watch_lock, monkeypatch, wait
):
    monkeypatch.setattr("pipeline.store.versions.time.sleep", lambda seconds: None)
    chosen, written = (
        watch_lock(f"pipeline.store.versions.{step}", workdir.serving) for step in ("_decide", "write_pins")
    )
    rollback(workdir, "twins", "1", None, new_terminal(), wait=wait)
    assert chosen == written == [True] * (2 if wait else 1)


def test_a_rollback_waits_for_who_changes_the_store_and_chooses_of_what_is_left(workdir, new_terminal):
    ended = []

    def go_back() -> None:
        try:
            rollback(workdir, "twins", "1", None, new_terminal())
        except ConfigError as error:
            ended.append(str(error))

    other = threading.Thread(target=go_back)
    with exclusive(workdir.serving):
        other.start()
        other.join(0.2)
        assert ended == []
        set_aside(workdir.serving, [1])
    other.join(20)
    assert ended == [f"--to 1: no such version in {workdir.serving}: there are 2, 3"]
    assert read_pins(workdir.serving) is None
