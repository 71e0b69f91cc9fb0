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
        pushed = sorted(
            (a for a in input_dict["pushed"] if a.get_int_custom_property("pushed") == 1), key=lambda a: a.id
        )
        pinned = _pinned(pushed)
        if pinned is not None:
            pushed = [a for a in pushed if int(a.get_string_custom_property(PUSHED_VERSION)) <= pinned]
        models = [artifact.get_int_custom_property(MODEL_ID) for artifact in pushed]
        while models and models[-1] in candidates:
            models.pop()
        served = models[-1:]
        return {**input_dict, "champion": [a for a in input_dict["champion"] if a.id in served]}


def _pinned(pushed: Artifacts) -> int | None:
    """The version that a pin keeps in service, if there is one."""
    destination = pushed[-1].get_string_custom_property(PUSHED_DESTINATION) if pushed else ""
    folder = Path(destination).parent
    return in_service(folder) if destination and read_pins(folder) is not None else None
