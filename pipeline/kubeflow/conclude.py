"""The last task of a run in a cluster, which runs however the others ended: summary, report, notification."""

from __future__ import annotations

import json
import shutil
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.config.cluster import Kubeflow
from pipeline.config.configuration import Config
from pipeline.config.notification import Notify
from pipeline.graph.step_result import FAILED, SKIPPED, StepResult
from pipeline.kubeflow import user_interface
from pipeline.kubeflow.first_step import restore_run, unchanged_of
from pipeline.kubeflow.records import RUN, Records, StepDied
from pipeline.retraining.span_run import declines_training, entry_of
from pipeline.runs.launch import Launcher
from pipeline.runs.notify import notify
from pipeline.runs.report import FILE as REPORT
from pipeline.runs.report import write_report
from pipeline.runs.summary import show_files, summarize
from pipeline.store import outcome
from pipeline.store.database import connection
from pipeline.store.ledger import Ledger
from pipeline.store.workdir import Workdir
from pipeline.terminal import printable


def conclude(
    config: Config,
    workdir: Workdir,
    launcher: Launcher,
    records: Records,
    ledger: Ledger,
    executor_input: str | None,
    tell: bool = True,
) -> int:
    """Write summary and report of the run, show them, and tell those who are to hear of it.

    Args:
      config: The run's.
      workdir: Where it works.
      launcher: Of the run.
      records: Of its steps.
      ledger: The pipeline's.
      executor_input: What KFP tells the exit task; None where the run is summed up by others than that.
      tell: Whether webhook and command hear of it; where others than the exit task sum up anew, only of
        another end.
    """
    task_input = json.loads(executor_input) if executor_input else {}
    unchanged = unchanged_of(records)
    steps = records.steps(launcher)
    if (
        executor_input is not None
        and unchanged is None
        and not any(declines_training(step) for step in steps)
    ):
        steps = name_unstarted(steps)
    run_record = records.read("run") or {}
    span_run = restore_run(config, workdir, ledger, records, steps)
    summary: dict[str, Any] = {
        "pipeline": config.pipeline.name,
        "run_id": launcher.run_id,
        "started": run_record.get("started") or datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(time.time() - run_record["clock"], 2) if run_record else 0.0,
        **(_end(steps, run_record, workdir.name) if unchanged is None else outcome.unchanged(unchanged)),
        "retraining": span_run.to_json(),
    }
    before = records.folder / outcome.FILE
    earlier = json.loads(before.read_text()) if executor_input is None and before.is_file() else {}
    ledger.append(entry_of(summary, config, span_run if run_record and unchanged is None else None))
    records.folder.mkdir(parents=True, exist_ok=True)
    outcome.write(records.folder, summary)
    report = records.folder / REPORT
    if _is_newest(records, run_record):
        outcome.write(workdir.root, summary)
        show_files(steps, workdir.root)
        shutil.copyfile(write_report(config, workdir, ledger.entries()), report)
    page = user_interface.path_of(task_input, user_interface.REPORT)
    if page is not None and report.is_file():
        page.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(report, page)
    user_interface.write(task_input, {})
    print(printable(f"{summary['pipeline']}: {summary['status']}: {summary['reason']}"), flush=True)  # noqa: T201
    if tell and any(earlier.get(key) != summary[key] for key in ("status", "reason")):
        notify(config.notify, summary, report if report.is_file() else None)
    return 0


def _is_newest(records: Records, run_record: dict[str, Any]) -> bool:
    """True where no run began after it: the files on top of the folder are the last run's."""
    others = [json.loads(path.read_text()) for path in records.folder.parent.glob(f"*/{RUN}.json")]
    return all(other.get("clock", 0.0) <= run_record.get("clock", time.time()) for other in others)


def _end(steps: list[StepResult], run_record: dict[str, Any], name: str) -> dict[str, Any]:
    peak = max(step.peak_memory_mb for step in steps)
    return {**summarize(steps, run_record.get("before", []), name), "peak_memory_mb": peak}


def is_concluded(records: Records) -> bool:
    """True where the run was summed up before."""
    return (records.folder / outcome.FILE).is_file()


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
    facts = {"pipeline": name, "run_id": run_id, "started": datetime.now(UTC).isoformat(timespec="seconds")}
    summary = {**facts, "seconds": 0.0, **outcome.failed(reason)}
    try:
        records = Records.of(root, run_id)
        records.folder.mkdir(parents=True, exist_ok=True)
        for folder in (records.folder, root):
            outcome.write(folder, summary)
        database = Kubeflow.model_validate(values["kubeflow"]).database
        Ledger(connection(database, Workdir(root, root)), name).append(entry_of(summary, None, None))
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
