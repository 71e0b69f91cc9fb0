"""Runs of a cluster whose end nobody has summed up: the last task died, or a step ended the run after it."""

from __future__ import annotations

import sys
import time

from pipeline.config.configuration import Config
from pipeline.graph.step_result import FAILED
from pipeline.kubeflow.records import RUN, RUNNING, Records
from pipeline.store import outcome
from pipeline.store.database import connection, is_kept, is_writable, ledger_of
from pipeline.store.ledger import Ledger, LedgerEntry, read_entries
from pipeline.store.workdir import Workdir

# A volume may hold the folders of years of runs, and a network file system is slow to look into them.
_FRESH_SECONDS = 30 * 24 * 3600


def settle_runs(config: Config, workdir: Workdir, ledger: Ledger, but: str = "", tell: bool = False) -> None:
    """Sums up, from its records and ML Metadata, every run whose steps ended after its summary was written.

    Args:
      config: The configuration.
      workdir: The pipeline's folder; a folder without runs of a cluster costs nothing.
      ledger: The pipeline's.
      but: A run that is at work.
      tell: Whether webhook and command hear of them.
    """
    longest = config.kubeflow.run_timeout_seconds if config.kubeflow is not None else _FRESH_SECONDS
    for path in sorted(workdir.root.glob(f"runs/*/{RUN}.json")):
        records = Records(path.parent)
        # What is older, later runs have settled.
        is_old = time.time() - path.stat().st_mtime >= _FRESH_SECONDS
        if path.parent.name == but or is_old or not _is_unsettled(records, longest):
            continue
        from pipeline.kubeflow.conclude import conclude

        try:
            if config.kubeflow is not None and config.kubeflow.database is not None:
                connection(config.kubeflow.database, workdir)  # has the reason where this is no pod
            run = records.read_run(config, workdir, ledger)
            conclude(run, records, run.launcher(run.plan), None, tell)
        except Exception as error:  # noqa: BLE001 - what an older run left must not fail whoever looks at it
            cause = " ".join(str(error).split())
            print(f"{records.folder}: cannot be summed up: {cause}", file=sys.stderr, flush=True)  # noqa: T201


def settled_entries(config: Config, workdir: Workdir) -> list[LedgerEntry]:
    """The pipeline's history, oldest first, with every run that has ended; a read-only one as it stands.

    It is empty where nothing was run.
    """
    if not is_kept(config, workdir):
        return []
    if not is_writable(config, workdir):
        return read_entries(workdir, config.pipeline.name)
    ledger = ledger_of(config, workdir)
    settle_runs(config, workdir, ledger)
    return ledger.entries()


def _is_unsettled(records: Records, longest: float) -> bool:
    """True where the run has ended since it was summed up.

    A step that failed ends it, or the last one, and a step that has been at work for `longest` seconds: its
    container was ended, or `kembar schedule watch` has ended the run.
    """
    summary = records.folder / outcome.FILE
    before = summary.stat().st_mtime if summary.is_file() else 0.0
    written = {path.stem: path.stat().st_mtime for path in records.folder.glob("*.json")}
    newer = {name: at for name, at in written.items() if at > before}
    states = {name: (records.read(name) or {}).get("state") for name in newer}
    working = [newer[name] for name, state in states.items() if state == RUNNING]
    if working:
        return time.time() - max(working) > longest
    return FAILED in states.values() or records.decision.last in states
