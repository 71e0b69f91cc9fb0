"""A resolver strategy that finds the values of an earlier search."""

from __future__ import annotations

from tfx.types import Artifact

from components.resolvers.selection import Inputs, Selection
from components.resolvers.window import EXAMPLES_IDS, ids_of

# Custom properties of a HyperParameters artifact, with EXAMPLES_IDS: what was searched for, the fingerprint
# of the search's configuration, and the artifact that the values were first found in (0: this one).
PURPOSE, FINGERPRINT, ORIGIN = "purpose", "asked", "origin"


class KeptStrategy(Selection):
    """From `kept` (all hyperparameters) and `examples`, keeps those of the last search for the same purpose.

    Where this very step was taken before, on the same examples, the answer is what it was then: none for a
    search. So a run in which nothing has changed comes out of the cache.
    """

    KEY = "kept"

    def __init__(self, purpose: str, fingerprint: str) -> None:
        """`purpose` names space and use case, `fingerprint` the whole configuration; "" never matches."""
        self._purpose = purpose
        self._fingerprint = fingerprint

    def _select(self, inputs: Inputs) -> list[Artifact]:
        examples = ids_of(inputs["examples"])
        known = {a.id: a for a in inputs["kept"] if a.get_string_custom_property(PURPOSE) == self._purpose}
        keys = {
            number: tuple(map(a.get_string_custom_property, (FINGERPRINT, EXAMPLES_IDS)))
            for number, a in known.items()
        }
        same = [number for number, key in keys.items() if key == (self._fingerprint, examples)]
        if not known:
            return []
        last = known[max(same or known)]
        # Not a copy of a copy: each would keep the data of its run from being removed.
        origin = last.get_int_custom_property(ORIGIN)
        return [] if same and not origin else [known.get(origin, last)]
