"""The search itself, with the real training of each family."""

from __future__ import annotations

import logging
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from tests.trainer.small_trainings import after_epoch, data_of, spec_of
from trainer.errors import KembarError
from trainer.families import family_of
from trainer.fitting.checkpoint import Checkpoint
from trainer.fitting.training import TrainingLog
from trainer.progress import PROGRESS
from trainer.tuner import Search, make_search
from trainer.tuning import Tuning, laid_over

SPACES = {
    "pair": {"training.learning_rate": [0.02, 0.1], "model.head": ["cosine", "interaction"]},
    "vae": {"training.learning_rate": [0.001, 0.02], "model.encoder": [[5], [7, 3]]},
    "dense": {"training.learning_rate": [0.02, 0.1], "model.hidden": [[5], [7, 3]]},
}
RATES = {"training.learning_rate": {"min": 1e-3, "max": 0.1, "log": True}}


def tuning(space=RATES, **options) -> Tuning:
    return Tuning(space=space, **{"trials": 2, "epochs": 2, **options})


def data(kind, folder):
    return replace(data_of(kind, folder), log_dir=None)


def searched(kind, folder, told, spec=None) -> dict:
    search = make_search(data(kind, folder), spec or spec_of(kind), told, str(folder / "search"))
    search.search()
    return search.report()


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.INFO, PROGRESS.name)
    return lambda: [record.getMessage() for record in caplog.records if record.name == PROGRESS.name]


@pytest.mark.parametrize(
    "kind", ["dense", *(pytest.param(other, marks=pytest.mark.slow) for other in ("pair", "vae"))]
)
def test_a_trial_is_the_training(kind, tmp_path, lines):
    told = tuning(SPACES[kind], epochs=3)
    report = searched(kind, tmp_path, told)
    spec = spec_of(kind)
    objective = family_of(spec).primary_metric(spec)
    assert report["objective"] == objective
    # The file's own values come first.
    own = spec.model_dump()
    first = report["trials"][0]["values"]
    assert first["training.learning_rate"] == own["training"]["learning_rate"]
    best = report["best"]
    scores = [trial["score"] for trial in report["trials"]]
    assert best["score"] == (min if kind == "vae" else max)(scores)
    assert best["values"] == report["trials"][best["trial"] - 1]["values"]
    # The same values give the same number when they are trained with.
    log = family_of(spec).fit(data(kind, tmp_path), laid_over(told.capped(spec), best["values"])).log
    measured = log.history[family_of(spec).objectives(spec)[objective]]
    assert best["score"] == pytest.approx(measured[log.kept_epoch], rel=1e-5)
    assert [line.split("  ")[0] for line in lines() if line.startswith("trial")] == ["trial 1/2", "trial 2/2"]
    # Epochs of trials are not told; those of the training after it are.
    assert sum(line.startswith("epoch") for line in lines()) == log.epochs


@pytest.mark.parametrize("kind", SPACES)
def test_the_kept_epoch_is_the_one_that_training_keeps(kind, tmp_path):
    spec = spec_of(kind, learning_rate=0.3)
    log = family_of(spec).fit(data(kind, tmp_path), spec).log
    watched = {"pair": "eval_spearman", "vae": "val_loss", "dense": "val_loss"}[kind]
    seen = np.array(log.history[watched])
    if kind == "vae":
        seen[: spec.model.kl_warmup_epochs] = np.inf
    assert log.kept_epoch == (seen.argmax() if kind == "pair" else seen.argmin())


@pytest.mark.parametrize(("kept", "score"), [(1, 0.9), (0, 0.2), (None, 0.4)])
def test_a_trial_is_judged_by_its_kept_epoch_or_else_its_last_one(kept, score):
    log = TrainingLog(history={"eval_spearman": [0.2, 0.9, 0.4]}, kept_epoch=kept)
    trial = SimpleNamespace(_history_key="eval_spearman", metric="spearman")
    assert Search._kept(trial, log) == score


@pytest.mark.parametrize(
    "search", ["bayesian", *(pytest.param(other, marks=pytest.mark.slow) for other in ("random", "grid"))]
)
def test_the_seed_decides(search, tmp_path):
    def values(name, **options):
        told = tuning(trials=3, epochs=1, search=search, **options)
        return [trial["values"] for trial in searched("dense", tmp_path / name, told)["trials"]]

    first = values("first")
    assert first == values("again")
    assert len({trial["training.learning_rate"] for trial in first}) == 3
    if search != "grid":
        assert first != values("other", seed=2)


