"""A resolver strategy that finds the verdict on the last accepted data."""

from __future__ import annotations

import os

from tfx.dsl.io import fileio
from tfx.types import Artifact

from components.data_gate.validation_config import EXAMPLES_ID
from components.nodes import VERDICT_FILE
from components.resolvers.selection import Inputs, Selection, without_last


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
        return [verdict for verdict in verdicts if fileio.exists(os.path.join(verdict.uri, VERDICT_FILE))][
            -1:
        ]
