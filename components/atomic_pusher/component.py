"""TFX's Pusher with an executor that publishes by one rename."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tfx import types
from tfx.components.pusher import component as pusher_component
from tfx.components.pusher import executor as pusher_executor
from tfx.dsl.components.base import executor_spec
from tfx.dsl.io import fileio
from tfx.proto import pusher_pb2
from tfx.types import artifact_utils
from tfx.utils import proto_utils

from components.atomic_pusher.versions import push
from components.champion.strategy import MODEL_ID
from components.quality_gate.component import FILE as DECISION

PUSHED_DESTINATION = "pushed_destination"
PUSHED_VERSION = "pushed_version"


class Executor(pusher_executor.Executor):
    """Pushes when both gates bless the model; the PushedModel artifact says where to, or that nothing was."""

    def Do(self, input_dict: dict, output_dict: dict, exec_properties: dict[str, Any]) -> None:
        """Writes one new version folder, or nothing."""
        pushed: types.Artifact = artifact_utils.get_single_instance(output_dict["pushed_model"])
        pushed.set_int_custom_property("pushed", 0)
        if not self.CheckBlessing(input_dict):
            return
        model = artifact_utils.get_single_instance(input_dict["model"])
        destination = pusher_pb2.PushDestination()
        proto_utils.json_to_proto(exec_properties["push_destination"], destination)
        blessing = artifact_utils.get_single_uri(input_dict["model_blessing"])
        with fileio.open(os.path.join(blessing, DECISION)) as file:
            decision = json.loads(file.read())
        target, _ = push(
            Path(self.GetModelPath(input_dict)),
            Path(destination.filesystem.base_directory),
            {"model": model.uri, "metrics": decision["metrics"], "reason": decision["reason"]},
        )
        pushed.set_int_custom_property("pushed", 1)
        pushed.set_int_custom_property(MODEL_ID, model.id)
        pushed.set_string_custom_property(PUSHED_DESTINATION, str(target))
        pushed.set_string_custom_property(PUSHED_VERSION, target.name)


class AtomicPusher(pusher_component.Pusher):
    """TFX's Pusher; the destination must be a folder of a file system that can rename."""

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)
