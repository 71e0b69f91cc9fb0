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
_PLACES = {"model": "[model]", "label": "[data] label", "vector": "[data] vector"}


class ChampionStrategy(resolver.ResolverStrategy):
    """From `champion` (all models) and `pushed` (all pushed models), keeps the one in service.

    A `candidate`, where there is one, that is in service itself is compared with the model before it: when
    nothing has changed and the candidate comes out of the cache, its champion is the same as the first time,
    and the comparison comes out of the cache too.

    Where an older version is pinned, it is as if nothing had been pushed since.

    A model that is asked something else than the candidate is no champion: the numbers of one that knows
    other classes, say, cannot be compared.

    Args:
      asked: Of the candidate, `trainer.spec.Spec.asked`.
      name: The model's name in requests; that of its folder of versions unless told otherwise.
    """

    def __init__(self, asked: str, name: str = "") -> None:
        self._asked = asked
        self._name = name

    def resolve_artifacts(self, store: Any, input_dict: dict[str, Artifacts]) -> dict[str, Artifacts]:
        """The same keys; `champion` holds one model, or none when nothing has been pushed yet."""
        del store
        candidates = {artifact.id for artifact in input_dict.get("candidate", [])}
        pushed = _served(input_dict["pushed"], self._name)
        while pushed and pushed[-1].get_int_custom_property(MODEL_ID) in candidates:
            pushed.pop()
        found = _model(pushed, input_dict["champion"])
        return {**input_dict, "champion": _asked_alike(found, self._asked, "no champion")}


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
    One that is asked something else than the configuration asks cannot be measured.

    Args:
      asked: Of the configuration, `trainer.spec.Spec.asked`.
      name: The model's name in requests; that of its folder of versions unless told otherwise.
    """

    def __init__(self, asked: str, name: str = "") -> None:
        self._asked = asked
        self._name = name

    def resolve_artifacts(self, store: Any, input_dict: dict[str, Artifacts]) -> dict[str, Artifacts]:
        """The same keys; `served` holds one model, or none when all have seen the examples."""
        del store
        mine = {str(artifact.id) for artifact in input_dict["examples"]}
        pushed = [
            one
            for one in _served(input_dict["pushed"], self._name)
            if not mine & set(one.get_string_custom_property(EXAMPLES_IDS).split(","))
        ]
        found = _model(pushed, input_dict["served"])
        return {**input_dict, "served": _asked_alike(found, self._asked, "not measured on the new data")}


def _served(pushed: Artifacts, name: str) -> Artifacts:
    """What was really pushed, oldest first, up to the version that is pinned."""
    found = sorted(
        (one for one in pushed if one.get_int_custom_property("pushed") == 1), key=lambda one: one.id
    )
    pinned = _pinned(found, name)
    if pinned is None:
        return found
    return [one for one in found if int(one.get_string_custom_property(PUSHED_VERSION)) <= pinned]


def _model(pushed: Artifacts, models: Artifacts) -> Artifacts:
    """The model that was pushed last."""
    served = [one.get_int_custom_property(MODEL_ID) for one in pushed[-1:]]
    return [model for model in models if model.id in served]


def _asked_alike(models: Artifacts, asked: str, otherwise: str) -> Artifacts:
    """The models that are asked the same, with a line in the log for each other one."""
    kept = []
    for model in models:
        differences = "; ".join(_differences(model, json.loads(asked)))
        if differences:
            PROGRESS.warning("the model in service is %s: %s", otherwise, differences)
        else:
            kept.append(model)
    return kept


def _differences(model: types.Artifact, asked: dict[str, Any]) -> Iterator[str]:
    """What the model left says it; one that left nothing, of an older Kembar, is taken for alike."""
    file = os.path.join(folder_beside(path_utils.serving_model_path(model.uri)), SPEC)
    if not fileio.exists(file):
        return
    with fileio.open(file) as opened:
        found = json.loads(opened.read())
    for section, place in _PLACES.items():
        for key, wanted in (asked.get(section) or {}).items():
            has = (found.get(section) or {}).get(key)
            if has != wanted:
                yield f"{place} {key} = {json.dumps(wanted)}, but it has {json.dumps(has)}"


def _pinned(pushed: Artifacts, name: str) -> int | None:
    """The version that a pin keeps in service, if there is one."""
    destination = pushed[-1].get_string_custom_property(PUSHED_DESTINATION) if pushed else ""
    folder = Path(destination).parent
    return in_service(folder, name) if destination and read_pins(folder, name) is not None else None
