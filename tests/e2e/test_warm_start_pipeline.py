"""A second training that starts from the model of the first, as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

NEW = [["4.5", f"the zorblat number {at} glints", f"zorblat {at} glints brightly"] for at in range(60)]


@pytest.fixture(scope="module")
def runs(project, pairs):
    """Two runs, the second with rows that hold new words: how they ended, and their summaries."""
    project.config.write_text(project.config.read_text() + "\n[retraining]\nwarm_start = true\n")
    for split, rows in (("train", 300), ("eval", 100), ("test", 100)):
        project.write(split, pairs[split][:rows])
    found = []
    for rows in (pairs["train"][:300], [*pairs["train"][:300], *NEW]):  # type: ignore[assignment]
        project.write("train", rows)
        ran = project.kembar("run")
        found.append((ran, project.summary, json.loads((project.workdir / "training.json").read_text())))
    return project, found


def states(summary):
    return {step["id"]: step["state"] for step in summary["components"]}


def left(project) -> list[Path]:
    """What the models left for the next training, the oldest first."""
    folders = (project.workdir / "artifacts" / "Trainer" / "model").glob("*/Format-Training")
    return sorted(folders, key=lambda folder: int(folder.parent.name))


def test_the_first_training_has_nothing_to_start_from(runs):
    (ran, summary, training), _ = runs[1]
    assert ran.status == 0, ran.err
    assert summary["status"] == "pushed"
    assert states(summary)["WarmStartResolver"] == "ran"
    assert "start" not in training["details"]
    assert "start  " not in ran.err


def test_the_second_starts_from_its_model_and_learns_the_new_words(runs):
    project, (_, (ran, summary, training)) = runs
    assert ran.status == 0, ran.err
    first, second = ((folder / "tokens.txt").read_bytes().splitlines() for folder in left(project))
    assert second[: len(first)] == first
    assert {b"zorblat", b"glints", b"brightly"} <= set(second[len(first) :])
    assert training["details"]["known_tokens"] == len(first)
    assert training["details"]["new_tokens"] == len(second) - len(first)
    assert f"vocabulary  {len(first)} tokens of the model in service, " in ran.err
    assert "start  eval_spearman " in ran.err
    assert summary["status"] == "pushed"


def test_nothing_of_it_is_served(runs):
    project, _ = runs
    served = project.workdir / "serving" / "twins"
    assert len(project.served) == 2
    assert not [path for path in served.rglob("*") if path.name == "Format-Training"]
    answer = project.kembar("predict", "a zorblat glints", "the zorblat glints")
    assert answer.status == 0, answer.err


def test_a_run_in_which_nothing_has_changed_is_cached(runs):
    project, _ = runs
    ran = project.kembar("run")
    assert ran.status == 0, ran.err
    assert project.summary["status"] == "unchanged"
    judged = {"LiveMetrics", "RetrainingGate"}  # on the model that is in service now
    ran_again = {name for name, state in states(project.summary).items() if state == "ran"}
    assert {name for name in ran_again if not name.endswith("Resolver")} <= judged
    assert "Trainer" not in ran_again


def test_another_shape_is_refused_before_training(runs):
    project, _ = runs
    before = project.served
    ran = project.kembar("run", "--set", "model.embedding_dim=16")
    assert ran.status == 1, ran.err
    assert project.summary["reason"] == (
        "[retraining] warm_start = true: [model] embedding_dim = 16, but the model in service has 32: "
        "put it back; to train from scratch once, add --set retraining.warm_start=false"
    )
    assert states(project.summary)["Transform"] == "failed"
    assert project.served == before
