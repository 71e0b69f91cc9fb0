"""The preprocessing_fn that TFX Transform calls, by dotted path."""

from __future__ import annotations

from typing import Any

from trainer.families import family_of
from trainer.spec import Spec


def preprocessing_fn(inputs: dict[str, Any], custom_config: dict[str, Any]) -> dict[str, Any]:
    """Raw features to transformed ones, as the configured family wants them."""
    spec = Spec.model_validate_json(custom_config["spec"])
    return family_of(spec).preprocess(inputs, spec)
