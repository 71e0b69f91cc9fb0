"""The version directories of one model, and which of them are in memory.

As in TF Serving the highest number on disk is served, unless TF Serving's model config file beside the
directory pins others. A new version is loaded and warmed up beside the old one and then put in its place by
one assignment; requests that began on the old one keep a reference and finish on it. The old one is freed a
look later, because freeing holds up everything for a moment, which must not be the new one's first requests.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.serving.errors import RequestError, ServingError, one_line
from pipeline.serving.model import SAVED_MODEL_FILE, LoadedModel
from pipeline.serving.warmup import warm_up

if TYPE_CHECKING:
    from components.atomic_pusher.pins import Pins

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


def load_served(base_dir: str | Path) -> LoadedModel:
    """Loads the version that answers requests without a version: the highest, of those pinned if any are.

    Raises:
        ServingError: there is none, or it cannot be loaded.
    """
    pins = _read_pins(Path(base_dir))
    found = discover(base_dir)
    wanted = [version for version in (pins.versions if pins else ()) if version in found] or list(found)
    if pins and pins.versions and not set(pins.versions) & found.keys():
        listed = ", ".join(map(str, pins.versions))
        raise ServingError(f"{base_dir}: version {listed} is pinned but is not there; pin another")
    if not wanted:
        raise ServingError(f"{base_dir}: no version is served; push one with `kembar run`")
    return replace(LoadedModel.load(found[max(wanted)]), version=max(wanted))


class ModelStore:
    """The versions in service and the fate of the others.

    Args:
        base_dir: holds one directory a version.
        load: makes a model of a directory; tests put their own here.
    """

    def __init__(self, base_dir: str | Path, load: Callable[[Path], LoadedModel] = LoadedModel.load) -> None:
        self.base_dir = Path(base_dir)
        self._load = load
        # Both are replaced, never changed: readers take no lock.
        self._loaded: Mapping[int, LoadedModel] = {}
        self._labels: Mapping[str, int] = {}
        self._pins: Pins | None = None
        self._pins_error = ""
        self._statuses: dict[int, VersionStatus] = {}
        self._failed: dict[int, _Fingerprint] = {}
        self._retired: list[LoadedModel] = []  # held until the next look
        self._lock = threading.Lock()
        self._refreshing = threading.Lock()
        self.load_failures = 0

    @property
    def current(self) -> LoadedModel | None:
        """The version that answers requests which name none: the highest.

        Keep the reference for a whole request: the next read may give another.
        """
        loaded = self._loaded
        return loaded[max(loaded)] if loaded else None

    def find(self, name: str, version: int | None = None, label: str | None = None) -> LoadedModel:
        """The version that a request names by number or label, or else the current one.

        Version 0 stands for none, as in OpenVINO's model server, whose client always sends a number.

        Raises:
            RequestError: it is not in service; `name` is the model's name for the message.
        """
        if label is not None:
            version = self._labels.get(label)
            if version is None:
                raise RequestError(f"Unrecognized servable version label: {label}")
        if version:
            model = self._loaded.get(version)
            if model is None:
                raise RequestError(f"Servable not found for request: Specific({name}, {version})", 404)
            return model
        model = self.current
        if model is None:
            raise RequestError(f"no version of {name} is loaded yet", 503)
        return model

    def statuses(self, version: int | None = None, label: str | None = None) -> list[VersionStatus]:
        """The versions that were loaded or tried, the highest first; or the one asked for, if it is known.

        Raises:
            RequestError: the label is not known.
        """
        if label is not None and (version := self._labels.get(label)) is None:
            raise RequestError(f"Unrecognized servable version label: {label}")
        with self._lock:
            return sorted(
                (status for status in self._statuses.values() if not version or status.version == version),
                key=lambda status: -status.version,
            )

    def refresh(self) -> bool:
        """Looks at the directory once; loads, warms up and swaps in other versions if that is due.

        Returns whether the versions in service changed. A version that fails is skipped until its files
        change. Unless versions are pinned, the next lower one is tried then, so that a restart on a broken
        push still serves; and a version in service that is gone from the disk goes on, unless a lower one is
        there to take over: that is a rollback. Of pinned versions all are loaded; the others go on until one
        of the pinned can answer.
        """
        with self._refreshing:
            self._retired = []
            before = self._loaded
            on_disk = discover(self.base_dir)
            pins = self._follow_pins()
            self._forget(on_disk)
            if pins is not None and pins.versions:
                for version in sorted(pins.versions, reverse=True):
                    self._ensure(version, on_disk)
                self._keep(set(pins.versions) & self._loaded.keys())
            else:
                for version in sorted(on_disk, reverse=True):
                    if self._ensure(version, on_disk):
                        self._keep({version})
                        break
            self._labels = dict(pins.labels) if pins is not None else {}
            return self._loaded is not before

    def missing(self) -> str:
        """Why nothing was even tried: one clause for an error."""
        if self._pins_error:
            return self._pins_error
        if self._pins is not None and self._pins.versions:
            listed = ", ".join(map(str, self._pins.versions))
            return f"version {listed} is pinned but is not there; pin another with `kembar rollback`"
        return "no version there; push one with `kembar run`"

    def _follow_pins(self) -> Pins | None:
        """What the model config file says; while it cannot be read, what it said before."""
        try:
            self._pins, self._pins_error = _read_pins(self.base_dir), ""
        except (ServingError, OSError) as error:
            if str(error) != self._pins_error:  # once, not every second
                logger.warning("the versions in service stay: %s", error)
            self._pins_error = str(error)
        return self._pins

    def _ensure(self, version: int, on_disk: dict[int, Path]) -> bool:
        """Whether a version is in service, after trying to bring it there."""
        if version in self._loaded:
            return True
        return version in on_disk and version not in self._failed and self._try(version, on_disk[version])

    def _keep(self, versions: set[int]) -> None:
        """Ends the other versions, as long as one remains."""
        ended = self._loaded.keys() - versions
        if not versions or not ended:
            return
        self._retired += [self._loaded[version] for version in ended]
        self._loaded = {version: model for version, model in self._loaded.items() if version in versions}
        for version in ended:
            self._set(VersionStatus(version, "END"))

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
        self._loaded = {**self._loaded, version: model}
        self._set(VersionStatus(version, "AVAILABLE"))
        seconds = time.monotonic() - started
        logger.info("version %d in service after %.1f s, %d warm-up requests", version, seconds, requests)
        return True

    def _forget(self, on_disk: dict[int, Path]) -> None:
        """Gives rewritten versions another chance, and drops those that are gone from the list."""
        for version, fingerprint in list(self._failed.items()):
            if version not in on_disk or _fingerprint(on_disk[version]) != fingerprint:
                del self._failed[version]
        with self._lock:
            self._statuses = {
                version: status
                for version, status in self._statuses.items()
                if version in on_disk or version in self._loaded
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


def _read_pins(base_dir: Path) -> Pins | None:
    # TensorFlow Serving's messages import TensorFlow, which takes seconds and is wanted with a model only.
    from components.atomic_pusher.pins import config_file, read_pins

    return read_pins(base_dir) if config_file(base_dir).is_file() else None


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
