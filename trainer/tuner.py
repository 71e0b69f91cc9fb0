"""The tuner_fn that TFX Tuner calls, by dotted path: a search whose trials are the trainings of `run_fn`."""

from __future__ import annotations

import gc
import json
import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import keras
import keras_tuner
import tensorflow as tf
import tensorflow_transform as tft
from keras_tuner.engine.trial import Trial, TrialStatus
from keras_tuner.errors import FailedTrialError
from tfx.components.tuner.component import TunerFnResult

from trainer.errors import KembarError
from trainer.families import family_of
from trainer.features import LOWER_IS_BETTER
from trainer.files import remove_tree
from trainer.fitting import devices
from trainer.fitting.training import FnArgs, TrainingLog, TransformedData, own_folder, split_files
from trainer.progress import PROGRESS
from trainer.spec import Spec
from trainer.tuning import Tuning, decoded, encoded, is_whole, laid_over

_PROJECT = "search"
_SECONDS, _EPOCHS = "seconds", "epochs"


def tuner_fn(fn_args: FnArgs) -> TunerFnResult:
    """The configured search.

    One whose process was killed goes on behind its last finished trial, if it is started again on the same
    data, transform, configuration and code.

    Args:
      fn_args: TFX's FnArgs; `custom_config` holds "spec" and "tuning" as JSON. Where there are "checkpoints",
        a folder that outlives this step's outputs, and "code", its fingerprint.
    """
    devices.grow_memory()
    config = fn_args.custom_config
    spec, tuning = Spec.model_validate_json(config["spec"]), Tuning.model_validate_json(config["tuning"])
    files = split_files(fn_args)
    saved = own_folder(fn_args, files, config["spec"], config["tuning"])
    data = TransformedData(files, tft.TFTransformOutput(fn_args.transform_graph_path), log_dir=None)
    if tuning.rows is not None:
        there = int(data.records("train").reduce(tf.constant(0, tf.int64), lambda n, _: n + 1))
        data = replace(data, share=(tuning.rows, there) if tuning.rows < there else None)
    return TunerFnResult(make_search(data, spec, tuning, saved or fn_args.working_dir), {})


def make_search(data: TransformedData, spec: Spec, tuning: Tuning, folder: str) -> Search:
    """A search that keeps its trials in `folder`, and goes on with those that are there."""
    try:
        return Search(data, spec, tuning, folder)
    except (OSError, ValueError, KeyError, RuntimeError) as error:  # cut off while it was written
        PROGRESS.info("search in %s cannot be used, starting anew: %s", folder, " ".join(str(error).split()))
        return Search(data, spec, tuning, folder, overwrite=True)


class Search(keras_tuner.engine.base_tuner.BaseTuner):
    """Trains the family's model once for each set of values, and keeps no model."""

    def __init__(
        self, data: TransformedData, spec: Spec, tuning: Tuning, folder: str, overwrite: bool = False
    ) -> None:
        """Trials that `folder` holds are not run again, unless `overwrite`."""
        self.tuning = tuning
        self.folder = folder
        self.metric = tuning.objective or next(iter(family_of(spec).objectives(spec)))
        self._data = data
        self._spec = tuning.capped(spec)
        self._history_key = family_of(spec).objectives(spec)[self.metric]
        oracle = _oracle(tuning, self._spec, self.metric)
        super().__init__(oracle, directory=folder, project_name=_PROJECT, overwrite=overwrite)
        self.oracle.verbose = 0  # it prints tables
        if self.oracle.end_order:
            PROGRESS.info("resumed after trial %d", len(self.oracle.end_order))

    def run_trial(self, trial: Trial) -> dict[str, float]:
        """The objective on the eval split in the epoch that is kept.

        Raises:
          FailedTrialError: the training ended with an error, such as a loss that is no number.
        """
        values = _values(trial)
        started = time.monotonic()
        try:
            with _quiet():
                log = family_of(self._spec).fit(self._data, laid_over(self._spec, values)).log
            score = self._kept(log)
            if not math.isfinite(score):
                raise KembarError(f"{self.metric} is {score}")
        except Exception as error:
            self._tell(trial, f"failed: {_line(error)}", values, started)
            raise FailedTrialError(_line(error)) from error
        finally:
            keras.backend.clear_session()
            gc.collect()
        self._tell(trial, f"{self.metric} {score:.4f}", values, started)
        return {self.metric: score, _SECONDS: time.monotonic() - started, _EPOCHS: log.epochs}

    def on_search_end(self) -> None:
        """Raises KembarError where no trial came to its end."""
        trials = list(self.oracle.trials.values())
        if not any(trial.status == TrialStatus.COMPLETED for trial in trials):
            last = _reason(trials[-1]) if trials else "the space is empty"
            # Or else the next run would find them all failed, whatever was mended since.
            remove_tree(self.project_dir)
            raise KembarError(f"[tuning] all {len(trials)} trials failed, the last one with: {last}")

    def report(self) -> dict[str, Any]:
        """All trials, and the best one, as `tuning.json` has them."""
        trials = [self.oracle.trials[name] for name in self.oracle.start_order]
        best = self.oracle.get_best_trials()[0]
        return {
            "objective": self.metric,
            "direction": self.oracle.objective.direction,
            "search": self.tuning.search,
            "kept": False,
            "best": {"trial": trials.index(best) + 1, "score": best.score, "values": _values(best)},
            "trials": [_row(trial) for trial in trials],
        }

    def _kept(self, log: TrainingLog) -> float:
        if self._history_key not in log.history:
            # Where all labels of eval are one, a pair's training watches the loss, and else the metric.
            measured = [name.removeprefix("eval_") for name in log.history if name.startswith("eval_")]
            raise KembarError(
                f"{self.metric} is not measured on the eval split: set [tuning] objective = {measured[0]!r}"
            )
        return log.history[self._history_key][-1 if log.kept_epoch is None else log.kept_epoch]

    def _tell(self, trial: Trial, outcome: str, values: dict[str, Any], started: float) -> None:
        shown = "  ".join(f"{key}={_shown(value)}" for key, value in values.items())
        at = self.oracle.start_order.index(trial.trial_id) + 1
        PROGRESS.info(
            "trial %d/%d  %s  %s  %.1f s",
            at, self.tuning.trials, outcome, shown, time.monotonic() - started,
        )  # fmt: skip


