"""A resolver strategy that finds the values of an earlier search."""

from __future__ import annotations

from typing import Any

from tfx.dsl.components.common import resolver
from tfx.types import Artifact

from components.resolvers.window import EXAMPLES_IDS, ids_of

# Custom properties of a HyperParameters artifact, with EXAMPLES_IDS: what was searched for, the fingerprint
# of the search's configuration, and the artifact that the values were first found in (0: this one).
PURPOSE, FINGERPRINT, ORIGIN = "purpose", "asked", "origin"


class KeptStrategy(resolver.ResolverStrategy):
    """From `kept` (all hyperparameters) and `examples`, keeps those of the last search for the same purpose.

    Where this very step was taken before, on the same examples, the answer is what it was then: none for a
    search. So a run in which nothing has changed comes out of the cache.
    """

    def __init__(self, purpose: str, fingerprint: str) -> None:
        """`purpose` names space and use case, `fingerprint` the whole configuration; "" never matches."""
        self._purpose = purpose
        self._fingerprint = fingerprint

    def resolve_artifacts(
        self, store: Any, input_dict: dict[str, list[Artifact]]
    ) -> dict[str, list[Artifact]]:
        """The same keys; `kept` holds one artifact, or none where a search has to be made."""
        del store
        examples = ids_of(input_dict["examples"])
        known = {
            a.id: a for a in input_dict["kept"] if a.get_string_custom_property(PURPOSE) == self._purpose
        }
        last = max(known, default=0)
        for number in sorted(known, reverse=True):
            artifact = known[number]
            same = artifact.get_string_custom_property(FINGERPRINT) == self._fingerprint
            if same and artifact.get_string_custom_property(EXAMPLES_IDS) == examples:
                if not artifact.get_int_custom_property(ORIGIN):
                    return {**input_dict, "kept": []}
                last = number
                break
        if not last:
            return {**input_dict, "kept": []}
        # Not a copy of a copy: each would keep the data of its run from being removed.
        origin = known[last].get_int_custom_property(ORIGIN)
        return {**input_dict, "kept": [known.get(origin, known[last])]}
