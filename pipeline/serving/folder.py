"""The directory of a model's versions, as serving sees it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from components.version_folder.log import damage, folders
from pipeline.serving.errors import ServingError
from pipeline.serving.model import LoadedModel

if TYPE_CHECKING:
    from components.version_folder.pins import Pins

logger = logging.getLogger(__name__)


def discover(base_dir: str | Path) -> dict[int, Path]:
    """Version directories by number, lowest first; none while the directory is out of reach."""
    try:
        return folders(Path(base_dir))
    except OSError:
        return {}


def latest(base_dir: str | Path) -> Path | None:
    """The directory of the highest version, or None."""
    versions = discover(base_dir)
    return versions[max(versions)] if versions else None


def load_served(base_dir: str | Path, name: str = "") -> LoadedModel:
    """Loads the version that answers requests without a version: the highest, of those pinned if any are.

    One that is not what was pushed is told and passed over, as `ModelStore` does.

    Args:
        base_dir: holds one directory a version.
        name: the model's name, by which it is pinned; that of the directory unless told otherwise.

    Raises:
        ServingError: there is none, or it cannot be loaded.
    """
    base = Path(base_dir)
    pins = pins_of(base, name or base.name)
    versions = discover(base)
    if pins and pins.versions:
        versions = {version: path for version, path in versions.items() if version in pins.versions}
        if not versions:
            listed = ", ".join(map(str, pins.versions))
            raise ServingError(f"{base}: version {listed} is pinned but is not there; pin another")
    passed: list[str] = []
    for version, path in reversed(versions.items()):
        why = damage_of(base, version, path, logger.warning)
        if not why:
            for line in passed:
                logger.warning("%s", line)
            return replace(LoadedModel.load(path), version=version)
        passed.append(why)
    if passed:
        raise ServingError(f"{passed[0]}; no other version can be served")
    raise ServingError(f"{base}: no version is served; push one with `kembar run`")


def damage_of(base_dir: Path, version: int, path: Path, warn: Callable[[str], object]) -> str:
    """Return the reason why a version must not be served, or nothing.

    Args:
        base_dir: holds the versions, and the log of them.
        version: one of them.
        path: its directory.
        warn: is told where the log cannot be read: then there is nothing to compare with.
    """
    try:
        why = damage(base_dir, version, path)
    except ServingError as error:
        warn(f"versions are served without being compared with what was pushed: {error}")
        return ""
    return f"{path}: {why}: `kembar run` pushes it again" if why else ""


def pins_of(base_dir: Path, name: str) -> Pins | None:
    """Return the model's pins in the model config file beside the directory, if it is there.

    Raises:
        ServingError: the file cannot be read.
    """
    # TensorFlow Serving's messages are wanted with a file only.
    from components.version_folder.pins import config_file, read_pins

    return read_pins(base_dir, name) if config_file(base_dir).is_file() else None
