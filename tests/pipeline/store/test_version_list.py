from __future__ import annotations

import json
from pathlib import Path

import pytest

from components.version_folder.log import checksum, digests
from components.version_folder.pins import Pins, write_pins
from pipeline.store.versions import show
from pipeline.store.workdir import Workdir
from trainer.errors import ServingError


@pytest.fixture
def workdir(tmp_path):
    return Workdir(tmp_path / "work", tmp_path / "work" / "serving" / "twins")


def make_version(serving: Path, name: str, content: str = "a model") -> str:
    """A folder with one file; its SHA-256."""
    (serving / name).mkdir(parents=True)
    (serving / name / "saved_model.pb").write_text(content)
    return checksum(digests(serving / name))


def write_log(serving: Path, *entries: dict) -> None:
    serving.mkdir(parents=True, exist_ok=True)
    (serving / "versions.json").write_text(json.dumps(entries))


def shown(workdir, capfd, new_terminal) -> list[list[str]]:
    """The table's lines, cut where two spaces or more stand."""
    show(workdir, new_terminal())
    return [
        [cell.strip() for cell in line.split("  ") if cell.strip()]
        for line in capfd.readouterr().out.splitlines()
    ]


@pytest.mark.parametrize("word", ["NaN", "-Infinity", float("nan"), None])
def test_a_metric_without_a_value_is_listed_whatever_stands_for_it(workdir, capfd, new_terminal, word):
    entry = {"version": 1795394317, "pushed": 1795394317, "sha256": "a" * 64}
    write_log(workdir.serving, {**entry, "metrics": {"test": {"auc": word, "accuracy": 0.5}}})
    [_, line] = shown(workdir, capfd, new_terminal)
    assert line[3] == "accuracy 0.5000 auc undefined"


def test_versions_are_listed_oldest_first_with_what_became_of_them(workdir, capfd, new_terminal):
    test = {"test": {"spearman": 0.7, "mse": 1.23456}, "eval": {"spearman": 0.9}}
    names = ("1795394318", "1795394320", "1795394319")
    whole = {name: make_version(workdir.serving, name, name) for name in names}
    short = {name: digest[:12] for name, digest in whole.items()}
    write_log(
        workdir.serving,
        {"version": 1795394317, "pushed": 1795394317, "sha256": "a" * 64, "metrics": test},
        {"version": 1795394318, "pushed": 1795394000, "sha256": whole["1795394318"], "metrics": test},
        {"version": 1795394320, "pushed": 1795394320, "sha256": whole["1795394320"]},
    )
    assert shown(workdir, capfd, new_terminal) == [
        ["version", "pushed", "state", "test metrics", "sha256"],
        ["1795394317", "2026-11-23T00:38:37+00:00", "gone", "mse 1.2346 spearman 0.7000", "a" * 12],
        [
            "1795394318",
            "2026-11-23T00:33:20+00:00",
            "kept",
            "mse 1.2346 spearman 0.7000",
            whole["1795394318"][:12],
        ],
        ["1795394319", "unknown", "kept"],
        ["1795394320", "2026-11-23T00:38:40+00:00", "in service", short["1795394320"]],
    ]


def test_pins_are_shown(workdir, capfd, new_terminal):
    for version in (7, 8, 9):
        make_version(workdir.serving, str(version))
    write_pins(workdir.serving, "twins", Pins((7, 8, 9), {"stable": 7, "canary": 9}))
    states = [line[2] for line in shown(workdir, capfd, new_terminal)[1:]]
    assert states == ["in service, stable", "kept, pinned", "kept, canary"]


def test_a_version_without_a_log_is_in_service(workdir, capfd, new_terminal):
    make_version(workdir.serving, "7")
    assert shown(workdir, capfd, new_terminal)[1:] == [["7", "unknown", "in service"]]


def test_damaged_versions_and_folders_that_are_none_are_told_and_count_for_nothing(
    workdir, capfd, new_terminal
):
    whole = {version: make_version(workdir.serving, str(version), str(version)) for version in (7, 8)}
    log = [{"version": v, "pushed": v, "sha256": digest} for v, digest in whole.items()]
    write_log(workdir.serving, *log)
    (workdir.serving / "8" / "saved_model.pb").write_text("9")
    (workdir.serving / "99").mkdir()
    show(workdir, new_terminal())
    said = capfd.readouterr()
    states = [[cell for cell in line.split("  ") if cell][2].strip() for line in said.out.splitlines()[1:]]
    assert states == ["in service", "damaged", "no version"]
    damaged, empty = said.err.splitlines()
    assert damaged.startswith(f"warning: {workdir.serving}/8: SHA-256 ")
    assert f"{whole[8][:12]} when it was pushed: its files have changed: `kembar run` pushes it" in damaged
    assert empty == f"warning: {workdir.serving}/99: is empty, so it is no version: remove it or mend it"


def test_without_any_version_the_error_says_what_to_do(workdir, new_terminal):
    with pytest.raises(ServingError) as caught:
        show(workdir, new_terminal())
    assert str(caught.value) == f"{workdir.serving}: no version yet: run `kembar run CONFIG`"
