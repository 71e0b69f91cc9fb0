"""`kembar run`: the whole pipeline in this process, and the summary of it."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_metadata.errors import StatusError

from components.version_folder.pins import read_pins
from components.version_folder.push import versions
from pipeline.config.configuration import Config
from pipeline.config.preflight import preflight
from pipeline.interrupt import Interrupted, interruptible
from pipeline.retraining.span_run import SpanRun, declines_training, entry_of, prepare_run
from pipeline.runs.display import StepDisplay, relative_path, show_summary
from pipeline.runs.notify import notify, notify_error
from pipeline.store.backup import back_up, protect
from pipeline.store.ledger import Ledger
from pipeline.store.leftovers import clear
from pipeline.store.lock import Locked, lock
from pipeline.store.outcome import EXIT_CODES, FILE, failed, failure, interrupted, unchanged, write
from pipeline.store.pushes import settle
from pipeline.store.workdir import Workdir
from pipeline.terminal import Terminal
from trainer.errors import ConfigError, KembarError

if TYPE_CHECKING:
    from components.example_gen.spans import Span
    from pipeline.graph.plan import Plan
    from pipeline.graph.step_result import StepResult


@dataclass(frozen=True)
class _Start:
    """The start of a run: when it was, and the clock that its seconds are counted from."""

    pipeline: str
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    clock: float = field(default_factory=time.monotonic)

    @property
    def run_id(self) -> str:
        """The run's name, by its time."""
        return self.at.strftime("%Y%m%dT%H%M%S.%fZ")

    def summary(self, outcome: dict[str, Any]) -> dict[str, Any]:
        """Return the summary of a run that ends now with `outcome`."""
        return {
            "pipeline": self.pipeline,
            "run_id": self.run_id,
            "started": self.at.isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - self.clock, 2),
            **outcome,
        }


def run(path: Path, config: Config, workdir: Workdir, terminal: Terminal) -> int:
    """Run the pipeline and return the exit code; `summary.json` says the rest."""
    return _check_and_run(path, config, workdir, terminal, "asked for by kembar run")


def retrain(path: Path, config: Config, workdir: Workdir, terminal: Terminal, force: bool = False) -> int:
    """Run the pipeline where there is a reason, and return the exit code.

    It can be called at any time and any number of times: what was done is not done again.
    """
    return _check_and_run(path, config, workdir, terminal, "asked for by --force" if force else None)


def _check_and_run(
    path: Path, config: Config, workdir: Workdir, terminal: Terminal, requested: str | None
) -> int:
    """Check what can be checked before, and run under the folder's lock; errors are notified.

    `requested` is a person's reason to train; without one the data and the model in service decide.
    """
    try:
        preflight(str(path), config)
        # Whether these can be read is better known before hours of work.
        config.serving.for_gate()
        read_pins(workdir.serving, workdir.name)
        with interruptible(), lock(workdir.root), terminal.noise_to(workdir.log):
            start = _Start(config.pipeline.name)
            with _summary_of_failure(path, workdir.root, start):
                return _run_pipeline(config, workdir, terminal, start, requested)
    except Locked:
        raise
    except Exception as error:
        notify_error(config.notify, config.pipeline.name, error)
        raise


@contextmanager
def _summary_of_failure(path: Path, root: Path, start: _Start) -> Iterator[None]:
    """Write a summary where the run ends by an error before it has one."""
    # Whoever reads the summary of a run that was killed must not take it for the one before.
    (root / FILE).unlink(missing_ok=True)
    try:
        yield
    except Interrupted as stop:
        if not (root / FILE).exists():
            write(root, start.summary(interrupted(str(stop))))
        raise
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        if isinstance(error, ConfigError) and str(error).startswith("["):
            error = ConfigError(f"{path}: {error}")  # raised where the file is not known
        if not (root / FILE).exists():
            outcome = failed(str(error)) if isinstance(error, KembarError) else failure(error)
            with suppress(OSError):  # a full disk
                write(root, start.summary(outcome))
        raise error from None


