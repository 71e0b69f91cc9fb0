"""How a step ends: its record, what KFP's page shows of it, its exit code, and one line why."""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.graph.step_result import FAILED, SKIPPED, StepResult
from pipeline.kubeflow.records import Records
from pipeline.runs.run import Run
from pipeline.runs.summary import declines_training, step_failure, summarize
from pipeline.store.outcome import EXIT_CODES
from pipeline.terminal import printable
from trainer.errors import KembarError

if TYPE_CHECKING:
    from pipeline.runs.launch import Launcher

# Kubernetes shows what stands in here as the reason why a container has ended.
_TERMINATION_LOG = Path("/dev/termination-log")


def end_step(
    step: StepResult, run: Run, records: Records, launcher: Launcher, executor_input: str | None
) -> int:
    """Keep the result of a step, show it, and return the exit code.

    What goes wrong behind the component is the step's failure, and its record says so.
    """
    if step.state not in (FAILED, SKIPPED):
        try:
            if executor_input is not None:
                from pipeline.kubeflow import user_interface

                user_interface.write(json.loads(executor_input), user_interface.of_step(step, run.config))
        except Exception as error:  # noqa: BLE001 - the step's own failure, so its record has to say so
            step.state, step.error = FAILED, error
    if step.error is not None:
        traceback.print_exception(step.error)
    records.write_step(step)
    tell(f"{step.id}: {step.state} in {step.seconds:.1f} s, {step.peak_memory_mb} MB")
    if step.state == FAILED:
        return _failed(step)
    if step.state == SKIPPED:
        return 0
    try:
        if declines_training(step):
            records.decline()
        return _verdict(run, records.steps(launcher)) if step.id == launcher.node_ids[-1] else 0
    except Exception as error:  # noqa: BLE001 - as above
        traceback.print_exc()
        step.state, step.error = FAILED, error
        records.write_step(step)
        return _failed(step)


def _failed(step: StepResult) -> int:
    outcome = step_failure(step)
    say_why(outcome.reason)
    return step.error.exit_code if isinstance(step.error, KembarError) else EXIT_CODES[outcome.status]


def _verdict(run: Run, steps: list[StepResult]) -> int:
    """The last step fails when nothing was pushed, so that the run shows it."""
    outcome = summarize(steps, run.before, run.workdir.name)
    status, line = EXIT_CODES[outcome["status"]], f"{outcome['status']}: {outcome['reason']}"
    (say_why if status else tell)(line)
    return status


def tell(line: str) -> None:
    """One line of the pod's log."""
    print(printable(line), flush=True)  # noqa: T201 - a container's stdout is its log


def say_why(reason: str) -> None:
    """One line where a person looks: the end of the log, and the pod's own message."""
    print(printable(f"kembar: error: {reason}"), file=sys.stderr, flush=True)  # noqa: T201 - as every command ends
    try:
        if _TERMINATION_LOG.exists():
            _TERMINATION_LOG.write_text(reason[:4_000])
    except OSError:
        return