class _OwnFirst(keras_tuner.Oracle):
    """Mixin of an oracle whose first trial has the file's own values, where the space holds all of them."""

    own: dict[str, Any] | None = None

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        if self.own is not None and len(self.start_order) == 0:
            return {"status": TrialStatus.RUNNING, "values": dict(self.own)}
        return super().populate_space(trial_id)


class _Random(_OwnFirst, keras_tuner.oracles.RandomSearchOracle):
    pass


class _Bayesian(_OwnFirst, keras_tuner.oracles.BayesianOptimizationOracle):
    pass


_ORACLES: dict[str, type[keras_tuner.Oracle]] = {
    "random": _Random,
    "bayesian": _Bayesian,
    "grid": keras_tuner.oracles.GridSearchOracle,
}


def _oracle(tuning: Tuning, spec: Spec, metric: str) -> keras_tuner.Oracle:
    space, own = keras_tuner.HyperParameters(), {}
    for key, wanted in tuning.space.items():
        section, _, name = key.partition(".")
        value = encoded(getattr(spec, section).model_dump(mode="json")[name])
        if isinstance(wanted, dict):
            usual = None if isinstance(value, str) or not wanted["min"] <= value <= wanted["max"] else value
            here = usual is not None
            make = space.Int if is_whole(key, spec) else space.Float
            sampling = "log" if wanted.get("log") else "linear"
            make(key, wanted["min"], wanted["max"], sampling=sampling, default=usual)
        else:
            choices = _choices(wanted)
            here = value in choices
            value = choices[choices.index(value)] if here else value  # 1.0 for 1
            space.Choice(key, choices, default=value if here else None)
        if here:
            own[key] = value
    oracle = _ORACLES[tuning.search](
        objective=keras_tuner.Objective(metric, "min" if metric in LOWER_IS_BETTER else "max"),
        max_trials=tuning.trials,
        seed=tuning.seed,
        hyperparameters=space,
        # That all fail is told when all have been tried.
        max_consecutive_failed_trials=tuning.trials + 1,
    )
    if isinstance(oracle, _OwnFirst) and len(own) == len(tuning.space):
        oracle.own = own
    return oracle


def _choices(wanted: list[Any]) -> list[Any]:
    """Values as keras-tuner wants them: all of one type, numbers in their order."""
    values = [encoded(value) for value in wanted]
    if any(isinstance(value, str) for value in values):
        return [value if isinstance(value, str) else json.dumps(value) for value in values]
    return sorted(map(float, values) if any(isinstance(value, float) for value in values) else values)


@contextmanager
def _quiet() -> Iterator[None]:
    """A trial is one line of progress, and not one an epoch."""

    others = logging.Filter("no logger has this name")
    PROGRESS.addFilter(others)
    try:
        yield
    finally:
        PROGRESS.removeFilter(others)


def _row(trial: Trial) -> dict[str, Any]:
    row = {"values": _values(trial), "score": None, _SECONDS: None, _EPOCHS: None}
    if trial.status != TrialStatus.COMPLETED:
        return {**row, "error": _reason(trial)}
    measured = {name: trial.metrics.get_last_value(name) for name in (_SECONDS, _EPOCHS)}
    return {**row, "score": trial.score, **measured, "error": None}


def _values(trial: Trial) -> dict[str, Any]:
    return {key: decoded(value) for key, value in trial.hyperparameters.values.items()}


def _reason(trial: Trial) -> str:
    """The last line of the traceback that keras-tuner keeps, without the exception's name."""
    return (trial.message or "not finished").strip().splitlines()[-1].split(": ", 1)[-1]


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else json.dumps(value)
