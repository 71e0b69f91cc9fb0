"""Resolver strategies for the model in service.

TFX's LatestBlessedModelStrategy finds the latest *blessed* model, which need not have been pushed.
"""

from __future__ import annotations

import json
import os
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from tfx.dsl.io import fileio
from tfx.types import Artifact
from tfx.utils import path_utils

from components.artifact_files import read_json
from components.champion import MODEL_ID, PUSHED_DESTINATION, PUSHED_VERSION
from components.resolvers.selection import Inputs, Selection, without_last
from components.resolvers.window import EXAMPLES_IDS, ids_of
from components.version_folder.pins import read_pins
from components.version_folder.push import in_service
from trainer.fitting.warm_start import SPEC, folder_beside
from trainer.progress import PROGRESS

_HEADINGS = {"model": "[model]", "label": "[data] label", "vector": "[data] vector"}


class ServedModel(Selection):
    """Of the models of `KEY`, keeps the one in service by `pushed` (all pushed models), if there is one.

    Where an older version is pinned, it is as if nothing had been pushed since.

    Args:
      task: That of the configuration, as `trainer.spec.Spec.task` has it: a model that is trained for another
        one is left out. Empty for any.
      name: The model's name in requests; that of its folder of versions unless told otherwise.
    """

    OTHERWISE: ClassVar[str] = ""
    """what becomes of a model that is trained for another task"""

    def __init__(self, task: str = "", name: str = "") -> None:
        self._task = task
        self._name = name

    @abstractmethod
    def _considered(self, pushed: list[Artifact], inputs: Inputs) -> list[Artifact]:
        """Those of the `pushed` models, oldest first, of which the last one counts."""

    def _select(self, inputs: Inputs) -> list[Artifact]:
        pushed = self._considered(_served(inputs["pushed"], self._name), inputs)
        last = [artifact.get_int_custom_property(MODEL_ID) for artifact in pushed[-1:]]
        models = [model for model in inputs[self.KEY] if model.id in last]
        return _of_same_task(models, self._task, self.OTHERWISE) if self._task else models


class ChampionStrategy(ServedModel):
    """From `champion` (all models), keeps the one in service.

    A `candidate`, where there is one, that is in service itself is compared with the model before it: when
    nothing has changed, its champion is the same as the first time. The numbers of a model that knows other
    classes, say, cannot be compared.
    """

    KEY, OTHERWISE = "champion", "no champion"

    def _considered(self, pushed: list[Artifact], inputs: Inputs) -> list[Artifact]:
        candidates = {artifact.id for artifact in inputs.get("candidate", [])}
        return without_last(pushed, lambda model: model.get_int_custom_property(MODEL_ID) in candidates)


class WarmStartStrategy(ServedModel):
    """From `base` (all models) and `examples`, keeps the one in service.

    One that was made from the very examples of this run is passed over while it is the last: when nothing has
    changed, the training begins where it began the first time.
    """

    KEY = "base"

    def _considered(self, pushed: list[Artifact], inputs: Inputs) -> list[Artifact]:
        mine = ids_of(inputs["examples"])
        return without_last(pushed, lambda model: model.get_string_custom_property(EXAMPLES_IDS) == mine)


class NewToStrategy(ServedModel):
    """From `served` (all models) and `examples`, keeps the one in service.

    What was trained on just these examples is passed over, wherever it stands: they are not new to it.
    One that is trained for another task than the configuration has cannot be measured.
    """

    KEY, OTHERWISE = "served", "not measured on the new data"

    def _considered(self, pushed: list[Artifact], inputs: Inputs) -> list[Artifact]:
        mine = {str(artifact.id) for artifact in inputs["examples"]}
        return [
            model
            for model in pushed
            if not mine & {*model.get_string_custom_property(EXAMPLES_IDS).split(",")}
        ]


def _served(pushed: list[Artifact], name: str) -> list[Artifact]:
    """The models that were really pushed, oldest first, up to the version that a pin keeps in service."""
    served = [artifact for artifact in pushed if artifact.get_int_custom_property("pushed") == 1]
    served.sort(key=lambda artifact: artifact.id)
    destination = served[-1].get_string_custom_property(PUSHED_DESTINATION) if served else ""
    folder = Path(destination).parent
    pinned = in_service(folder, name) if destination and read_pins(folder, name) is not None else None
    if pinned is None:
        return served
    return [model for model in served if int(model.get_string_custom_property(PUSHED_VERSION)) <= pinned]


def _of_same_task(models: list[Artifact], task: str, otherwise: str) -> list[Artifact]:
    """The models that are trained for `task`, with a line in the log for each other one."""
    kept = []
    for model in models:
        differences = "; ".join(_differences(model, json.loads(task)))
        if differences:
            PROGRESS.warning("the model in service is %s: %s", otherwise, differences)
        else:
            kept.append(model)
    return kept


def _differences(model: Artifact, task: dict[str, Any]) -> Iterator[str]:
    """Differences between the model's own record and `task`; an older model without a record has none."""
    file = os.path.join(folder_beside(path_utils.serving_model_path(model.uri)), SPEC)
    if not fileio.exists(file):
        return
    recorded = read_json(file)
    for section, heading in _HEADINGS.items():
        for key, wanted in (task.get(section) or {}).items():
            has = (recorded.get(section) or {}).get(key)
            if has != wanted:
                yield f"{heading} {key} = {json.dumps(wanted)}, but it has {json.dumps(has)}"
