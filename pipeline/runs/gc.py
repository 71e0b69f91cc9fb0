"""`kembar gc`: removes what no run, no served version, no blessed model and no comparison needs any more."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ml_metadata.errors import StatusError
from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd
from rich.table import Table

from components.champion import MODEL_ID, PUSHED_DESTINATION
from components.data_gate.validation_config import VERDICT_TYPE
from components.version_folder.push import clean, clear_aside, removable, set_aside
from pipeline.config.configuration import Config
from pipeline.retraining.survey import survey_spans
from pipeline.store.backup import back_up
from pipeline.store.layout import CHECKPOINTS, SYSTEM, artifact_folders, checkpoint_folders, system_folders
from pipeline.store.ledger import Ledger
from pipeline.store.lineage import Lineage, in_batches
from pipeline.store.lock import lock
from pipeline.store.pushes import LIVE, check_reachable, is_back
from pipeline.store.workdir import Workdir
from pipeline.terminal import Terminal
from trainer.errors import ConfigError, ServingError
from trainer.files import exclusive, is_folder, last_change, remove_folder

RECORDS = "runs"


@dataclass
class RemovalPlan:
    """The artifacts, folders and versions that are to go.

    Attributes:
      artifacts: Artifacts that the cache must not find again.
      folders: Kind to the folders of that kind.
      versions: Versions behind `[serving] keep_versions`.
    """

    artifacts: list[mlmd.Artifact] = field(default_factory=list)
    folders: dict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))
    versions: list[int] = field(default_factory=list)


def collect(config: Config, workdir: Workdir, keep: int, dry_run: bool, terminal: Terminal) -> None:
    """Removes, or only prints, what is not needed; no run can be at work meanwhile.

    Args:
      config: Says how many versions stay, and which spans are trained on.
      workdir: The pipeline's folder, with its metadata in SQLite.
      keep: How many of the newest runs keep all that they read and wrote.
      dry_run: Whether nothing is to be removed.
      terminal: Where the table goes.

    Raises:
      ConfigError: there is no metadata.
      Locked: a run is at work.
      ServingError: versions were pushed, and their folder is not there.
    """
    if not workdir.metadata.is_file():
        raise ConfigError(f"{workdir.metadata}: no such file: nothing was run in {workdir.root}")
    with lock(workdir.root):
        ledger = Ledger.local(workdir, config.pipeline.name)
        show = functools.partial(_show, workdir=workdir, dry_run=dry_run, terminal=terminal)
        if dry_run:
            show(_plan_for(config, workdir, ledger, keep, _of_the_window(config, ledger)))
        else:
            _decide_and_remove(config, workdir, ledger, keep, show)
            back_up(workdir, terminal.say)


def tidy(config: Config, workdir: Workdir, ledger: Ledger, keep: int, warn: Callable[[str], None]) -> None:
    """The same behind a run that still holds the lock, and whose success does not hang on it."""
    try:
        _decide_and_remove(config, workdir, ledger, keep)
    except (OSError, StatusError, ServingError) as error:
        warn(f"  warning: not cleaned up: {' '.join(str(error).split())}: `kembar gc` goes on with it")


def _decide_and_remove(
    config: Config,
    workdir: Workdir,
    ledger: Ledger,
    keep: int,
    show: Callable[[RemovalPlan], None] = lambda plan: None,
) -> None:
    """Decide what goes, and take versions out of sight, under the lock that pins need too.

    The folders themselves, which take their time, go behind it: nothing refers to them any more.
    """
    needed = _of_the_window(config, ledger)
    with ExitStack() as stack:
        if workdir.serving.is_dir():
            stack.enter_context(exclusive(workdir.serving))
        plan = _plan_for(config, workdir, ledger, keep, needed)
        show(plan)
        aside = _take_out(plan, ledger.store, workdir)
    clear_aside(workdir.serving, aside)
    # What tells our folders from others goes last: whatever ends this, the next one knows the rest as ours.
    for kind in sorted(plan.folders, key=lambda kind: kind == SYSTEM):
        for folder in plan.folders[kind]:
            remove_folder(workdir.root if kind == RECORDS else workdir.artifacts, folder)


def _plan_for(config: Config, workdir: Workdir, ledger: Ledger, keep: int, needed: set[int]) -> RemovalPlan:
    check_reachable(ledger.store, workdir.serving)  # or all models would go whose versions are out of sight
    kept = config.serving.keep_versions
    versions = [] if kept is None else removable(workdir.serving, kept, workdir.name)
    return make_plan(ledger.store, workdir, keep, versions, needed)


def _of_the_window(config: Config, ledger: Ledger) -> set[int]:
    """The examples, and the verdicts on them, that the next training reads."""
    examples = ledger.examples()
    window = {
        (s.number, s.fingerprint) for s in survey_spans(config, ledger.entries(), examples).ready.values()
    }
    needed = [example for example in examples if (example.span, example.files) in window]
    return {id_ for example in needed for id_ in (example.id, example.accepted) if id_ is not None}


def make_plan(
    store: MetadataStore,
    workdir: Workdir,
    keep: int,
    versions: Sequence[int] = (),
    needed: Iterable[int] = (),
) -> RemovalPlan:
    """Plan what goes when the newest `keep` runs stay, `versions` are removed, and artifacts are `needed`."""
    lineage = Lineage(store)
    runs = sorted(store.get_contexts_by_type("pipeline_run"), key=lambda run: run.id)
    fresh = runs[-keep:] if keep else []
    executions = {execution.id for run in fresh for execution in store.get_executions_by_context(run.id)}
    gone = {str(workdir.serving / str(version)) for version in versions}
    needed = lineage.touched(executions) | lineage.ancestors([*_wanted(lineage, gone), *needed])
    plan = RemovalPlan(versions=list(versions))
    live = set()
    for artifact in lineage.artifacts.values():
        relative = _relative_folder(artifact.uri)
        if artifact.id in needed or artifact.state not in (mlmd.Artifact.LIVE, mlmd.Artifact.UNKNOWN):
            if artifact.id in needed:
                live.add(relative)
        elif (workdir.artifacts / relative).is_dir():
            plan.artifacts.append(artifact)
    last = max((execution.id for execution in store.get_executions()), default=0)
    for folder in artifact_folders(workdir.artifacts, last):
        if str(folder.relative_to(workdir.artifacts)) not in live:
            plan.folders[folder.parts[-3]].append(folder)
    kept = executions | lineage.makers(needed)
    for folder in system_folders(workdir.artifacts):
        if int(folder.name) not in kept:
            plan.folders[SYSTEM].append(folder)
    _plan_old(plan, workdir, runs, fresh)
    return plan


def _wanted(lineage: Lineage, gone: set[str]) -> Iterator[int]:
    """Pushed models whose version is there, blessed ones that were never pushed, the last verdict on data.

    With that the next data is compared.
    """
    pushed = set()
    for artifact in lineage.artifacts.values():
        properties = artifact.custom_properties
        if lineage.types[artifact.type_id] == "PushedModel" and PUSHED_DESTINATION in properties:
            pushed.add(properties[MODEL_ID].int_value)
            destination = properties[PUSHED_DESTINATION].string_value
            there = is_back(artifact) or (artifact.state == LIVE and Path(destination).is_dir())
            if there and destination not in gone:
                yield artifact.id
                yield properties[MODEL_ID].int_value
    for artifact in lineage.artifacts.values():
        properties = artifact.custom_properties
        if (
            lineage.types[artifact.type_id] == "ModelBlessing"
            and properties["blessed"].int_value == 1
            and properties["current_model_id"].int_value not in pushed
        ):
            yield artifact.id
    accepted = (
        artifact.id
        for artifact in lineage.artifacts.values()
        if lineage.types[artifact.type_id] == VERDICT_TYPE and artifact.state == mlmd.Artifact.LIVE
    )
    yield from sorted(accepted)[-1:]


def _plan_old(plan: RemovalPlan, workdir: Workdir, runs: list[Any], fresh: list[Any]) -> None:
    """Checkpoints that the kept runs have not touched, and records of runs that are not kept."""
    since = fresh[0].create_time_since_epoch / 1_000 if fresh else float("inf")
    for folder in checkpoint_folders(workdir.artifacts):
        if last_change(folder) < since:
            plan.folders[CHECKPOINTS].append(folder)
    names = {run.name for run in runs} - {run.name for run in fresh}
    records = workdir.root / RECORDS
    if is_folder(records):
        plan.folders[RECORDS] += [f for f in records.glob("*") if f.name in names and is_folder(f)]


def _take_out(plan: RemovalPlan, store: MetadataStore, workdir: Workdir) -> list[Path]:
    """Marks artifacts deleted and moves versions aside; where those are now."""
    # First the database: whatever ends this, the cache finds nothing that is half gone.
    for artifact in plan.artifacts:
        artifact.state = mlmd.Artifact.DELETED
    in_batches(plan.artifacts, store.put_artifacts)
    if workdir.serving.is_dir():
        clean(workdir.serving)
    return set_aside(workdir.serving, plan.versions)


def _show(plan: RemovalPlan, workdir: Workdir, dry_run: bool, terminal: Terminal) -> None:
    rows = [(kind, folders) for kind, folders in sorted(plan.folders.items()) if folders]
    if plan.versions:
        rows.append(("versions", [workdir.serving / str(version) for version in plan.versions]))
    table = Table("what", "folders", "bytes", box=None, pad_edge=False)
    total = [0, 0]
    for kind, folders in rows:
        size = sum(_size(folder) for folder in folders)
        table.add_row(kind, f"{len(folders):,}", f"{size:,}")
        total = [total[0] + len(folders), total[1] + size]
    table.add_row("would be removed" if dry_run else "removed", f"{total[0]:,}", f"{total[1]:,}")
    terminal.table(table)


def _relative_folder(uri: str) -> str:
    """NODE/OUTPUT/EXECUTION, wherever the folder was when the run took place."""
    parts = uri.rstrip("/").split("/")
    if parts[-1].isdigit() and parts[-2].isdigit():  # one of several artifacts of the same output
        parts.pop()
    return "/".join(parts[-3:])


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
