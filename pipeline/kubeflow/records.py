"""A run and each of its steps on disk, in a folder that all steps of the run see.

ROOT/runs/RUN_ID/STEP.json is there from the step's start; a step that is still `running` when the run is
over was ended from outside: memory, preemption, a timeout.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.example_gen.spans import Span
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
# Keys of the run's own record.
_CLOCK, _LAST, _BEFORE, _IDLE, _DECLINED = "clock", "last", "before", "unchanged", "declined"
_PLAN, _REASON, _FILES, _NEW, _OTHERS = "plan", "asked", "files", "new", "spans"
_VERDICTS, _SERVED = "seen", "served"


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
    def started(self) -> float:
        """When the run was decided on, in Unix time; now where it was not."""
        return float((self.read(RUN) or {}).get(_CLOCK, time.time()))

    @property
    def last(self) -> str | None:
        """The step that ends a run that goes well."""
        return (self.read(RUN) or {}).get(_LAST)

    @property
    def is_over(self) -> bool:
        """True where it was decided that there is nothing to do, or nothing to train."""
        record = self.read(RUN) or {}
        return record.get(_IDLE) is not None or _DECLINED in record

    def decline(self) -> None:
        """Write down that nothing is to be trained, for the steps that follow."""
        self.write(RUN, {**(self.read(RUN) or {}), _DECLINED: True})

    def write_run(self, run: Run, last: str) -> None:
        """Keep what was decided, for the steps that follow; `last` ends a run that goes well."""
        survey = run.survey
        record = {
            _CLOCK: run.start.clock,
            _LAST: last,
            _BEFORE: run.before,
            _IDLE: run.idle,
            _PLAN: run.plan.to_json(),
            _REASON: run.reason,
            _FILES: {number: span.fingerprint for number, span in survey.ready.items()},
            _NEW: [span.number for span in survey.pending],
            _OTHERS: {name: getattr(survey, name) for name in ("rejected", "waiting", "missing")},
            _VERDICTS: {number: asdict(verdict) for number, verdict in run.verdicts.items()},
            _SERVED: {number: asdict(evaluation) for number, evaluation in run.served.items()},
        }
        self.write(RUN, record)

    def read_run(self, config: Config, workdir: Workdir, ledger: Ledger, cached: bool = True) -> Run:
        """Return the run with what was decided, and without its steps; empty where nothing was decided yet.

        Its spans are those that it saw: files may be mended or replaced while it is at work.
        """
        record = self.read(RUN) or {}
        ready = {number: Span(number, (), files) for number, files in _by_number(record, _FILES)}
        others = record.get(_OTHERS, {})
        survey = SpanSurvey(
            config.data.pattern,
            ready,
            tuple(ready[number] for number in record.get(_NEW, ())),
            rejected=dict(_by_number(others, "rejected")),
            waiting=dict(_by_number(others, "waiting")),
            missing=tuple(others.get("missing", ())),
        )
        return Run(
            config,
            workdir,
            ledger,
            RunStart(config.pipeline.name, self.folder.name, self.started),
            survey,
            record.get(_REASON, ""),
            record.get(_IDLE),
            record.get(_BEFORE, []),
            cached=cached,
            verdicts={number: SpanVerdict(**verdict) for number, verdict in _by_number(record, _VERDICTS)},
            served={number: LiveEvaluation(**live) for number, live in _by_number(record, _SERVED)},
            plan=Plan.from_json(record[_PLAN]) if _PLAN in record else Plan(),
        )

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


def _by_number(record: dict[str, Any], key: str) -> Iterator[tuple[int, Any]]:
    """Yield the pairs of a table whose keys are numbers, which JSON makes strings."""
    for number, value in record.get(key, {}).items():
        yield int(number), value
