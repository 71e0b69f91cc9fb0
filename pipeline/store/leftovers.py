"""The leftovers of runs that were killed, and of hands that tidied up: settled before the next run begins."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from components.version_folder.push import clean
from pipeline.store.layout import artifact_folders, system_folders
from pipeline.store.workdir import Workdir
from trainer.files import exclusive, remove_folder

# Of an artifact, the files that were in it when its step had ended, with their bytes, as JSON.
FILES = "kembar_files"
_OUTPUTS = (mlmd.Event.OUTPUT, mlmd.Event.DECLARED_OUTPUT)
_AT_WORK = (mlmd.Execution.NEW, mlmd.Execution.RUNNING)


def clear(store: MetadataStore, workdir: Workdir, say: Callable[[str], None]) -> None:
    """Ends what was killed, and makes steps run again of whose artifacts a file is missing.

    To be called under the run's lock: whatever the database says is at work is not.
    """
    if workdir.serving.is_dir():
        with exclusive(workdir.serving):
            clean(workdir.serving)
    _end_killed(store, workdir)
    forget_incomplete(store, say)


def record_files(store: MetadataStore, artifacts: Iterable[mlmd.Artifact]) -> None:
    """Keeps which files artifacts have now; TFX's cache looks at their folders only."""
    recorded = []
    for artifact in artifacts:
        if "://" not in artifact.uri and Path(artifact.uri).is_dir():
            artifact.custom_properties[FILES].string_value = json.dumps(_sizes(Path(artifact.uri)))
            recorded.append(artifact)
    if recorded:
        store.put_artifacts(recorded)


def forget_incomplete(store: MetadataStore, say: Callable[[str], None]) -> None:
    """Marks artifacts deleted of which a file is gone or has another size, and what was made with them.

    The cache takes the outputs of an execution all together or not at all.
    """
    broken = []
    for artifact in store.get_artifacts():
        if artifact.state == mlmd.Artifact.LIVE and FILES in artifact.custom_properties:
            why = _missing(artifact)
            if why:
                say(f"  warning: {why}: the step that wrote it runs again")
                broken.append(artifact.id)
    if not broken:
        return
    makers = {e.execution_id for e in store.get_events_by_artifact_ids(broken) if e.type in _OUTPUTS}
    events = store.get_events_by_execution_ids(sorted(makers))
    together = {event.artifact_id for event in events if event.type in _OUTPUTS}
    _mark(store, together | set(broken), mlmd.Artifact.DELETED)


def _end_killed(store: MetadataStore, workdir: Workdir) -> None:
    """Executions that a killed process has left running have failed; their folders go."""
    killed = [execution for execution in store.get_executions() if execution.last_known_state in _AT_WORK]
    if not killed:
        return
    ids = {execution.id for execution in killed}
    for folders in (artifact_folders(workdir.artifacts), system_folders(workdir.artifacts)):
        for folder in list(folders):
            if int(folder.name) in ids:
                remove_folder(workdir.artifacts, folder)
    events = store.get_events_by_execution_ids(sorted(ids))
    made = {
        event.artifact_id
        for event in events
        if event.type not in (mlmd.Event.INPUT, mlmd.Event.DECLARED_INPUT)
    }
    pending = [
        artifact.id
        for artifact in store.get_artifacts_by_id(sorted(made))
        if artifact.state == mlmd.Artifact.PENDING
    ]
    _mark(store, pending, mlmd.Artifact.ABANDONED)
    for execution in killed:
        execution.last_known_state = mlmd.Execution.FAILED
    store.put_executions(killed)


def _mark(store: MetadataStore, ids: Iterable[int], state: int) -> None:
    artifacts = store.get_artifacts_by_id(sorted(ids))
    for artifact in artifacts:
        artifact.state = state
    if artifacts:
        store.put_artifacts(artifacts)


def _missing(artifact: mlmd.Artifact) -> str:
    """Return, in words, the file that is not what it was; a folder that is gone TFX sees itself."""
    folder = Path(artifact.uri)
    if not folder.is_dir():
        return ""
    now = _sizes(folder)
    for name, size in json.loads(artifact.custom_properties[FILES].string_value).items():
        if name not in now:
            return f"{folder / name} is gone"
        if now[name] != size:
            return f"{folder / name} has {now[name]:,} bytes and had {size:,}"
    return ""


def _sizes(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*") if path.is_file()
    }
