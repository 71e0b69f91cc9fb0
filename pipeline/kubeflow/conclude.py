"""The last task of a run in a cluster, which runs however the others ended: summary, report, notification."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from pipeline.config.cluster import Kubeflow
from pipeline.config.notification import Notify
from pipeline.graph.step_result import FAILED, SKIPPED, StepResult
from pipeline.kubeflow import step_end, user_interface
from pipeline.kubeflow.records import Records, StepDied
from pipeline.runs.notify import notify
from pipeline.runs.report import FILE as REPORT
from pipeline.runs.report import write_report
from pipeline.runs.run import Run
from pipeline.runs.summary import declines_training, show_file
from pipeline.store import outcome
from pipeline.store.database import open_ledger
from pipeline.store.ledger import LedgerEntry
from pipeline.store.workdir import Workdir

if TYPE_CHECKING:
    from pipeline.runs.launch import Launcher


def conclude(
    run: Run, records: Records, launcher: Launcher, executor_input: str | None, tell: bool = True
) -> None:
    """Keep how the run ended, show it, and tell those who are to hear of it.

    Args:
      run: The run, as its record has it.
      records: Of its steps.
      launcher: Of its nodes.
      executor_input: What KFP tells the exit task; None where the run is summed up by others than that.
      tell: Whether webhook and command hear of it; where others than the exit task sum up anew, only of
        another end.
    """
    task_input = json.loads(executor_input) if executor_input else {}
    steps = records.steps(launcher)
    if executor_input is not None and run.idle is None and not any(map(declines_training, steps)):
        name_unstarted(steps)
    run.close(steps)
    summary = run.summary()
    before = records.folder / outcome.FILE
    earlier = json.loads(before.read_text()) if executor_input is None and before.is_file() else {}
    is_newest = all(other.decision.clock <= run.start.clock for other in records.others())
    run.keep(summary, step_end.tell, is_newest)
    records.folder.mkdir(parents=True, exist_ok=True)
    outcome.write(records.folder, summary)
    report = records.folder / REPORT
    if is_newest:
        show_file(write_report(run.config, run.workdir, run.ledger.entries()), report)
    page = user_interface.path_of(task_input, user_interface.REPORT)
    if page is not None and report.is_file():
        page.parent.mkdir(parents=True, exist_ok=True)
        show_file(report, page)
    user_interface.write(task_input, {})
    step_end.tell(f"{summary['pipeline']}: {summary['status']}: {summary['reason']}")
    if tell and any(earlier.get(key) != summary[key] for key in ("status", "reason")):
        notify(run.config.notify, summary, report if report.is_file() else None)


def tell_failure(values: dict[str, Any], root: Path, run_id: str, reason: str) -> None:
    """Tell of a run that this task cannot sum up, such as one with a wrong parameter.

    Summary and history have it too, where volume and database are there.

    Args:
      values: The compiled configuration, which may be what is wrong.
      root: The folder that all steps see.
      run_id: The run.
      reason: Why.
    """
    try:
        section = Notify.model_validate(values.get("notify", {}))
    except ValidationError:
        section = Notify()
    name = values["pipeline"]["name"]
    summary = outcome.RunStart(name, run_id).summary(outcome.without_steps(outcome.FAILURE, reason))
    try:
        records = Records.of(root, run_id)
        records.folder.mkdir(parents=True, exist_ok=True)
        for folder in (records.folder, root):
            outcome.write(folder, summary)
        database = Kubeflow.model_validate(values["kubeflow"]).database
        open_ledger(database, Workdir(root, root), name).append(LedgerEntry.of_summary(summary))
    except Exception as error:  # noqa: BLE001 - may be what is wrong: the webhook hears it all the same
        print(f"not in the history: {' '.join(str(error).split())}", file=sys.stderr, flush=True)  # noqa: T201
    notify(section, summary)


def name_unstarted(steps: list[StepResult]) -> list[StepResult]:
    """Fails the first step that never started though all before it went well: its container came not up.

    KFP tells an exit task that a task has failed, but not why.
    """
    if any(step.state == FAILED for step in steps):
        return steps
    missing = next((step for step in steps if step.state == SKIPPED), None)
    if missing is not None:
        missing.state = FAILED
        missing.error = StepDied(
            f"{missing.id}: its container never started, and the cluster does not say why here: look at "
            "its pod: the image's name and pull secret, a node that has what it asks for"
        )
    return steps
