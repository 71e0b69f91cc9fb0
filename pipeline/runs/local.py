"""`kembar run` and `kembar retrain`: a whole run in this process, node by node."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ml_metadata.errors import StatusError

from components.version_folder.pins import read_pins
from pipeline.config.configuration import Config
from pipeline.config.preflight import preflight
from pipeline.interrupt import Interrupted, interruptible
from pipeline.runs.display import relative_path, show_summary
from pipeline.runs.gc import tidy
from pipeline.runs.notify import notify, notify_error
from pipeline.runs.report import write_report
from pipeline.runs.run import Run
from pipeline.store import outcome
from pipeline.store.backup import back_up, protect
from pipeline.store.ledger import Ledger
from pipeline.store.leftovers import clear
from pipeline.store.lock import Locked, lock
from pipeline.store.pushes import settle
from pipeline.store.workdir import Workdir
from pipeline.terminal import Terminal
from trainer.errors import KembarError, SectionError


def run_pipeline(
    path: Path, config: Config, workdir: Workdir, terminal: Terminal, requested: str | None
) -> int:
    """Check what can be checked before, run under the folder's lock, and return the exit code.

    It can be called at any time and any number of times: what was done is not done again. `summary.json` says
    how it ended, and an error is notified.

    Args:
      path: The configuration's file.
      config: The configuration.
      workdir: Where it works.
      terminal: For progress; all else that is printed goes to the folder's log.
      requested: A person's reason to train; without one the data and the model in service decide.
    """
    try:
        preflight(str(path), config)
        # Whether these can be read is better known before hours of work.
        config.serving.for_gate()
        read_pins(workdir.serving, workdir.name)
        with interruptible(), lock(workdir.root), terminal.noise_to(workdir.log):
            start = outcome.RunStart.now(config.pipeline.name)
            with _summary_of_failure(path, workdir.root, start):
                return _run(config, workdir, terminal, start, requested)
    except Locked:
        raise
    except Exception as error:
        notify_error(config.notify, config.pipeline.name, error)
        raise


@contextmanager
def _summary_of_failure(path: Path, root: Path, start: outcome.RunStart) -> Iterator[None]:
    """Write a summary where the run ends by an error before it has one."""
    # Whoever reads the summary of a run that was killed must not take it for the one before.
    (root / outcome.FILE).unlink(missing_ok=True)
    try:
        yield
    except Interrupted as stop:
        if not (root / outcome.FILE).exists():
            outcome.write(root, start.summary(outcome.without_steps(outcome.INTERRUPTED, str(stop))))
        raise
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        if isinstance(error, SectionError):  # raised where the file is not known
            error = SectionError(f"{path}: {error}")
        if not (root / outcome.FILE).exists():
            ours = isinstance(error, KembarError)
            ending = outcome.without_steps(outcome.FAILURE, str(error)) if ours else outcome.failure(error)
            with suppress(OSError):  # a full disk
                outcome.write(root, start.summary(ending))
        raise error from None


def _run(
    config: Config, workdir: Workdir, terminal: Terminal, start: outcome.RunStart, requested: str | None
) -> int:
    """Put the work folder in order, run where there is a reason, and tell how it ended; the exit code."""
    protect(workdir, terminal.say)
    ledger = Ledger.local(workdir, config.pipeline.name)
    clear(ledger.store, workdir, terminal.say)
    settle(ledger.store, workdir.serving, terminal.say)
    run = Run.decide(config, workdir, ledger, start, requested)
    summary = run.summary() if run.idle is not None else _launch(run, terminal)
    page = None
    try:
        run.keep(summary, terminal.say)
        if run.idle is None:
            keep = config.retraining.keep_runs if config.retraining is not None else None
            if keep and outcome.EXIT_CODES[summary["status"]] == 0:
                tidy(config, workdir, ledger, keep, terminal.say)
            page = write_report(config, workdir, ledger.entries())
    except (OSError, StatusError) as error:
        raise KembarError(
            f"{summary['status']}: {summary['reason']}; and what there is to say of it could not be written "
            f"in {workdir.root}: {' '.join(str(error).split())}: make room"
        ) from None
    back_up(workdir, terminal.say)
    notify(config.notify, summary, page)
    show_summary(summary, config, workdir, terminal)
    return outcome.EXIT_CODES[summary["status"]]


def _launch(run: Run, terminal: Terminal) -> dict[str, Any]:
    """Launch the nodes of the run to its end; the summary."""
    terminal.say(
        f"{run.config.pipeline.name}: {relative_path(run.workdir.root)}, "
        f"everything else that is printed goes to {relative_path(run.workdir.log)}"
    )
    from absl import logging  # here, so that what it prints goes into the log

    logging.set_verbosity(logging.INFO)
    try:
        if run.read_backlog(terminal.say):
            run.finish(terminal)
        for step in run.steps:
            if step.error is not None:
                traceback.print_exception(step.error, file=sys.stderr)
        return run.summary()
    except KembarError:
        raise
    except Exception as error:  # noqa: BLE001 - outside of any component: the summary says so too
        traceback.print_exc(file=sys.stderr)
        return run.start.summary(outcome.failure(error))
