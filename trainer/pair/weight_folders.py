"""Folders of pretrained weights: what can be said of them without TensorFlow, before anything starts."""

from __future__ import annotations

import importlib.util
import json
import operator
from pathlib import Path

from trainer.errors import ConfigError
from trainer.pair.pair_config import PairModel
from trainer.spec import narrow

_NEEDED = ("keras_hub", "tensorflow_text", "safetensors")
# What a folder's weights may be in; a pickle is not among them.
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "model.weights.h5", "model.weights.json")


def check_folder(folder: Path | None, key: str = "weights") -> None:
    """Refuses, before anything starts, a folder that no tower can be made of; `key` of [model] names it.

    Raises:
      ConfigError: the extra is not installed, or what the folder lacks.
    """
    setting = f"[model] {key} = '{folder}'"
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f"{setting} needs {', '.join(missing)}: pip install 'kembar[pretrained]'")
    if folder is None or not folder.is_dir():
        raise ConfigError(f"{setting}: no such folder: name one with config.json and model.safetensors")
    if not (folder / "config.json").is_file():
        raise ConfigError(f"{setting}: no config.json: it is a preset of neither KerasHub nor Hugging Face")
    if not any((folder / name).is_file() for name in _WEIGHTS):
        raise ConfigError(f"{setting}: no model.safetensors: other formats, pickles above all, are not read")


def check_layers(model: PairModel) -> None:
    """Refuses, before anything starts, layers that a BERT in a checked folder does not have.

    Raises:
      ConfigError: how many it has, or that its config.json cannot be read.
    """
    path = narrow(model.weights, Path) / "config.json"
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
        # Hugging Face's name, and KerasHub's.
        depth = described.get("num_hidden_layers") or described.get("config", {}).get("num_layers")
        if depth is not None:
            named_layers(model, operator.index(depth))
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise ConfigError(f"[model] weights: {path} describes no BERT: {error}") from None


def named_layers(model: PairModel, depth: int) -> tuple[int, ...]:
    """Layers, from 1, whose states are read of a BERT with `depth` of them; the last where none is named."""
    layers = model.layers or (depth,)
    if layers[-1] > depth:
        raise ConfigError(
            f"[model] layers = {list(layers)}: the BERT in weights = '{model.weights}' has {depth} layers"
        )
    return layers
