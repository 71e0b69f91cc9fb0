"""Resolver strategies for data: what was accepted before, the spans of a window, what was counted in them."""

from __future__ import annotations

import json

from tfx.dsl.io import fileio
from tfx.types import Artifact

from components.data_gate.validation_config import EXAMPLES_ID
from components.example_gen.spans import FILES
from components.nodes import VERDICT_FILE
from components.resolvers.selection import Inputs, Selection, without_last

# Custom property by which a cache of Transform tells which Examples artifacts it is of.
EXAMPLES_IDS = "examples_ids"


class AcceptedStrategy(Selection):
    """From `accepted` (all verdicts) and `examples`, keeps the last verdict on other examples, if any.

    A verdict on the very examples of this run is passed over while it is the last.
    """

    KEY = "accepted"

    def _select(self, inputs: Inputs) -> list[Artifact]:
        examples = {artifact.id for artifact in inputs["examples"]}
        verdicts = without_last(
            inputs["accepted"], lambda verdict: verdict.get_int_custom_property(EXAMPLES_ID) in examples
        )
        return [verdict for verdict in verdicts if fileio.exists(f"{verdict.uri}/{VERDICT_FILE}")][-1:]


class WindowStrategy(Selection):
    """From `examples` (all that there are) and `verdicts` (all), the accepted examples of the window's spans.

    Args:
      window: JSON, span number to fingerprint of its files. Of examples that were made twice of the same
        files, those that were accepted last are taken.
    """

    KEY = "examples"

    def __init__(self, window: str) -> None:
        self._window: dict[int, str] = {int(span): files for span, files in json.loads(window).items()}

    def _select(self, inputs: Inputs) -> list[Artifact]:
        accepted = {
            verdict.get_int_custom_property(EXAMPLES_ID): verdict.id for verdict in inputs["verdicts"]
        }
        by_span: dict[int, Artifact] = {}
        for artifact in sorted(inputs["examples"], key=lambda made: accepted.get(made.id, -1)):
            files = artifact.get_string_custom_property(FILES)
            wanted = artifact.id in accepted and files and self._window.get(artifact.span) == files
            if wanted and fileio.exists(artifact.uri):
                by_span[artifact.span] = artifact
        return [by_span[span] for span in sorted(by_span)]


class CacheStrategy(Selection):
    """From `cache` (all that Transform left) and `examples`, keeps the last of other examples.

    A cache of these very examples is passed over while it is the last.
    """

    KEY = "cache"

    def _select(self, inputs: Inputs) -> list[Artifact]:
        mine = ids_of(inputs["examples"])
        caches = without_last(
            inputs["cache"], lambda cache: cache.get_string_custom_property(EXAMPLES_IDS) == mine
        )
        return [cache for cache in caches if fileio.exists(cache.uri) and fileio.listdir(cache.uri)][-1:]


def ids_of(examples: list[Artifact]) -> str:
    """The ids of artifacts, in order, as one text."""
    return ",".join(map(str, sorted(artifact.id for artifact in examples)))
