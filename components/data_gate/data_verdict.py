"""The artifact of a verdict on data."""

from __future__ import annotations

from tfx.types import Artifact

from components.data_gate.validation_config import VERDICT_TYPE


class DataVerdict(Artifact):
    """`verdict.json`, and a profile of each split. TFX keeps it only where the data was accepted."""

    TYPE_NAME = VERDICT_TYPE