def _run_pipeline(
    config: Config, workdir: Workdir, terminal: Terminal, start: _Start, requested: str | None
) -> int:
    """Run the pipeline where there is a reason, keep the summary and show it; the exit code."""
    protect(workdir, terminal.say)
    ledger = Ledger.local(workdir, config.pipeline.name)
    clear(ledger.store, workdir, terminal.say)
    settle(ledger.store, workdir.serving, terminal.say)
    before = versions(workdir.serving)
    span_run, reason = prepare_run(config, workdir, ledger, requested)
    idle = requested is None and not reason.due
    if idle:
        summary = start.summary({**unchanged(reason.figures), "retraining": span_run.to_json()})
    elif not span_run.survey.ready:
        pattern = span_run.survey.pattern
        raise ConfigError(f"[data] pattern = {pattern!r}: no span is complete: {reason.figures}")
    else:
        summary = _execute(span_run, workdir, terminal, start, before)
    page = None
    try:
        write(workdir.root, summary)
        ledger.append(entry_of(summary, config, None if idle else span_run))
        if not idle:
            page = _tidy_and_report(config, workdir, ledger, summary, terminal)
    except (OSError, StatusError) as error:
        raise KembarError(
            f"{summary['status']}: {summary['reason']}; and what there is to say of it could not be written "
            f"in {workdir.root}: {' '.join(str(error).split())}: make room"
        ) from None
    back_up(workdir, terminal.say)
    notify(config.notify, summary, page)
    show_summary(summary, config, workdir, terminal)
    return EXIT_CODES[summary["status"]]


def _tidy_and_report(
    config: Config, workdir: Workdir, ledger: Ledger, summary: dict[str, Any], terminal: Terminal
) -> Path:
    """The report, once what nobody needs any more is gone."""
    from pipeline.runs.gc import tidy
    from pipeline.runs.report import write_report

    if config.retraining is not None and config.retraining.keep_runs and EXIT_CODES[summary["status"]] == 0:
        tidy(config, workdir, ledger, config.retraining.keep_runs, terminal.say)
    return write_report(config, workdir, ledger.entries())


def _execute(
    span_run: SpanRun, workdir: Workdir, terminal: Terminal, start: _Start, before: list[int]
) -> dict[str, Any]:
    """Read the new spans, run the graph to its end, and return the summary.

    Args:
      span_run: The run.
      workdir: Where it works.
      terminal: For progress.
      start: Of the run.
      before: The versions that are there already.
    """
    config, survey = span_run.config, span_run.survey
    terminal.say(
        f"{config.pipeline.name}: {relative_path(workdir.root)}, "
        f"everything else that is printed goes to {relative_path(workdir.log)}"
    )
    # Here and not above: it takes seconds, and its noise belongs into the log.
    from absl import logging
    from tfx.orchestration.metadata import sqlite_metadata_connection_config

    from pipeline.graph import pipeline as graph
    from pipeline.runs.local import LocalRunner
    from pipeline.runs.summary import show_files, summarize

    logging.set_verbosity(logging.INFO)
    metadata = sqlite_metadata_connection_config(str(workdir.metadata))

    def runner_of(plan: Plan, name: str = "") -> LocalRunner:
        built = graph.build(config, workdir.artifacts, metadata, workdir.serving, plan=plan)
        return LocalRunner(built, start.run_id + name)

    def read(span: Span, plan: Plan, last: str) -> list[StepResult]:
        at = time.monotonic()
        steps = runner_of(plan, f"-{survey.name(span.number)}").run(up_to=last)
        terminal.say(f"  {survey.name(span.number)} read in {time.monotonic() - at:.1f} s")
        return steps

    def finish(plan: Plan) -> list[StepResult]:
        name = f"-{survey.name(plan.carry.span)}-again" if span_run.steps and plan.carry else ""
        runner = runner_of(plan, name)
        progress = StepDisplay(terminal, len(runner.node_ids))
        return runner.run(progress.start, progress.end, declines_training)

    try:
        if span_run.read_backlog(read):
            span_run.finish(finish)
        steps = span_run.steps
        for step in steps:
            if step.error is not None:
                traceback.print_exception(step.error, file=sys.stderr)
        summary = start.summary(
            {
                "peak_memory_mb": max(step.peak_memory_mb for step in steps),
                **summarize(steps, before, workdir.name),
                "retraining": span_run.to_json(),
            }
        )
    except KembarError:
        raise
    except Exception as error:  # noqa: BLE001 - outside of any component: the summary says so too
        traceback.print_exc(file=sys.stderr)
        return start.summary(failure(error))
    try:
        show_files(steps, workdir.root)
    except OSError as error:  # what was pushed is in service all the same
        terminal.say(f"  warning: {workdir.root}: not all that there is to see: {error}: make room")
    return summary
