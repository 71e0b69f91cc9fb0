"""A resolver strategy for the model in service.

TFX's LatestBlessedModelStrategy finds the latest *blessed* model, which need not have been pushed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tfx import types
from tfx.dsl.components.common import resolver

from components.atomic_pusher.pins import read_pins
from components.atomic_pusher.versions import in_service
from components.champion import MODEL_ID, PUSHED_DESTINATION, PUSHED_VERSION
from components.window.strategy import EXAMPLES_IDS, ids_of

Artifacts = list[types.Artifact]


class ChampionStrategy(resolver.ResolverStrategy):
    """From `champion` (all models) and `pushed` (all pushed models), keeps the one in service.

    A `candidate`, where there is one, that is in service itself is compared with the model before it: when
    nothing has changed and the candidate comes out of the cache, its champion is the same as the first time,
    and the comparison comes out of the cache too.

    Where an older version is pinned, it is as if nothing had been pushed since.
    """

    def resolve_artifacts(self, store: Any, input_dict: dict[str, Artifacts]) -> dict[str, Artifacts]:
        """The same keys; `champion` holds one model, or none when nothing has been pushed yet."""
        del store
        candidates = {artifact.id for artifact in input_dict.get("candidate", [])}
        pushed = _served(input_dict["pushed"])
        while pushed and pushed[-1].get_int_custom_property(MODEL_ID) in candidates:
            pushed.pop()
        return {**input_dict, "champion": _model(pushed, input_dict["champion"])}


class WarmStartStrategy(resolver.ResolverStrategy):
    """From `base` (all models), `pushed` (all pushed models) and `examples`, keeps the one in service.

    One that was made from the very examples of this run is passed over while it is the last: when nothing has
    changed, the training begins where it began the first time, and comes out of the cache.
    """

    def resolve_artifacts(self, store: Any, input_dict: dict[str, Artifacts]) -> dict[str, Artifacts]:
        """The same keys; `base` holds one model, or none when no other data was trained on yet."""
        del store
        mine = ids_of(input_dict["examples"])
        pushed = _served(input_dict["pushed"])
        while pushed and pushed[-1].get_string_custom_property(EXAMPLES_IDS) == mine:
            pushed.pop()
        return {**input_dict, "base": _model(pushed, input_dict["base"])}


class NewToStrategy(resolver.ResolverStrategy):
    """From `served` (all models), `pushed` (all pushed models) and `examples`, keeps the one in service.

    What was trained on just these examples is passed over, wherever it stands: they are not new to it.
    """

    def resolve_artifacts(self, store: Any, input_dict: dict[str, Artifacts]) -> dict[str, Artifacts]:
        """The same keys; `served` holds one model, or none when all have seen the examples."""
        del store
        mine = {str(artifact.id) for artifact in input_dict["examples"]}
        pushed = [
            one
            for one in _served(input_dict["pushed"])
            if not mine & set(one.get_string_custom_property(EXAMPLES_IDS).split(","))
        ]
        return {**input_dict, "served": _model(pushed, input_dict["served"])}


def _served(pushed: Artifacts) -> Artifacts:
    """What was really pushed, oldest first, up to the version that is pinned."""
    found = sorted(
        (one for one in pushed if one.get_int_custom_property("pushed") == 1), key=lambda one: one.id
    )
    pinned = _pinned(found)
    if pinned is None:
        return found
    return [one for one in found if int(one.get_string_custom_property(PUSHED_VERSION)) <= pinned]


def _model(pushed: Artifacts, models: Artifacts) -> Artifacts:
    """The model that was pushed last."""
    served = [one.get_int_custom_property(MODEL_ID) for one in pushed[-1:]]
    return [model for model in models if model.id in served]


def _pinned(pushed: Artifacts) -> int | None:
    """The version that a pin keeps in service, if there is one."""
    destination = pushed[-1].get_string_custom_property(PUSHED_DESTINATION) if pushed else ""
    folder = Path(destination).parent
    return in_service(folder) if destination and read_pins(folder) is not None else None
