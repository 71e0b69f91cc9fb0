"""The version directories of one model, and which of them is in memory.

As in TF Serving the highest number on disk is served. A new version is loaded and warmed up beside the old
one and then put in its place by one assignment; requests that began on the old one keep a reference and
finish on it.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.serving.errors import ServingError, one_line
from pipeline.serving.model import SAVED_MODEL_FILE, LoadedModel
from pipeline.serving.warmup import warm_up

logger = logging.getLogger(__name__)

# Version numbers are int64 in TF Serving's protocol.
LARGEST_VERSION = 2**63 - 1

# What changes when a directory is written again: (name, bytes, nanoseconds) of each file.
_Fingerprint = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class VersionStatus:
    """A version's state in TF Serving's words: LOADING, AVAILABLE, or END with the error that ended it."""

    version: int
    state: str
    error: str = ""


def discover(base_dir: str | Path) -> dict[int, Path]:
    """Version directories by number: named by ASCII digits only, and with a SavedModel inside."""
    found: dict[int, Path] = {}
    try:
        entries = sorted(Path(base_dir).iterdir())
    except OSError:
        return found  # not there yet, or out of reach for now
    for entry in entries:
        name = entry.name
        if not (name.isascii() and name.isdecimal()) or len(name) > 19 or int(name) > LARGEST_VERSION:
            continue
        if (entry / SAVED_MODEL_FILE).is_file():
            # Of "7" and "007", which are the same number, the plain one sorts last and wins.
            found[int(name)] = entry
    return found


def latest(base_dir: str | Path) -> Path | None:
    """The directory of the highest version, or None."""
    found = discover(base_dir)
    return found[max(found)] if found else None


def load_latest(base_dir: str | Path) -> LoadedModel:
    """Loads the highest version.

    Raises:
        ServingError: there is none, or it cannot be loaded.
    """
    path = latest(base_dir)
    if path is None:
        raise ServingError(f"{base_dir}: no version is served; push one with `kembar run`")
    return LoadedModel.load(path)


class ModelStore:
    """The version in service and the fate of the others.

    Args:
        base_dir: holds one directory a version.
        load: makes a model of a directory; tests put their own here.
    """

    def __init__(self, base_dir: str | Path, load: Callable[[Path], LoadedModel] = LoadedModel.load) -> None:
        self.base_dir = Path(base_dir)
        self._load = load
        self._current: LoadedModel | None = None
        self._statuses: dict[int, VersionStatus] = {}
        self._failed: dict[int, _Fingerprint] = {}
        self._lock = threading.Lock()
        self._refreshing = threading.Lock()
        self.load_failures = 0

    @property
    def current(self) -> LoadedModel | None:
        """The version in service. Keep the reference for a whole request: the next read may give another."""
        return self._current

    def statuses(self) -> list[VersionStatus]:
        """The versions that were loaded or tried, the highest first."""
        with self._lock:
            return sorted(self._statuses.values(), key=lambda status: -status.version)

    def refresh(self) -> bool:
        """Looks at the directory once; loads, warms up and swaps in another version if that is due.

        Returns whether the version in service changed. A version that fails is skipped until its files
        change, and the next lower one is tried, so that a restart on a broken push still serves. A version in
        service that is gone from the disk goes on, unless a lower one is there to take over: that is a
        rollback.
        """
        with self._refreshing:
            on_disk = discover(self.base_dir)
            self._forget(on_disk)
            for version in sorted(on_disk, reverse=True):
                if self._current is not None and version == self._current.version:
                    return False
                if version not in self._failed and self._try(version, on_disk[version]):
                    return True
        return False

    def _try(self, version: int, path: Path) -> bool:
        """Puts a version in service if it answers."""
        started = time.monotonic()
        fingerprint = _fingerprint(path)
        self._set(VersionStatus(version, "LOADING"))
        try:
            model = replace(self._load(path), version=version)
            requests = warm_up(model)
        # Whatever a damaged directory makes TensorFlow raise, the version in service goes on.
        except Exception as error:
            message = one_line(str(error)) or type(error).__name__
            logger.exception("version %d cannot be served, the old one goes on: %s", version, message)
            self._failed[version] = fingerprint
            self.load_failures += 1
            self._set(VersionStatus(version, "END", message))
            return False
        previous, self._current = self._current, model
        self._set(VersionStatus(version, "AVAILABLE"))
        if previous is not None:
            self._set(VersionStatus(previous.version, "END"))
        seconds = time.monotonic() - started
        logger.info("version %d in service after %.1f s, %d warm-up requests", version, seconds, requests)
        return True

    def _forget(self, on_disk: dict[int, Path]) -> None:
        """Gives rewritten versions another chance, and drops those that are gone from the list."""
        for version, fingerprint in list(self._failed.items()):
            if version not in on_disk or _fingerprint(on_disk[version]) != fingerprint:
                del self._failed[version]
        served = self._current.version if self._current is not None else None
        with self._lock:
            self._statuses = {
                version: status
                for version, status in self._statuses.items()
                if version in on_disk or version == served
            }

    def _set(self, status: VersionStatus) -> None:
        with self._lock:
            self._statuses[status.version] = status


class Watcher:
    """A thread that refreshes a store every `interval` seconds, between `start()` and `stop()`."""

    def __init__(self, store: ModelStore, interval: float = 1.0) -> None:
        self._store = store
        self._interval = interval
        self._stopped = threading.Event()
        # A daemon, because a load in progress cannot be interrupted and must not hold up the exit.
        self._thread = threading.Thread(target=self._run, name="kembar-versions", daemon=True)

    def start(self) -> None:
        """Begins to look."""
        self._thread.start()

    def stop(self, timeout: float = 5.0) -> None:
        """Looks no more; waits up to `timeout` seconds for a load in progress."""
        self._stopped.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stopped.wait(self._interval):
            try:
                self._store.refresh()
            # Nothing should come here; if it does, the next look must still take place.
            except Exception:
                logger.exception("%s: cannot be looked at", self._store.base_dir)


def _fingerprint(path: Path) -> _Fingerprint:
    """What is in a directory now; files that vanish meanwhile are left out."""
    return tuple(sorted(_files(path)))


def _files(path: Path) -> Iterator[tuple[str, int, int]]:
    for folder, _, names in os.walk(path):
        for name in names:
            file = Path(folder, name)
            try:
                status = file.stat()
            except OSError:
                continue
            yield str(file.relative_to(path)), status.st_size, status.st_mtime_ns
