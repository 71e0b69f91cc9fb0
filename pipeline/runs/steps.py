"""What became of one node of a run."""

from __future__ import annotations

from dataclasses import dataclass, field

from ml_metadata.proto import metadata_store_pb2 as mlmd

RAN, CACHED, SKIPPED, FAILED = "ran", "cached", "skipped", "failed"


@dataclass
class Step:
    """What became of one node."""

    id: str
    state: str
    seconds: float = 0.0
    peak_memory_mb: int = 0
    outputs: dict[str, mlmd.Artifact] = field(default_factory=dict)
    error: BaseException | None = None
    execution: int | None = None
