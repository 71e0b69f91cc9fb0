"""The pushed models of ML Metadata, held against the folder of versions before anything is compared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from components.champion import MODEL_ID, PUSHED_DESTINATION
from components.version_folder.log import LOG, damage, defect, folders
from trainer.errors import ServingError

_TYPE = "PushedModel"
_GONE = "is gone"
LIVE, DELETED = mlmd.Artifact.LIVE, mlmd.Artifact.DELETED


def settle(store: MetadataStore, serving: Path, say: Callable[[str], None] = lambda line: None) -> None:
    """Marks pushed models deleted whose version is gone or damaged, and live again whose version is back.

    Else the cache would say that they are served, or the next model be compared with none.

    Args:
      store: The metadata.
      serving: The folder of versions.
      say: Takes a line about each version that is not what was pushed.

    Raises:
      ServingError: as `check_reachable`; or the log of versions cannot be read.
    """
    check_reachable(store, serving)
    pushed = _pushed(store)
    if not pushed:
        return
    ids = {artifact.custom_properties[MODEL_ID].int_value for artifact in pushed}
    models = {artifact.id for artifact in store.get_artifacts_by_id(sorted(ids)) if artifact.state == LIVE}
    changed = []
    for artifact in pushed:
        why = _trouble(Path(destination_of(artifact)))
        if artifact.state == LIVE and why:
            if why != _GONE:
                version = destination_of(artifact)
                say(f"  warning: {version}: {why}: it is pushed again where it is still wanted")
            artifact.state = DELETED
            changed.append(artifact)
        elif not why and is_back(artifact) and artifact.custom_properties[MODEL_ID].int_value in models:
            artifact.state = LIVE
            changed.append(artifact)
    if changed:
        store.put_artifacts(changed)


def _trouble(version: Path) -> str:
    """Return the reason why a version cannot count as pushed, or nothing."""
    if not version.is_dir():
        return _GONE
    return defect(version) or damage(version.parent, int(version.name), version)


def check_reachable(store: MetadataStore, serving: Path) -> None:
    """Check that the folder of versions is what it was: a mount that is not there is no folder, or empty.

    Raises:
      ServingError: versions were pushed into it, and neither one of them nor the log of them is there.
    """
    destinations = [Path(destination_of(artifact)) for artifact in _pushed(store) if artifact.state == LIVE]
    pushed = [destination.name for destination in destinations if destination.parent == serving]
    try:
        if not pushed or (serving / LOG).is_file() or folders(serving):
            return
    except OSError as error:  # what a mount says whose server has gone away
        raise ServingError(f"{serving}: {error.strerror}: mount it, and let this user read it") from None
    raise ServingError(
        f"{serving}: version {pushed[-1]} was pushed there, and neither a version nor {LOG} is there: mount "
        f"it; to begin anew, with no model to compare with, make it with a file {LOG} that holds []"
    )


def is_back(pushed: mlmd.Artifact) -> bool:
    """True where a pushed model is marked deleted and its version is there; `gc` leaves no folder."""
    return pushed.state == DELETED and Path(pushed.uri).is_dir() and Path(destination_of(pushed)).is_dir()


def destination_of(pushed: mlmd.Artifact) -> str:
    """The version's folder."""
    return str(pushed.custom_properties[PUSHED_DESTINATION].string_value)


def _pushed(store: MetadataStore) -> list[mlmd.Artifact]:
    """Return the models that really were pushed; a new database does not know the type yet."""
    if not any(kind.name == _TYPE for kind in store.get_artifact_types()):
        return []
    artifacts = store.get_artifacts_by_type(_TYPE)
    return [artifact for artifact in artifacts if PUSHED_DESTINATION in artifact.custom_properties]
