"""A resolver strategy for the model in service.

TFX's LatestBlessedModelStrategy finds the latest *blessed* model, which need not have been pushed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tfx import types
from tfx.dsl.components.common import resolver
from tfx.dsl.io import fileio
from tfx.utils import path_utils

from components.champion import MODEL_ID, PUSHED_DESTINATION, PUSHED_VERSION
from components.resolvers.window import EXAMPLES_IDS, ids_of
from components.version_folder.pins import read_pins
from components.version_folder.push import in_service
from trainer.fitting.warm_start import SPEC, folder_beside
from trainer.progress import PROGRESS

Artifacts = list[types.Artifact]
_HEADINGS = {"model": "[model]", "label": "[data] label", "vector": "[data] vector"}


class ChampionStrategy(resolver.ResolverStrategy):
    """From `champion` (all models) and `pushed` (all pushed models), keeps the one in service.

    A `candidate`, where there is one, that is in service itself is compared with the model before it: when
    nothing has changed and the candidate comes out of the cache, its champion is the same as the first time,
    and the comparison comes out of the cache too.

    Where an older version is pinned, it is as if nothing had been pushed since.

    A model that is trained for another task than the candidate is no champion: the numbers of one that knows
    other classes, say, cannot be compared.

    Args:
      task: The candidate's, as `trainer.spec.Spec.task` has it.
      name: The model's name in requests; that of its folder of versions unless told otherwise.
    """

    def __init__(self, task: str, name: str = "") -> None:
        self._task = task
        self._name = name

    def resolve_artifacts(self, store: Any, input_dict: dict[str, Artifacts]) -> dict[str, Artifacts]:
        """The same keys; `champion` holds one model, or none when nothing has been pushed yet."""
        del store
        candidates = {artifact.id for artifact in input_dict.get("candidate", [])}
        pushed = _served(input_dict["pushed"], self._name)
        while pushed and pushed[-1].get_int_custom_property(MODEL_ID) in candidates:
            pushed.pop()
        models = _model(pushed, input_dict["champion"])
        return {**input_dict, "champion": _of_same_task(models, self._task, "no champion")}


class WarmStartStrategy(resolver.ResolverStrategy):
    """From `base` (all models), `pushed` (all pushed models) and `examples`, keeps the one in service.

    One that was made from the very examples of this run is passed over while it is the last: when nothing has
    changed, the training begins where it began the first time, and comes out of the cache.

    Args:
      name: The model's name in requests; that of its folder of versions unless told otherwise.
    """

    def __init__(self, name: str = "") -> None:
        self._name = name

    def resolve_artifacts(self, store: Any, input_dict: dict[str, Artifacts]) -> dict[str, Artifacts]:
        """The same keys; `base` holds one model, or none when no other data was trained on yet."""
        del store
        mine = ids_of(input_dict["examples"])
        pushed = _served(input_dict["pushed"], self._name)
        while pushed and pushed[-1].get_string_custom_property(EXAMPLES_IDS) == mine:
            pushed.pop()
        return {**input_dict, "base": _model(pushed, input_dict["base"])}


class NewToStrategy(resolver.ResolverStrategy):
    """From `served` (all models), `pushed` (all pushed models) and `examples`, keeps the one in service.

    What was trained on just these examples is passed over, wherever it stands: they are not new to it.
    One that is trained for another task than the configuration has cannot be measured.

    Args:
      task: The configuration's, as `trainer.spec.Spec.task` has it.
      name: The model's name in requests; that of its folder of versions unless told otherwise.
    """

    def __init__(self, task: str, name: str = "") -> None:
        self._task = task
        self._name = name

    def resolve_artifacts(self, store: Any, input_dict: dict[str, Artifacts]) -> dict[str, Artifacts]:
        """The same keys; `served` holds one model, or none when all have seen the examples."""
        del store
        mine = {str(artifact.id) for artifact in input_dict["examples"]}
        pushed = [
            artifact
            for artifact in _served(input_dict["pushed"], self._name)
            if not mine & set(artifact.get_string_custom_property(EXAMPLES_IDS).split(","))
        ]
        models = _model(pushed, input_dict["served"])
        return {**input_dict, "served": _of_same_task(models, self._task, "not measured on the new data")}


def _served(pushed: Artifacts, name: str) -> Artifacts:
    """The models that were really pushed, oldest first, up to the version that is pinned."""
    served = sorted(
        (artifact for artifact in pushed if artifact.get_int_custom_property("pushed") == 1),
        key=lambda artifact: artifact.id,
    )
    pinned = _pinned(served, name)
    if pinned is None:
        return served
    return [
        artifact for artifact in served if int(artifact.get_string_custom_property(PUSHED_VERSION)) <= pinned
    ]


def _model(pushed: Artifacts, models: Artifacts) -> Artifacts:
    """The model that was pushed last."""
    served = [artifact.get_int_custom_property(MODEL_ID) for artifact in pushed[-1:]]
    return [model for model in models if model.id in served]


def _of_same_task(models: Artifacts, task: str, otherwise: str) -> Artifacts:
    """The models that are trained for `task`, with a line in the log for each other one."""
    kept = []
    for model in models:
        differences = "; ".join(_differences(model, json.loads(task)))
        if differences:
            PROGRESS.warning("the model in service is %s: %s", otherwise, differences)
        else:
            kept.append(model)
    return kept


def _differences(model: types.Artifact, task: dict[str, Any]) -> Iterator[str]:
    """Differences between the model's own record and `task`; an older model without a record has none."""
    file = os.path.join(folder_beside(path_utils.serving_model_path(model.uri)), SPEC)
    if not fileio.exists(file):
        return
    with fileio.open(file) as opened:
        recorded = json.loads(opened.read())
    for section, heading in _HEADINGS.items():
        for key, wanted in (task.get(section) or {}).items():
            has = (recorded.get(section) or {}).get(key)
            if has != wanted:
                yield f"{heading} {key} = {json.dumps(wanted)}, but it has {json.dumps(has)}"


def _pinned(pushed: Artifacts, name: str) -> int | None:
    """The version that a pin keeps in service, if there is one."""
    destination = pushed[-1].get_string_custom_property(PUSHED_DESTINATION) if pushed else ""
    folder = Path(destination).parent
    return in_service(folder, name) if destination and read_pins(folder, name) is not None else None
