"""The record of each step of a run, in a folder that all steps of the run see.

ROOT/runs/RUN_ID/STEP.json is there from the step's start; a step that is still `running` when the run is
over was ended from outside: memory, preemption, a timeout.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.graph.step_result import FAILED, SKIPPED, StepResult
from trainer import errors
from trainer.errors import ConfigError, KembarError
from trainer.files import replace_file

if TYPE_CHECKING:
    from pipeline.runs.launch import Launcher

RUNNING = "running"
RUN = "run"


class StepDied(KembarError):
    """A step's container was ended from outside."""


class StepFailed(Exception):
    """An error of a step in another process that is none of ours."""


@dataclass(frozen=True)
class Records:
    """The records of one run."""

    folder: Path

    @classmethod
    def of(cls, root: Path, run_id: str) -> Records:
        """The records of a run below a pipeline root."""
        if not run_id.strip(".") or not all(letter.isalnum() or letter in "-_." for letter in run_id):
            raise ConfigError(f"--run-id {run_id!r}: letters, digits, '-', '_' and '.' only")
        return cls(root / "runs" / run_id)

    def write(self, name: str, record: dict[str, Any]) -> None:
        """Replaces a record in one step."""
        self.folder.mkdir(parents=True, exist_ok=True)
        replace_file(self.folder / f"{name}.json", json.dumps(record, indent=2, ensure_ascii=False))

    def read(self, name: str) -> dict[str, Any] | None:
        """A record, or None where there is none."""
        path = self.folder / f"{name}.json"
        return json.loads(path.read_text()) if path.is_file() else None

    def write_step(self, step: StepResult) -> None:
        """Keep the result of a step; its artifacts are in the metadata database."""
        self.write(
            step.id,
            {
                "state": step.state,
                "seconds": round(step.seconds, 2),
                "peak_memory_mb": step.peak_memory_mb,
                "execution": step.execution,
                "error": None
                if step.error is None
                else {"type": type(step.error).__name__, "message": str(step.error)},
            },
        )

    def steps(self, launcher: Launcher) -> list[StepResult]:
        """All steps in the order of the graph; what was never started is skipped."""
        return [self.step(node, launcher) for node in launcher.node_ids]

    def step(self, node: str, launcher: Launcher) -> StepResult:
        """Return the result of one step so far."""
        record = self.read(node)
        if record is None:
            return StepResult(node, SKIPPED)
        if record["state"] == RUNNING:
            died = StepDied(
                f"{node}: its container was ended while it worked: out of memory, out of time or preempted; "
                f"look at the pod, and at memory_limit and timeout_seconds of [kubeflow.steps.{node}]"
            )
            return StepResult(node, FAILED, error=died)
        step = StepResult(node, record["state"], record["seconds"], record["peak_memory_mb"])
        step.execution = record["execution"]
        if record["error"] is not None:
            kind = getattr(errors, record["error"]["type"], StepFailed)
            step.error = kind(record["error"]["message"])
        elif step.execution is not None:
            step.outputs = launcher.read_execution(step.execution)[1]
        return step
