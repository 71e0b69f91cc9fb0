"""The last task of a run in a cluster, which runs however the others ended: summary, report, notification."""

from __future__ import annotations

import json
import shutil
import time
from typing import Any

from pydantic import ValidationError

from pipeline import outcome, summary
from pipeline.config import Config
from pipeline.notify import Notify, notify
from pipeline.report import write_report
from pipeline.retraining.ledger import Ledger
from pipeline.retraining.work import entry_of, says_no
from pipeline.runners import user_interface
from pipeline.runners.beginning import unchanged_of, work_of
from pipeline.runners.launch import Launcher
from pipeline.runners.records import Records, StepDied
from pipeline.runners.steps import FAILED, SKIPPED, Step
from pipeline.workdir import Workdir


def conclude(
    config: Config,
    workdir: Workdir,
    launcher: Launcher,
    records: Records,
    ledger: Ledger,
    executor_input: str | None,
) -> int:
    """Writes summary and report of the run, shows them, and tells who is to hear of it."""
    told = json.loads(executor_input) if executor_input else {}
    unchanged = unchanged_of(records)
    steps = records.steps(launcher)
    if unchanged is None and not any(says_no(step) for step in steps):
        steps = name_unstarted(steps, launcher, told)
    begun = records.read("run") or {}
    work = work_of(config, workdir, ledger, records, steps)
    found: dict[str, Any] = {
        "pipeline": config.pipeline.name,
        "run_id": launcher.run_id,
        "started": begun.get("started"),
        "seconds": round(time.time() - begun["clock"], 2) if begun else 0.0,
        **(_end(steps, begun, workdir.name) if unchanged is None else outcome.unchanged(unchanged)),
        "retraining": work.to_json(),
    }
    if begun:
        ledger.append(entry_of(found, config, work if unchanged is None else None))
    records.folder.mkdir(parents=True, exist_ok=True)
    for folder in (records.folder, workdir.root):
        outcome.write(folder, found)
    summary.show_files(steps, workdir.root)
    report = write_report(config, workdir)
    shutil.copyfile(report, records.folder / report.name)
    page = user_interface.path_of(told, user_interface.REPORT)
    if page is not None:
        page.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(report, page)
    user_interface.write(told, {})
    print(f"{found['pipeline']}: {found['status']}: {found['reason']}", flush=True)  # noqa: T201
    notify(config.notify, found, records.folder / report.name)
    return 0


def _end(steps: list[Step], begun: dict[str, Any], name: str) -> dict[str, Any]:
    peak = max(step.peak_memory_mb for step in steps)
    return {**summary.summarize(steps, begun.get("before", []), name), "peak_memory_mb": peak}


def tell_failure(values: dict[str, Any], run_id: str, reason: str) -> None:
    """Tells of a run that this task cannot sum up, such as one with a wrong parameter.

    Args:
      values: The compiled configuration, which may be what is wrong.
      run_id: The run.
      reason: Why.
    """
    try:
        section = Notify.model_validate(values.get("notify", {}))
    except ValidationError:
        section = Notify()
    begun = {"pipeline": values["pipeline"]["name"], "run_id": run_id, "seconds": 0.0}
    notify(section, {**begun, **outcome.failed(reason)})


def name_unstarted(steps: list[Step], launcher: Launcher, told: dict[str, Any]) -> list[Step]:
    """Fails the first step that never started though all before it went well: its container came not up."""
    if any(step.state == FAILED for step in steps):
        return steps
    missing = next((step for step in steps if step.state == SKIPPED), None)
    if missing is not None:
        status = told.get("inputs", {}).get("parameterValues", {}).get("status") or {}
        said = (status.get("error") or {}).get("message") or "the cluster did not say why"
        missing.state = FAILED
        missing.error = StepDied(f"{missing.id}: its container never started: {said}")
    return steps
