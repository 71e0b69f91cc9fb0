"""`report.html`: one run on one page that needs no network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from pipeline.config.configuration import Config
from pipeline.outputs import write_output
from pipeline.runs.page import render
from pipeline.store.ledger import LedgerEntry
from pipeline.store.outcome import FILE as SUMMARY
from pipeline.store.workdir import Workdir
from pipeline.terminal import Terminal
from trainer.errors import ServingError
from trainer.files import replace_file

FILE = "report.html"


def write_report(config: Config, workdir: Workdir, entries: Sequence[LedgerEntry] = ()) -> Path:
    """Writes DIR/report.html of the last run, all at once.

    Args:
      config: The configuration.
      workdir: The run's folder.
      entries: The pipeline's history, oldest first.

    Raises:
      ServingError: there has been no run.
      OSError: it cannot be written.
    """
    replace_file(workdir.root / FILE, page_of(config, workdir, entries))
    return workdir.root / FILE


def put_report(
    config: Config, workdir: Workdir, entries: Sequence[LedgerEntry], output: Path | None, terminal: Terminal
) -> None:
    """Writes the page to `output`, or as `write_report` does; of a read-only work folder to standard output.

    Raises:
      ConfigError: `output` cannot be written.
      ServingError: there has been no run.
    """
    page = page_of(config, workdir, entries)
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


def page_of(config: Config, workdir: Workdir, entries: Sequence[LedgerEntry]) -> str:
    """The page of the last run, and of the decisions before it.

    Raises:
      ServingError: there has been no run.
    """
    path = workdir.root / SUMMARY
    if not path.is_file():
        raise ServingError(
            f"{path}: no run to report on: kembar run CONFIG first, or wait for the one at work"
        )
    return render(json.loads(path.read_text()), config, workdir.root, entries)
