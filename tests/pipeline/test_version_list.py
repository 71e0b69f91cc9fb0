from __future__ import annotations

import json
from pathlib import Path

import pytest

from components.atomic_pusher.pins import Pins, write_pins
from pipeline.versions import show
from pipeline.workdir import Workdir
from trainer.errors import ServingError


@pytest.fixture
def workdir(tmp_path):
    return Workdir(tmp_path / "work", tmp_path / "work" / "serving" / "twins")


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
    write_log(
        workdir.serving,
        {"version": 1795394317, "pushed": 1795394317, "sha256": "a" * 64, "metrics": test},
        {"version": 1795394318, "pushed": 1795394000, "sha256": "b" * 64, "metrics": test},
        {"version": 1795394320, "pushed": 1795394320, "sha256": "c" * 64},
    )
    for name in ("1795394318", "1795394320", "1795394319"):
        (workdir.serving / name).mkdir()
    assert shown(workdir, capfd, new_terminal) == [
        ["version", "pushed", "state", "test metrics", "sha256"],
        ["1795394317", "2026-11-23T00:38:37+00:00", "gone", "mse 1.2346 spearman 0.7000", "a" * 12],
        ["1795394318", "2026-11-23T00:33:20+00:00", "kept", "mse 1.2346 spearman 0.7000", "b" * 12],
        ["1795394319", "unknown", "kept"],
        ["1795394320", "2026-11-23T00:38:40+00:00", "in service", "c" * 12],
    ]


def test_pins_are_shown(workdir, capfd, new_terminal):
    for version in (7, 8, 9):
        (workdir.serving / str(version)).mkdir(parents=True)
    write_pins(workdir.serving, "twins", Pins((7, 8, 9), {"stable": 7, "canary": 9}))
    states = [line[2] for line in shown(workdir, capfd, new_terminal)[1:]]
    assert states == ["in service, stable", "kept, pinned", "kept, canary"]


def test_a_version_without_a_log_is_in_service(workdir, capfd, new_terminal):
    (workdir.serving / "7").mkdir(parents=True)
    assert shown(workdir, capfd, new_terminal)[1:] == [["7", "unknown", "in service"]]


def test_without_any_version_the_error_says_what_to_do(workdir, new_terminal):
    with pytest.raises(ServingError) as caught:
        show(workdir, new_terminal())
    assert str(caught.value) == f"{workdir.serving}: no version yet: run `kembar run CONFIG`"
