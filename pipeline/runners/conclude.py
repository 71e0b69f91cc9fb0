"""The last task of a run in a cluster, which runs however the others ended: summary, report, webhook."""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from pipeline import outcome, summary
from pipeline.config import Config
from pipeline.report import write_report
from pipeline.retraining.ledger import Ledger
from pipeline.retraining.work import entry_of, says_no
from pipeline.runners import user_interface
from pipeline.runners.beginning import unchanged_of, work_of
from pipeline.runners.launch import FAILED, SKIPPED, Launcher, Step
from pipeline.runners.records import Records, StepDied
from pipeline.workdir import Workdir

# The variable that holds the URL, out of a secret.
WEBHOOK = "KEMBAR_WEBHOOK_URL"
_TRIES = 3
_TIMEOUT_SECONDS = 10
_LOG = logging.getLogger(__name__)


def conclude(
    config: Config,
    workdir: Workdir,
    launcher: Launcher,
    records: Records,
    ledger: Ledger,
    executor_input: str | None,
) -> int:
    """Writes summary and report of the run, shows and posts them; the webhook can never fail the run."""
    told = json.loads(executor_input) if executor_input else {}
    unchanged = unchanged_of(records)
    steps = records.steps(launcher)
    if unchanged is None and not any(says_no(step) for step in steps):
        steps = name_unstarted(steps, launcher, told)
    begun = records.read("run") or {}
    work = work_of(config, ledger, records, steps)
    found: dict[str, Any] = {
        "pipeline": config.pipeline.name,
        "run_id": launcher.run_id,
        "started": begun.get("started"),
        "seconds": round(time.time() - begun["clock"], 2) if begun else 0.0,
        **(_end(steps, begun) if unchanged is None else outcome.unchanged(unchanged)),
        **work.to_json(),
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
    url = os.environ.get(WEBHOOK)
    if url:
        notify(url, message(found, records.folder / report.name))
    return 0


def _end(steps: list[Step], begun: dict[str, Any]) -> dict[str, Any]:
    peak = max(step.peak_memory_mb for step in steps)
    return {**summary.summarize(steps, begun.get("before", [])), "peak_memory_mb": peak}


def tell_failure(pipeline: str, run_id: str, reason: str) -> None:
    """Tells the webhook of a run that this task cannot sum up, such as one with a wrong parameter."""
    url = os.environ.get(WEBHOOK)
    if url:
        found = {"pipeline": pipeline, "run_id": run_id, "started": None, "seconds": 0.0}
        notify(url, message({**found, **outcome.failed(reason)}, None))


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


def message(found: dict[str, Any], report: Path | None) -> dict[str, Any]:
    """What the webhook is sent; `text` alone is what chat services show."""
    return {
        "text": f"{found['pipeline']}: {found['status']}: {found['reason']}",
        **{key: found[key] for key in ("pipeline", "run_id", "status", "reason", "started", "seconds")},
        "version": found["model"]["version"],
        "metrics": found["metrics"],
        "report": None if report is None else str(report),
    }


def notify(url: str, body: dict[str, Any]) -> bool:
    """Posts JSON; whether it arrived. What goes wrong is logged without the URL, which is a secret."""
    if not url.startswith(("https://", "http://")):
        _LOG.error("webhook: the URL in %s begins neither with https:// nor with http://", WEBHOOK)
        return False
    request = urllib.request.Request(  # noqa: S310 - the scheme is checked above
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    for left in reversed(range(_TRIES)):
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS):  # noqa: S310
                return True
        except urllib.error.HTTPError as error:
            why = f"answered {error.code}"
            if error.code < 500:  # it will not like it better the next time
                left = 0
        except (OSError, ValueError) as error:
            why = type(error).__name__
        if not left:
            break
        time.sleep(2.0 ** (_TRIES - left))
    _LOG.error("webhook: not delivered: %s", why)
    return False
