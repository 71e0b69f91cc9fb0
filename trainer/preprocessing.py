"""The preprocessing_fn that TFX Transform calls, by dotted path."""

from __future__ import annotations

from typing import Any

from trainer.families import family_of
from trainer.fitting import warm_start
from trainer.spec import Spec

# Key of `custom_config`: the folder that the model to start from left for this, if there is such a model.
BASE = "base"


def preprocessing_fn(inputs: dict[str, Any], custom_config: dict[str, Any]) -> dict[str, Any]:
    """Raw features to transformed ones, as the configured family wants them."""
    spec = Spec.model_validate_json(custom_config["spec"])
    folder = custom_config.get(BASE)
    base = warm_start.find(folder, spec) if folder else None
    return family_of(spec).preprocess(inputs, spec, base)
