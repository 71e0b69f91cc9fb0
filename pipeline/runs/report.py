"""`report.html`: one run on one page that needs no network."""

from __future__ import annotations

import json
from pathlib import Path

from pipeline.batch.outputs import write_output
from pipeline.config.configuration import Config
from pipeline.kubeflow.settling import settled_entries
from pipeline.retraining.ledger import Ledger
from pipeline.runs.outcome import FILE as SUMMARY
from pipeline.runs.page import render
from pipeline.store.database import is_kept
from pipeline.store.workdir import Workdir
from pipeline.terminal import Terminal
from trainer.errors import ServingError
from trainer.files import replace_file

FILE = "report.html"


def write_report(config: Config, workdir: Workdir, ledger: Ledger | None = None) -> Path:
    """Writes DIR/report.html of the last run, all at once.

    Args:
      config: The configuration.
      workdir: The run's folder.
      ledger: The pipeline's, where it is open already.

    Raises:
      ServingError: there has been no run.
      OSError: it cannot be written.
    """
    replace_file(workdir.root / FILE, page_of(config, workdir, ledger))
    return workdir.root / FILE


def put_report(config: Config, workdir: Workdir, output: Path | None, terminal: Terminal) -> None:
    """Writes the page to `output`, or as `write_report` does; of a read-only work folder to standard output.

    Raises:
      ConfigError: `output` cannot be written.
      ServingError: there has been no run.
    """
    page = page_of(config, workdir)
    if output is not None:
        write_output(output, page)
        terminal.result(str(output))
        return
    try:
        replace_file(workdir.root / FILE, page)
        terminal.result(str(workdir.root / FILE))
    except OSError as error:
        terminal.say(f"warning: {workdir.root / FILE}: {error.strerror}: the page goes to standard output")
        terminal.result(page.rstrip())


def page_of(config: Config, workdir: Workdir, ledger: Ledger | None = None) -> str:
    """The page of the last run; every run that has ended is summed up before, but where `ledger` is given.

    Raises:
      ServingError: there has been no run.
    """
    path = workdir.root / SUMMARY
    if not path.is_file():
        raise ServingError(
            f"{path}: no run to report on: kembar run CONFIG first, or wait for the one at work"
        )
    if ledger is not None:
        entries = ledger.entries()
    else:
        entries = settled_entries(config, workdir) if is_kept(config, workdir) else []
    return render(json.loads(path.read_text()), config, workdir.root, entries)