def test_values_outside_of_the_space_are_not_tried(tmp_path):
    told = tuning({"training.learning_rate": [0.5, 0.6]}, epochs=1, trials=5)
    tried = [
        trial["values"]["training.learning_rate"] for trial in searched("dense", tmp_path, told)["trials"]
    ]
    assert sorted(tried) == [0.5, 0.6]  # and no value twice


def test_a_failed_trial_is_told_and_passed_over(tmp_path, lines):
    told = tuning({"training.learning_rate": [0.02, 1e38]}, trials=2, epochs=3)
    report = searched("pair", tmp_path, told, spec_of("pair", clip_norm=0))
    good, bad = report["trials"]
    assert good["error"] is None
    assert bad["score"] is None
    assert bad["error"].startswith("the loss became nan in steps 1 to ")
    assert report["best"]["trial"] == 1
    assert any("failed: the loss became nan" in line for line in lines())


def test_nothing_but_failed_trials_is_an_error(tmp_path):
    told = tuning({"training.learning_rate": [1e37, 1e38]})
    with pytest.raises(
        KembarError, match=r"^\[tuning\] all 2 trials failed, the last one with: the loss became"
    ):
        searched("pair", tmp_path, told)
    assert list((tmp_path / "search").iterdir()) == []  # the next run tries again


def test_an_objective_that_is_not_measured_is_said(tmp_path):
    told = tuning(objective="loss", trials=1)
    with pytest.raises(KembarError, match="loss is not measured on the eval split"):
        searched("pair", tmp_path, told)


def test_a_killed_search_goes_on_behind_its_finished_trials(tmp_path, monkeypatch, lines):
    told = tuning(trials=3)
    whole = searched("dense", tmp_path / "whole", told)

    class Killed(BaseException):
        """Nothing catches it, as nothing catches kill -9."""

    def die():
        if sum(line.startswith("trial ") for line in lines()) == 5:  # three of the whole, two of this
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Checkpoint, "on_epoch_end", after_epoch(1, die))
        with pytest.raises(Killed):
            searched("dense", tmp_path / "killed", told)
    assert searched("dense", tmp_path / "killed", told)["best"] == whole["best"]
    told_lines = [line for line in lines() if line.startswith(("trial", "resumed"))]
    assert [line.split("  ")[0] for line in told_lines] == [
        *("trial 1/3", "trial 2/3", "trial 3/3"),
        *("trial 1/3", "trial 2/3", "resumed after trial 2", "trial 3/3"),
    ]


def test_a_search_that_was_cut_off_while_it_was_written_starts_anew(tmp_path, lines):
    told = tuning(trials=1, epochs=1)
    first = searched("dense", tmp_path, told)
    state = tmp_path / "search" / "search" / "oracle.json"
    state.write_text(state.read_text()[:50])
    again = searched("dense", tmp_path, told)
    assert again["best"] == first["best"]
    assert any("cannot be used, starting anew" in line for line in lines())


def test_rows_are_spread_evenly(tmp_path):
    kept = replace(data("dense", tmp_path), share=(9, 45))
    everything = [v for pool in data("dense", tmp_path).pools("train", 45) for v in pool["vector"].numpy()]
    [part] = [pool["vector"].numpy() for pool in kept.pools("train", 45)]
    assert np.array_equal(part, np.array(everything)[::5])
    assert sum(len(pool["label"]) for pool in kept.pools("eval", 7)) == 45


def test_no_model_and_no_checkpoint_is_left(tmp_path):
    searched("dense", tmp_path, tuning(epochs=1))
    left = sorted(path.name for path in (tmp_path / "search").rglob("*") if path.is_file())
    assert left == ["oracle.json", "trial.json", "trial.json", "tuner0.json"]


def test_a_search_is_keras_tuners(tmp_path):
    search = make_search(data("dense", tmp_path), spec_of("dense"), tuning(), str(tmp_path / "search"))
    assert isinstance(search, Search)
    assert search.oracle.max_trials == 2
