"""Warm starts: the files that a model leaves for the next training, and the start of that training.

Beside the served folder of a Model artifact stands `Format-Training`: the specification, the vocabulary in
the order of the ids, and the trained weights. Nothing of it is pushed or served.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from pydantic import ValidationError

from trainer.errors import ConfigError
from trainer.families import family_of
from trainer.fitting.checkpoint import read_arrays, write_arrays
from trainer.progress import PROGRESS
from trainer.spec import Spec, narrow

FOLDER = "Format-Training"
SPEC, TOKENS, WEIGHTS = "spec.json", "tokens.txt", "weights.npz"
# Tables with a row for each id: padding, the tokens, the buckets of unknown ones.
TABLES = ("tokens/embeddings", "token_weights/embeddings")
_FIX = "to train from scratch once, add --set retraining.warm_start=false"


@dataclass(frozen=True)
class Base:
    """A trained model that another one starts from.

    Attributes:
      folder: Where it left what is needed.
      spec: What it was made from.
      tokens: Its vocabulary; token i has row i + 1. Empty where ids are not ours.
      weights: Variable path to value.
    """

    folder: str
    spec: Spec
    tokens: tuple[bytes, ...]
    weights: dict[str, np.ndarray]


def folder_beside(served: str) -> str:
    """The folder of a Model artifact for the next training, by the artifact's served folder."""
    return os.path.join(os.path.dirname(served.rstrip("/")), FOLDER)


def leave(folder: str, model: keras.Model, spec: Spec, tokens: Sequence[bytes] = ()) -> None:
    """Writes what a later training needs.

    Args:
      folder: Made here, on any file system that TensorFlow knows.
      model: As it is served. Weights that are not trained, such as a frozen trunk's, are left out.
      spec: What it was made from.
      tokens: The vocabulary in the order of the ids.
    """
    tf.io.gfile.makedirs(folder)
    arrays = {weight.path: keras.ops.convert_to_numpy(weight) for weight in model.trainable_weights}
    write_arrays(os.path.join(folder, WEIGHTS), arrays)
    lines = b"".join(token + b"\n" for token in tokens)
    for name, data in ((TOKENS, lines), (SPEC, spec.model_dump_json(indent=2).encode())):
        with tf.io.gfile.GFile(os.path.join(folder, name), "wb") as file:
            file.write(data)


def find(folder: str, spec: Spec) -> Base:
    """The model in service, as a start for a training of `spec`.

    Args:
      folder: Where it left what is needed.
      spec: Features and model of the training; of the model the family's `SHAPE` is enough.

    Raises:
      ConfigError: it left nothing, or it has another shape: which key, and both values.
    """
    try:
        base = Base(
            folder,
            Spec.model_validate_json(_read(folder, SPEC)),
            tuple(_read(folder, TOKENS).splitlines()),
            read_arrays(os.path.join(folder, WEIGHTS)),
        )
    except tf.errors.NotFoundError:
        raise _refusal(f"the model in service left no {folder}: it is of an older Kembar") from None
    except (ValidationError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise _refusal(f"{folder} of the model in service cannot be read: {reason}") from None
    for key, (wanted, served) in _differences(spec, base.spec):
        raise _refusal(f"{key} = {wanted!r}, but the model in service has {served!r}: put it back")
    return base


def carry_over(model: keras.Model, base: Base, tokens: Sequence[bytes] = (), buckets: int = 0) -> None:
    """Sets the weights of a new model to those of `base`; new tokens keep what they began with.

    Args:
      model: Just built; in a distribution strategy's scope if it is to be trained in one.
      base: The model to start from.
      tokens: The new vocabulary, which begins with the base's.
      buckets: Rows of unknown tokens, the last ones of each table.

    Raises:
      ConfigError: a weight is missing or has another shape.
    """
    known = 1 + len(base.tokens)
    if tuple(tokens[: len(base.tokens)]) != base.tokens:
        raise _refusal("the vocabulary does not begin with that of the model in service")
    for weight in model.trainable_weights:
        old, new = base.weights.get(weight.path), keras.ops.convert_to_numpy(weight)
        if old is None:
            raise _refusal(f"the model in service has no weight {weight.path!r}")
        rows = weight.path in TABLES and bool(tokens)
        if old.shape[rows:] != new.shape[rows:]:
            raise _refusal(f"{weight.path!r} is {list(new.shape)}, in the model in service {list(old.shape)}")
        if rows:
            new = new.copy()
            new[:known], new[-buckets:] = old[:known], old[-buckets:]
            old = new
        weight.assign(old)


def growth(base: Base, tokens: Sequence[bytes], size: int) -> dict[str, int]:
    """The numbers of known and of new tokens, for the training's log; a line of progress has them too."""
    known, new = len(base.tokens), len(tokens) - len(base.tokens)
    full = f": [model] vocabulary_size = {size} is reached" if len(tokens) >= size else ""
    PROGRESS.info("vocabulary  %d tokens of the model in service, %d new ones%s", known, new, full)
    return {"known_tokens": known, "new_tokens": new}


class Start(keras.callbacks.Callback):
    """Lets the weights that training starts from count as epoch 0.

    Put it behind Keras' EarlyStopping with `restore_best_weights`: if no epoch is better on the eval split
    than the start was, the start is what remains.
    """

    def __init__(self, model: keras.Model, stopping: Any, measure: Callable[[], float]) -> None:
        """`measure` gives what `stopping` watches, of `model` as it is now."""
        super().__init__()
        self._stopping = stopping
        self._weights = model.get_weights()
        self.value = measure()
        """The metric of the weights at the start."""
        PROGRESS.info("start  %s %.4f", stopping.monitor, self.value)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """EarlyStopping has just forgotten everything."""
        self._stopping.best = self.value
        self._stopping.best_epoch = -1
        self._stopping.best_weights = self._weights

    @property
    def details(self) -> dict[str, Any]:
        """The metric at the start and the best epoch, 0 being the start, for the training's log."""
        return {"start": self.value, "best_epoch": self._stopping.best_epoch + 1}


def _refusal(reason: str) -> ConfigError:
    return ConfigError(f"[retraining] warm_start = true: {reason}; {_FIX}")


def _differences(spec: Spec, base: Spec) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Key to both values, where a difference makes weights useless."""
    if spec.model.family != base.model.family:
        yield "[model] family", (spec.model.family, base.model.family)
        return
    shape = {
        "[model]": ("model", family_of(spec).SHAPE),
        "[data] label": ("label", ("kind", "range", "classes", "positive")),
        "[data] vector": ("vector", ("dimension", "range")),
    }
    for prefix, (section, keys) in shape.items():
        for key in keys:
            wanted, served = (getattr(getattr(part, section), key, None) for part in (spec, base))
            if wanted != served:
                yield f"{prefix} {key}", (wanted, served)


def _read(folder: str, name: str) -> bytes:
    # No op of TensorFlow: Transform calls this while it traces its graph.
    with tf.io.gfile.GFile(os.path.join(folder, name), "rb") as file:
        return narrow(file.read(), bytes)
