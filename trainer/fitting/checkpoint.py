"""Checkpoints: a killed training goes on from its last one and ends with the weights it would have had."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import time
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainer.files import remove_tree
from trainer.fitting import workers
from trainer.progress import PROGRESS

FILE = "training.npz"
# Nobody comes back to what was left that many days ago: its data, configuration or code is another by now.
KEPT_DAYS = 14
_STATE, _VARIABLE, _BEST = "state", "variable_", "best_"
# A save waits until that many times what the last one took has gone by: it costs 5 percent at most.
PAUSE = 20.0
# The name of a training's folder.
_FOLDER = re.compile(r"[0-9a-f]{64}")
# What a missing, cut or foreign file makes numpy, zipfile, json and TensorFlow raise.
_BROKEN = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, tf.errors.OpError)


def read_arrays(path: str) -> dict[str, np.ndarray]:
    """Arrays by name from a file in numpy's format, wherever TensorFlow can read; no pickle is read."""
    with tf.io.gfile.GFile(path, "rb") as file:
        content: bytes = file.read()
    arrays: Mapping[str, np.ndarray] = np.load(io.BytesIO(content), allow_pickle=False)
    return dict(arrays)


def write_arrays(path: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes a file whose folder is there."""
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **arrays)
    with tf.io.gfile.GFile(path, "wb") as file:
        file.write(content.getvalue())


def folder_of(root: str | None, parts: Sequence[str]) -> str | None:
    """The folder below `root` of the one training that `parts` describe; None without a root."""
    if not root:
        return None
    return os.path.join(root, hashlib.sha256(json.dumps(list(parts)).encode()).hexdigest())


class Checkpoint(keras.callbacks.Callback):
    """Saves at the end of epochs, and puts a new process where the last save was.

    An epoch is passed over where saving would take more than a twentieth of the time.

    Saved are the weights, the states of all random generators, the optimizer, the history, and what the
    callback that keeps the best epoch knows. Put it last in the list of callbacks: the others must be through
    with the epoch, and with setting themselves back when training begins.
    """

    def __init__(self, folder: str | None = None) -> None:
        """`folder` is this training's own; without it nothing is saved or restored."""
        super().__init__()
        self.epoch = 0
        """Epochs that were done when this process began."""
        self._path = os.path.join(folder, FILE) if folder else None
        self._keeper: Any = None
        self._fields: tuple[str, ...] = ()
        self._kept: dict[str, Any] = {}
        self._history: dict[str, list[float]] = {}
        self._seconds = 0.0
        self._started = self._saved = time.monotonic()
        self._pause = 0.0

    @property
    def seconds(self) -> float:
        """Seconds of training, those of killed processes up to their last save among them."""
        return self._seconds + time.monotonic() - self._started

    @property
    def details(self) -> dict[str, Any]:
        """The epoch that was resumed after, for the training's log; empty where none was."""
        return {"resumed_after_epoch": self.epoch} if self.epoch else {}

    def restore(self, model: keras.Model, keeper: Any, fields: tuple[str, ...], epochs: int) -> int:
        """Sets `model` back to what was saved, if anything was; returns the first epoch to train, from 0.

        Args:
          model: Compiled.
          keeper: The callback that keeps `best_weights`.
          fields: Its other attributes to keep; plain numbers or None.
          epochs: Epochs of the whole training; the result where it had stopped early, so that none is left.
        """
        self._keeper, self._fields = keeper, fields
        self._started = time.monotonic()
        if self._path is None or not tf.io.gfile.exists(self._path):
            return 0
        with model.distribute_strategy.scope():
            model.optimizer.build(model.trainable_variables)
        variables = _variables(model)
        try:
            state, values, best = _read(self._path)
            kept = {field: state["kept"][field] for field in fields}
            history = {str(name): [float(value) for value in seen] for name, seen in state["history"].items()}
            epoch, stopped, seconds = int(state["epoch"]), bool(state["stopped"]), float(state["seconds"])
            _check_fit(values, variables)
            if best is not None:
                _check_fit(best, model.weights)
        except _BROKEN as error:
            PROGRESS.info("checkpoint %s cannot be used, starting anew: %s", self._path, _line(error))
            return 0
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        self.epoch, self._history, self._seconds = epoch, history, seconds
        self._kept = {**kept, "best_weights": best}
        PROGRESS.info("resumed after epoch %d", epoch)
        return epochs if stopped else epoch

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Gives the keeper and the history back what they knew."""
        for name, value in self._kept.items():
            setattr(self._keeper, name, value)
        self.model.history.history.update({name: list(seen) for name, seen in self._history.items()})

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Saves where this process is the chief, unless it saved a moment ago."""
        for name, value in (logs or {}).items():
            self._history.setdefault(name, []).append(float(value))
        began = time.monotonic()
        if self._path is None or began - self._saved < self._pause or not workers.is_chief():
            return
        try:
            self._write(self._path, epoch + 1)
        except (OSError, tf.errors.OpError) as error:
            # Training goes on: it is only the way back that is missing.
            PROGRESS.info("no checkpoint after epoch %d: %s", epoch + 1, _line(error))
        self._saved = time.monotonic()
        self._pause = PAUSE * (self._saved - began)

    def _write(self, path: str, epochs: int) -> None:
        state = {
            "epoch": epochs,
            "stopped": bool(self.model.stop_training),
            "seconds": self.seconds,
            "history": self._history,
            "kept": {field: getattr(self._keeper, field) for field in self._fields},
            "has_best": self._keeper.best_weights is not None,
        }
        arrays = {_STATE: np.frombuffer(json.dumps(state, default=float).encode(), np.uint8)}
        variables = [keras.ops.convert_to_numpy(variable) for variable in _variables(self.model)]
        for prefix, values in ((_VARIABLE, variables), (_BEST, self._keeper.best_weights or [])):
            arrays |= {f"{prefix}{at}": value for at, value in enumerate(values)}
        # Beside, then renamed: a process killed while it writes leaves the file before untouched.
        tf.io.gfile.makedirs(os.path.dirname(path))
        write_arrays(path + ".new", arrays)
        tf.io.gfile.rename(path + ".new", path, overwrite=True)


def remove(folder: str | None) -> None:
    """Removes the folder of a training that has ended well, and what others left behind long ago.

    Beside it are the folders of trainings that were ended and never came back, because their data,
    configuration or code has changed. Those that were last written to more than `KEPT_DAYS` ago go too. A
    training that is at work writes more often; one that all the same loses its folder makes it again.
    """
    if not folder:
        return
    _remove(folder)
    root, own = os.path.split(folder)
    for name in _names(root):
        left = os.path.join(root, name)
        if name != own and _FOLDER.fullmatch(name) and time.time() - _written(left) > KEPT_DAYS * 86_400:
            PROGRESS.info("removing checkpoint %s, not written to for %d days", left, KEPT_DAYS)
            _remove(left)


def _remove(folder: str) -> None:
    """Another training may be removing it as well; and a model is not thrown away for a leftover folder."""
    try:
        remove_tree(folder)
    except (OSError, tf.errors.OpError) as error:
        PROGRESS.info("checkpoint %s cannot be removed: %s", folder, _line(error))


def _names(folder: str) -> list[str]:
    """Files and folders in a folder; none where it is gone. Object stores end a folder's name with '/'."""
    try:
        return [name.rstrip("/") for name in tf.io.gfile.listdir(folder)]
    except tf.errors.OpError:
        return []


def _written(folder: str) -> float:
    """When a folder, or a file in it, was last written to, in seconds since 1970; now, if it is gone."""
    try:
        paths = [folder, *(os.path.join(folder, name) for name in _names(folder))]
        return max(tf.io.gfile.stat(path).mtime_nsec for path in paths) / 1e9
    except tf.errors.OpError:
        return time.time()


def _variables(model: keras.Model) -> list[keras.Variable]:
    """Weights, random generators and optimizer, in an order that the same code gives again."""
    return [*model.variables, *model.optimizer.variables]


def _read(path: str) -> tuple[dict[str, Any], list[np.ndarray], list[np.ndarray] | None]:
    arrays = read_arrays(path)
    state: dict[str, Any] = json.loads(arrays[_STATE].tobytes())
    values, best = (
        [arrays[f"{prefix}{at}"] for at in range(sum(name.startswith(prefix) for name in arrays))]
        for prefix in (_VARIABLE, _BEST)
    )
    return state, values, best if state["has_best"] else None


def _check_fit(values: list[np.ndarray], variables: list[keras.Variable]) -> None:
    stored = [(value.shape, value.dtype.name) for value in values]
    needed = [(tuple(v.shape), keras.backend.standardize_dtype(v.dtype)) for v in variables]
    if stored != needed:
        raise ValueError(f"it holds {len(stored)} arrays that are not the {len(needed)} of this model")


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
