"""`kembar run`: the whole pipeline in this process, and the summary of it."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_metadata.errors import StatusError

from components.bulk_inferrer.bulk_config import RESULT
from components.version_folder.pins import read_pins
from components.version_folder.push import versions
from pipeline.config.configuration import Config
from pipeline.config.preflight import preflight
from pipeline.retraining.ledger import Ledger
from pipeline.retraining.work import Work, begin_work, entry_of, says_no
from pipeline.runs.interrupt import Interrupted, interruptible
from pipeline.runs.notify import notify, notify_error
from pipeline.runs.outcome import EXIT_CODES, FILE, failed, failure, grouped, interrupted, unchanged, write
from pipeline.store.backup import back_up, protect
from pipeline.store.leftovers import clear
from pipeline.store.lock import lock
from pipeline.store.pushes import settle
from pipeline.store.workdir import Workdir
from pipeline.terminal import Terminal
from trainer.errors import ConfigError, KembarError, Locked
from trainer.undefined import defined, text

if TYPE_CHECKING:
    from components.example_gen.spans import Span
    from pipeline.retraining.plan import Plan
    from pipeline.runs.steps import Step


def run(path: Path, config: Config, workdir: Workdir, terminal: Terminal) -> int:
    """Runs the pipeline and returns the exit code; `summary.json` says the rest."""
    return _locked(path, config, workdir, terminal, "asked for by kembar run")


def retrain(path: Path, config: Config, workdir: Workdir, terminal: Terminal, force: bool = False) -> int:
    """Runs the pipeline where there is a reason, and returns the exit code.

    It can be called at any time and any number of times: what was done is not done again.
    """
    return _locked(path, config, workdir, terminal, "asked for by --force" if force else None)


def _locked(path: Path, config: Config, workdir: Workdir, terminal: Terminal, asked: str | None) -> int:
    try:
        preflight(str(path), config)
        # Whether these can be read is better known before hours of work.
        config.serving.for_gate()
        read_pins(workdir.serving, workdir.name)
        with interruptible(), lock(workdir.root), terminal.noise_to(workdir.log):
            return _told(path, config, workdir, terminal, asked)
    except Locked:
        raise
    except Exception as error:
        notify_error(config.notify, config.pipeline.name, error)
        raise


def _told(path: Path, config: Config, workdir: Workdir, terminal: Terminal, asked: str | None) -> int:
    """Runs it; where it ends by an error, the summary says so too."""
    started, clock = datetime.now(UTC), time.monotonic()
    begun = {
        "pipeline": config.pipeline.name,
        "run_id": started.strftime("%Y%m%dT%H%M%S.%fZ"),
        "started": started.isoformat(timespec="seconds"),
    }
    # Whoever reads the summary of a run that was killed must not take it for the one before.
    (workdir.root / FILE).unlink(missing_ok=True)
    try:
        return _run(config, workdir, terminal, begun, clock, asked)
    except Interrupted as stop:
        if not (workdir.root / FILE).exists():
            seconds = round(time.monotonic() - clock, 2)
            write(workdir.root, {**begun, "seconds": seconds, **interrupted(str(stop))})
        raise
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        if isinstance(error, ConfigError) and str(error).startswith("["):
            error = ConfigError(f"{path}: {error}")  # found by who does not know the file
        if not (workdir.root / FILE).exists():
            told = failed(str(error)) if isinstance(error, KembarError) else failure(error)
            with suppress(OSError):  # a full disk
                write(workdir.root, {**begun, "seconds": round(time.monotonic() - clock, 2), **told})
        raise error from None


def _run(
    config: Config,
    workdir: Workdir,
    terminal: Terminal,
    begun: dict[str, Any],
    clock: float,
    asked: str | None,
) -> int:
    protect(workdir, terminal.say)
    ledger = Ledger.local(workdir, config.pipeline.name)
    clear(ledger.store, workdir, terminal.say)
    settle(ledger.store, workdir.serving, terminal.say)
    before = versions(workdir.serving)
    work, reason = begin_work(config, workdir, ledger, asked)
    idle = asked is None and not reason.work
    if idle:
        found = {**begun, **unchanged(reason.figures), "retraining": work.to_json()}
        found["seconds"] = round(time.monotonic() - clock, 2)
    elif not work.survey.ready:
        raise ConfigError(f"[data] pattern = {work.survey.pattern!r}: no span is complete: {reason.figures}")
    else:
        found = _work_off(work, workdir, terminal, begun, clock, before)
    page = None
    try:
        write(workdir.root, found)
        ledger.append(entry_of(found, config, None if idle else work))
        if not idle:
            page = _tidy_and_report(config, workdir, ledger, found, terminal)
    except (OSError, StatusError) as error:
        raise KembarError(
            f"{found['status']}: {found['reason']}; and what there is to say of it could not be written in "
            f"{workdir.root}: {' '.join(str(error).split())}: make room"
        ) from None
    back_up(workdir, terminal.say)
    notify(config.notify, found, page)
    _conclude(found, config, workdir, terminal)
    return EXIT_CODES[found["status"]]


def _tidy_and_report(
    config: Config, workdir: Workdir, ledger: Ledger, found: dict[str, Any], terminal: Terminal
) -> Path:
    """The report, once what nobody needs any more is gone."""
    from pipeline.runs.report import write_report
    from pipeline.store.gc import tidy

    if config.retraining is not None and config.retraining.keep_runs and EXIT_CODES[found["status"]] == 0:
        tidy(config, workdir, ledger, config.retraining.keep_runs, terminal.say)
    return write_report(config, workdir)


def _work_off(
    work: Work, workdir: Workdir, terminal: Terminal, begun: dict[str, Any], clock: float, before: list[int]
) -> dict[str, Any]:
    """Carries it out, and returns the summary."""
    config = work.config
    terminal.say(
        f"{config.pipeline.name}: {_shown(workdir.root)}, "
        f"everything else that is printed goes to {_shown(workdir.log)}"
    )
    # Here and not above: it takes seconds, and its noise belongs into the log.
    from absl import logging
    from tfx.orchestration.metadata import sqlite_metadata_connection_config

    from pipeline.graph import pipeline as graph
    from pipeline.runs import summary
    from pipeline.runs.local import LocalRunner

    logging.set_verbosity(logging.INFO)
    metadata = sqlite_metadata_connection_config(str(workdir.metadata))

    def runner_of(plan: Plan, name: str = "") -> LocalRunner:
        built = graph.build(config, workdir.artifacts, metadata, workdir.serving, plan=plan)
        return LocalRunner(built, begun["run_id"] + name)

    def read(span: Span, plan: Plan, last: str) -> list[Step]:
        at = time.monotonic()
        steps = runner_of(plan, f"-{work.survey.name(span.number)}").run(up_to=last)
        terminal.say(f"  {work.survey.name(span.number)} read in {time.monotonic() - at:.1f} s")
        return steps

    def finish(plan: Plan) -> list[Step]:
        name = f"-{work.survey.name(plan.carry.span)}-again" if work.steps and plan.carry else ""
        runner = runner_of(plan, name)
        report = _Report(terminal, len(runner.node_ids))
        return runner.run(report.start, report.end, says_no)

    try:
        if work.read_backlog(read):
            work.finish(finish)
        steps = work.steps
        for step in steps:
            if step.error is not None:
                traceback.print_exception(step.error, file=sys.stderr)
        found: dict[str, Any] = {
            **begun,
            "seconds": round(time.monotonic() - clock, 2),
            "peak_memory_mb": max(step.peak_memory_mb for step in steps),
            **summary.summarize(steps, before, workdir.name),
            "retraining": work.to_json(),
        }
    except KembarError:
        raise
    except Exception as error:  # noqa: BLE001 - outside of any component: the summary says so too
        traceback.print_exc(file=sys.stderr)
        return {**begun, "seconds": round(time.monotonic() - clock, 2), **failure(error)}
    try:
        summary.show_files(steps, workdir.root)
    except OSError as error:  # what was pushed is in service all the same
        terminal.say(f"  warning: {workdir.root}: not all that there is to see: {error}: make room")
    return found


class _Report:
    """One line a component, when it has ended; while it works, a spinner where there is a terminal."""

    def __init__(self, terminal: Terminal, total: int) -> None:
        self._terminal = terminal
        self._total = total
        self._done = 0
        self._status = terminal.console.status("") if terminal.console.is_terminal else None

    def start(self, node: str) -> None:
        if self._status is not None:
            self._status.update(node)
            self._status.start()

    def end(self, step: Step) -> None:
        self._done += 1
        if self._status is not None:
            self._status.stop()
        line = f"  {self._done:>2}/{self._total} {step.id:<18} {step.state:<8}"
        if step.seconds:
            line += f"{step.seconds:7.1f} s {step.peak_memory_mb:6d} MB"
        self._terminal.say(line)


def _conclude(found: dict[str, Any], config: Config, workdir: Workdir, terminal: Terminal) -> None:
    _show_metrics(found, config.gates.split, terminal)
    _show_data(found["data"], terminal)
    bulk = found.get("bulk")
    if bulk is not None:
        scored, place = bulk["rows_scored"], _shown(workdir.root / RESULT)
        terminal.say(
            f"  bulk: {scored} of {bulk['rows_read']} rows scored" + (f": {place}" if scored else "")
        )
    for warning in found["data"]["warnings"]:
        terminal.say(f"  warning: {warning}")
    if found["status"] == "failed":
        terminal.say(f"kembar: error: {found['reason']} (traceback in {_shown(workdir.log)})")
    terminal.result(f"{found['pipeline']}: {found['status']}: {found['reason']} ({found['seconds']:.0f} s)")


def _show_metrics(found: dict[str, Any], split: str, terminal: Terminal) -> None:
    rows = {"model": found["metrics"].get(split, {})}
    rows |= {name: measured.get(split, {}) for name, measured in found["baselines"].items()}
    for name, measured in rows.items():
        shown = "  ".join(f"{key} {text(defined(value))}" for key, value in sorted(measured.items()))
        if shown:
            terminal.say(f"  {split} {name:<14} {shown}")
    for where, reason, names in grouped(found["undefined"].get("metrics", {})):
        terminal.say(f"  {where} {', '.join(names)} undefined: {reason}")


def _show_data(data: dict[str, Any], terminal: Terminal) -> None:
    dialects: Counter[str] = Counter()
    for files in data["dialect"].values():
        dialects.update(files)
    if dialects:
        each = "; ".join(
            f"{dialect} ({count} files)" if len(dialects) > 1 else dialect
            for dialect, count in dialects.most_common()
        )
        terminal.say(f"  read as: {each}")
    for remark in data["remarks"]:
        terminal.say(f"  {remark}")
    if data["rows_quarantined"]:
        reasons = ", ".join(f"{reason} ({n})" for reason, n in data["quarantine_reasons"].items())
        terminal.say(f"  {data['rows_quarantined']} of {data['rows_read']} rows quarantined: {reasons}")


def _shown(path: Path) -> str:
    """Relative where that is shorter."""
    relative = os.path.relpath(path)
    return relative if not relative.startswith("..") else str(path)
