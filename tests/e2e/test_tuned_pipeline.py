"""A search with three trials through `kembar run`: its values are used, cached, and kept for other data."""

from __future__ import annotations

import json

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SPACE = """
[tuning]
trials = 3
epochs = 2
rows = 200

[tuning.space]
training.learning_rate = { min = 1e-4, max = 1e-1, log = true }
model.embedding_dim = [16, 48]
"""
KEYS = ["training.learning_rate", "model.embedding_dim"]
OPEN = ("--set", "validation.drift=ignore", "--set", "gates.floors={}")


def write(project, pairs, first):
    for split in ("train", "eval", "test"):
        project.write(split, pairs[split][first : first + (300 if split == "train" else 100)])


def step(project, node):
    [found] = [step for step in project.summary["components"] if step["id"] == node]
    return found["state"]


def read(project, name):
    return json.loads((project.workdir / name).read_text())


def searches(ran):
    return [line.split()[1] for line in ran.err.splitlines() if line.split()[:1] == ["trial"]]


@pytest.fixture(scope="module")
def tuned(project, pairs):
    """The first run, which searches."""
    project.config.write_text(project.config.read_text() + SPACE)
    write(project, pairs, 0)
    ran = project.kembar("run", *OPEN)
    assert ran.status == 0, ran.err
    return project, ran, project.summary, read(project, "tuning.json")


def test_the_best_values_are_trained_with(tuned):
    project, ran, summary, tuning = tuned
    assert searches(ran) == ["1/3", "2/3", "3/3"]
    assert len(tuning["trials"]) == 3
    assert tuning["objective"] == "spearman"
    best = max(tuning["trials"], key=lambda trial: trial["score"])
    assert tuning["best"]["values"] == best["values"]
    assert list(best["values"]) == KEYS
    assert all(trial["epochs"] <= 2 and trial["error"] is None for trial in tuning["trials"])
    assert summary["model"]["tuned"] == best["values"]
    assert read(project, "training.json")["details"]["tuned"] == best["values"]
    # The weights have the width that was found: token vectors are what there is most of.
    import tensorflow as tf

    embed = tf.saved_model.load(summary["model"]["path"]).signatures["embed"]
    width = embed(text=tf.constant(["a man"]))["embedding"].shape[-1]
    assert width == best["values"]["model.embedding_dim"]


def test_the_report_shows_the_trials(tuned):
    project, *_ = tuned
    page = (project.workdir / "report.html").read_text()
    assert "<h2>Tuning</h2>" in page
    assert "training.learning_rate" in page


def test_nothing_of_the_search_is_left_over(tuned):
    project, *_ = tuned
    assert list((project.workdir / "artifacts" / "checkpoints").glob("*")) == []


def test_a_second_run_is_cached(tuned):
    project, _, summary, tuning = tuned
    ran = project.kembar("run", *OPEN)
    assert ran.status == 0, ran.err
    assert project.summary["status"] == "unchanged"
    assert project.summary["reason"].endswith("nothing has changed")
    assert {step["state"] for step in project.summary["components"] if "Resolver" not in step["id"]} == {
        "cached"
    }
    assert project.summary["model"]["tuned"] == summary["model"]["tuned"]
    assert read(project, "tuning.json") == tuning


def test_changed_data_keeps_the_values_and_another_space_does_not(tuned, pairs):
    project, _, summary, _ = tuned
    write(project, pairs, 1_000)
    for state in ("ran", "cached"):
        ran = project.kembar("run", *OPEN)
        assert ran.status == 0, ran.err
        assert searches(ran) == []
        assert (step(project, "Transform"), step(project, "Tuner"), step(project, "Trainer")) == (state,) * 3
        assert project.summary["model"]["tuned"] == summary["model"]["tuned"]
        assert read(project, "tuning.json")["kept"]
    assert "Values of an earlier search" in (project.workdir / "report.html").read_text()

    ran = project.kembar("run", *OPEN, "--set", "tuning.trials=1")
    assert ran.status == 0, ran.err
    assert searches(ran) == ["1/1"]
    assert step(project, "Transform") == "cached"
