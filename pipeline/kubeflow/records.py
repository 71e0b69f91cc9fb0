"""A run and each of its steps on disk, in a folder that all steps of the run see.

ROOT/runs/RUN_ID/STEP.json is there from the step's start; a step that is still `running` when the run is
over was ended from outside: memory, preemption, a timeout.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from pipeline.config.configuration import Config
from pipeline.graph.plan import Plan
from pipeline.graph.step_result import FAILED, SKIPPED, StepResult
from pipeline.retraining.survey import SpanSurvey
from pipeline.runs.run import Run
from pipeline.store.ledger import Ledger, LiveEvaluation, SpanVerdict
from pipeline.store.outcome import RunStart
from pipeline.store.workdir import Workdir
from trainer import errors
from trainer.errors import ConfigError, KembarError
from trainer.files import replace_file

if TYPE_CHECKING:
    from pipeline.runs.launch import Launcher

RUNNING = "running"
# The last task of a run, which is no node of the graph.
CONCLUDE = "Conclude"
RUN = "run"


class StepDied(KembarError):
    """A step's container was ended from outside."""


class StepFailed(Exception):
    """An error of a step in another process that is none of ours."""


@dataclass(frozen=True)
class Decision:
    """What the first step of a run decided, which the others and the last task go by.

    Attributes:
      clock: Unix time of the run's start.
      last: The step that ends a run that goes well.
      declined: True where a later step decided that nothing is to be trained.

    The rest is as in `Run`.
    """

    clock: float = field(default_factory=time.time)
    last: str = ""
    before: list[int] = field(default_factory=list)
    survey: SpanSurvey | None = None
    reason: str = ""
    idle: str | None = None
    plan: Plan = field(default_factory=Plan)
    verdicts: dict[int, SpanVerdict] = field(default_factory=dict)
    served: dict[int, LiveEvaluation] = field(default_factory=dict)
    declined: bool = False


_DECISION = TypeAdapter(Decision)
_OF_RUN = ("before", "reason", "idle", "plan", "verdicts", "served")


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

    def others(self) -> list[Records]:
        """The records of all runs beside this one, and its own, as far as they were decided on."""
        return [Records(path.parent) for path in self.folder.parent.glob(f"*/{RUN}.json")]

    def write(self, name: str, record: dict[str, Any]) -> None:
        """Replaces a record in one step."""
        self.folder.mkdir(parents=True, exist_ok=True)
        replace_file(self.folder / f"{name}.json", json.dumps(record, indent=2, ensure_ascii=False))

    def read(self, name: str) -> dict[str, Any] | None:
        """A record, or None where there is none."""
        path = self.folder / f"{name}.json"
        return json.loads(path.read_text()) if path.is_file() else None

    @property
    def decision(self) -> Decision:
        """The decision of the run's first step; an empty one of now until it has decided."""
        return _DECISION.validate_python(self.read(RUN) or {})

    @property
    def is_over(self) -> bool:
        """True where it was decided that there is nothing to do, or nothing to train."""
        decision = self.decision
        return decision.idle is not None or decision.declined

    def decline(self) -> None:
        """Write down that nothing is to be trained, for the steps that follow."""
        self._write_decision(replace(self.decision, declined=True))

    def write_run(self, run: Run, last: str) -> None:
        """Keep what was decided, for the steps that follow; `last` ends a run that goes well."""
        kept = {name: getattr(run, name) for name in _OF_RUN}
        self._write_decision(Decision(run.start.clock, last, survey=run.survey, **kept))

    def _write_decision(self, decision: Decision) -> None:
        self.write(RUN, _DECISION.dump_python(decision, mode="json"))

    def read_run(self, config: Config, workdir: Workdir, ledger: Ledger, cached: bool = True) -> Run:
        """Return the run with what was decided, and without its steps; empty where nothing was decided yet.

        Its spans are those that it saw: files may be mended or replaced while it is at work.
        """
        decision = self.decision
        start = RunStart(config.pipeline.name, self.folder.name, decision.clock)
        survey = decision.survey or SpanSurvey(config.data.pattern)
        kept = {name: getattr(decision, name) for name in _OF_RUN}
        return Run(config, workdir, ledger, start, survey, cached=cached, **kept)

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
