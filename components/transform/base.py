"""The model that a training starts from, as an input of Transform: its vocabulary comes first."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from tfx.types import artifact_utils, component_spec, standard_artifacts, standard_component_specs
from tfx.utils import path_utils

from trainer.fitting.warm_start import folder_beside
from trainer.preprocessing import BASE

BASE_MODEL = "base_model"


class TransformSpec(standard_component_specs.TransformSpec):
    """TFX's, and the model."""

    INPUTS: ClassVar = {
        **standard_component_specs.TransformSpec.INPUTS,
        BASE_MODEL: component_spec.ChannelParameter(type=standard_artifacts.Model, optional=True),
    }


def with_base(exec_properties: dict[str, Any], base: list[Any]) -> dict[str, Any]:
    """The properties, with the folder that the base model left for `preprocessing_fn`."""
    served = path_utils.serving_model_path(artifact_utils.get_single_uri(base))
    config = {**json.loads(exec_properties["custom_config"]), BASE: folder_beside(served)}
    return {**exec_properties, "custom_config": json.dumps(config)}
