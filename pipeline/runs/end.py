"""The end of a run, as it is kept: the summary, the entry in the history, the files that people look for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipeline.runs.run import Run
from pipeline.runs.summary import show_files
from pipeline.store.outcome import write


def record_end(run: Run, summary: dict[str, Any], say: Callable[[str], None], is_newest: bool = True) -> None:
    """Keep how a run ended.

    Args:
      run: The run.
      summary: Of it.
      say: Takes a line where not all can be shown.
      is_newest: False where a later run has begun, whose files those on top of the work folder are.

    Raises:
      OSError: the summary cannot be written.
      StatusError: the database does not take the entry.
    """
    root = run.workdir.root
    if is_newest and run.idle is None:
        try:
            show_files(run.steps, root)
        except OSError as error:  # what was pushed is in service all the same
            say(f"  warning: {root}: not all that there is to see: {error}: make room")
    if is_newest:
        write(root, summary)
    run.ledger.append(run.entry(summary))
