"""A resolver strategy for the model in service.

TFX's LatestBlessedModelStrategy finds the latest *blessed* model, which need not have been pushed.
"""

from __future__ import annotations

from typing import Any

from tfx import types
from tfx.dsl.components.common import resolver

# Custom property by which the pusher tells which Model artifact a PushedModel came from.
MODEL_ID = "model_id"

Artifacts = list[types.Artifact]


class ChampionStrategy(resolver.ResolverStrategy):
    """From `champion` (all models), `pushed` (all pushed models) and `candidate`, keeps the one in service.

    A candidate that is in service itself is compared with the model before it: when nothing has changed
    and the candidate comes out of the cache, its champion is the same as the first time, and the
    comparison comes out of the cache too.
    """

    def resolve_artifacts(self, store: Any, input_dict: dict[str, Artifacts]) -> dict[str, Artifacts]:
        """The same keys; `champion` holds one model, or none when nothing has been pushed yet."""
        del store
        candidates = {artifact.id for artifact in input_dict["candidate"]}
        pushed = sorted(
            (a for a in input_dict["pushed"] if a.get_int_custom_property("pushed") == 1), key=lambda a: a.id
        )
        models = [artifact.get_int_custom_property(MODEL_ID) for artifact in pushed]
        while models and models[-1] in candidates:
            models.pop()
        served = models[-1:]
        return {**input_dict, "champion": [a for a in input_dict["champion"] if a.id in served]}
