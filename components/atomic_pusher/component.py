"""TFX wiring of the push."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from tfx import types
from tfx.components.pusher import executor as pusher_executor
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import artifact_utils, component_spec, standard_artifacts

from components.artifact_files import read_json
from components.champion import MODEL_ID, PUSHED_DESTINATION, PUSHED_VERSION
from components.nodes import DECISION_FILE
from components.resolvers.window import EXAMPLES_IDS, ids_of
from components.serving_gate.probe import Model, warm_up
from components.version_folder.mirror import mirror
from components.version_folder.push import push
from trainer.errors import ServingError


class Executor(pusher_executor.Executor):
    """Pushes when both gates bless the model; the PushedModel artifact says where to, or that nothing was."""

    def Do(self, input_dict: dict, output_dict: dict, exec_properties: dict[str, Any]) -> None:
        """Writes one new version folder, or nothing."""
        pushed: types.Artifact = artifact_utils.get_single_instance(output_dict["pushed_model"])
        pushed.set_int_custom_property("pushed", 0)
        if not self.CheckBlessing(input_dict):
            return
        model = artifact_utils.get_single_instance(input_dict["model"])
        examples = input_dict["examples"]
        blessing = artifact_utils.get_single_uri(input_dict["model_blessing"])
        decision = read_json(blessing, DECISION_FILE)
        target, _ = push(
            self.GetModelPath(input_dict),
            Path(exec_properties["directory"]),
            {
                "run_id": self._context.pipeline_run_id if self._context is not None else None,
                "model": model.uri,
                "data": {
                    "examples": [artifact.uri for artifact in examples],
                    "spans": [artifact.span for artifact in examples],
                    "fingerprint": [e.get_string_custom_property("input_fingerprint") for e in examples],
                },
                "metrics": decision["metrics"],
                "reason": decision["reason"],
            },
            name=exec_properties["name"],
            verify=load_once,
            keep=exec_properties["keep_versions"] or None,
        )
        if exec_properties["mirror"]:
            mirror(target.parent, exec_properties["mirror"], exec_properties["name"])
        pushed.set_int_custom_property("pushed", 1)
        pushed.set_int_custom_property(MODEL_ID, model.id)
        pushed.set_string_custom_property(EXAMPLES_IDS, ids_of(examples))
        pushed.set_string_custom_property(PUSHED_DESTINATION, str(target))
        pushed.set_string_custom_property(PUSHED_VERSION, target.name)


def load_once(copy: Path) -> None:
    """Loads a copy as TF Serving will, and sends it its warm-up requests.

    Raises:
      ServingError: that is not possible, or there are no such requests.
    """
    try:
        model = Model(str(copy))
        try:
            warm_up(model, str(copy))
        finally:
            model.close()
    except Exception as error:  # whatever TensorFlow raises
        detail = " ".join(str(error).split())[-300:]
        raise ServingError(f"{copy}: the copy cannot be served: {detail}") from error


class AtomicPusherSpec(component_spec.ComponentSpec):
    """The component's arguments.

    `model` was learned from `examples`; the quality gate gives `model_blessing`, the serving gate
    `infra_blessing`. `name` is the model's in requests, `directory` the folder that TF Serving watches,
    `keep_versions` how many of the newest versions stay, 0 for all, and `mirror` the same folder in an object
    store, empty for none. `code`, the fingerprint of our source, is a part of the cache key.
    """

    PARAMETERS: ClassVar = {
        "name": component_spec.ExecutionParameter(type=str),
        "directory": component_spec.ExecutionParameter(type=str),
        "keep_versions": component_spec.ExecutionParameter(type=int),
        "mirror": component_spec.ExecutionParameter(type=str),
        "code": component_spec.ExecutionParameter(type=str),
    }
    INPUTS: ClassVar = {
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "model_blessing": component_spec.ChannelParameter(type=standard_artifacts.ModelBlessing),
        "infra_blessing": component_spec.ChannelParameter(type=standard_artifacts.InfraBlessing),
    }
    OUTPUTS: ClassVar = {"pushed_model": component_spec.ChannelParameter(type=standard_artifacts.PushedModel)}


class AtomicPusher(base_component.BaseComponent):
    """Stands where TFX's Pusher stands. The destination is a folder of a file system that can rename."""

    SPEC_CLASS = AtomicPusherSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(self, **arguments: Any) -> None:
        """Args: those of `AtomicPusherSpec`, all of them."""
        pushed_model = types.Channel(type=standard_artifacts.PushedModel)
        super().__init__(AtomicPusherSpec(**arguments, pushed_model=pushed_model))
