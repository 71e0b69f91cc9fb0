"""The result of one node of a run, and the states that it can have."""

from __future__ import annotations

from dataclasses import dataclass, field

from ml_metadata.proto import metadata_store_pb2 as mlmd

RAN, CACHED, SKIPPED, FAILED = "ran", "cached", "skipped", "failed"


@dataclass
class StepResult:
    """The result of one node: its state, time, memory and outputs, or its error."""

    id: str
    state: str
    seconds: float = 0.0
    peak_memory_mb: int = 0
    outputs: dict[str, mlmd.Artifact] = field(default_factory=dict)
    error: BaseException | None = None
    execution: int | None = None
