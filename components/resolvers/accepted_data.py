"""A resolver strategy that finds the verdict on the last accepted data."""

from __future__ import annotations

import os
from typing import Any

from tfx.dsl.components.common import resolver
from tfx.dsl.io import fileio
from tfx.types import Artifact

from components.data_gate.validation_config import EXAMPLES_ID
from components.nodes import VERDICT_FILE


class AcceptedStrategy(resolver.ResolverStrategy):
    """From `accepted` (all verdicts) and `examples`, keeps the last verdict on other examples.

    A verdict on the very examples of this run is passed over while it is the last: when nothing has changed,
    the gate sees what it saw the first time, and comes out of the cache.
    """

    def resolve_artifacts(
        self, store: Any, input_dict: dict[str, list[Artifact]]
    ) -> dict[str, list[Artifact]]:
        """The same keys; `accepted` holds one verdict, or none when no data was accepted yet."""
        del store
        examples = {artifact.id for artifact in input_dict["examples"]}
        verdicts = sorted(input_dict["accepted"], key=lambda artifact: artifact.id)
        while verdicts and verdicts[-1].get_int_custom_property(EXAMPLES_ID) in examples:
            verdicts.pop()
        kept = [verdict for verdict in verdicts if fileio.exists(os.path.join(verdict.uri, VERDICT_FILE))]
        return {**input_dict, "accepted": kept[-1:]}
