"""Resolver strategies for data in spans."""

from __future__ import annotations

import json
from typing import Any

from tfx.dsl.components.common import resolver
from tfx.dsl.io import fileio
from tfx.types import Artifact

from components.data_gate.validation_config import EXAMPLES_ID
from components.example_gen.spans import FILES

# Custom property by which a cache of Transform tells which Examples artifacts it is of.
EXAMPLES_IDS = "examples_ids"


class WindowStrategy(resolver.ResolverStrategy):
    """From `examples` (all that there are) and `verdicts` (all), the accepted examples of the window's spans.

    Args:
      window: JSON, span number to fingerprint of its files. Of examples that were made twice of the same
        files, those that were accepted last are taken.
    """

    def __init__(self, window: str) -> None:
        self._window: dict[int, str] = {int(span): files for span, files in json.loads(window).items()}

    def resolve_artifacts(
        self, store: Any, input_dict: dict[str, list[Artifact]]
    ) -> dict[str, list[Artifact]]:
        """The same keys; `examples` holds one artifact a span, in order of the spans."""
        del store
        accepted = {
            verdict.get_int_custom_property(EXAMPLES_ID): verdict.id for verdict in input_dict["verdicts"]
        }
        by_span: dict[int, Artifact] = {}
        for artifact in sorted(input_dict["examples"], key=lambda made: accepted.get(made.id, -1)):
            files = artifact.get_string_custom_property(FILES)
            wanted = artifact.id in accepted and files and self._window.get(artifact.span) == files
            if wanted and fileio.exists(artifact.uri):
                by_span[artifact.span] = artifact
        return {**input_dict, "examples": [by_span[span] for span in sorted(by_span)]}


class CacheStrategy(resolver.ResolverStrategy):
    """From `cache` (all that Transform left) and `examples`, keeps the last that is of other examples.

    A cache of these very examples is passed over while it is the last: when nothing has changed, Transform
    sees what it saw the first time, and comes out of TFX's cache.
    """

    def resolve_artifacts(
        self, store: Any, input_dict: dict[str, list[Artifact]]
    ) -> dict[str, list[Artifact]]:
        """The same keys; `cache` holds one artifact, or none."""
        del store
        mine = ids_of(input_dict["examples"])
        caches = sorted(input_dict["cache"], key=lambda artifact: artifact.id)
        while caches and caches[-1].get_string_custom_property(EXAMPLES_IDS) == mine:
            caches.pop()
        kept = [cache for cache in caches if fileio.exists(cache.uri) and fileio.listdir(cache.uri)]
        return {**input_dict, "cache": kept[-1:]}


def ids_of(examples: list[Artifact]) -> str:
    """The ids of artifacts, in order, as one text."""
    return ",".join(map(str, sorted(artifact.id for artifact in examples)))
