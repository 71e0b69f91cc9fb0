"""The version directories of one model, and which of them are in memory.

As in TF Serving the highest number on disk is served, unless TF Serving's model config file beside the
directory pins others. A new version is loaded and warmed up beside the old one and then put in its place by
one assignment; requests that began on the old one keep a reference and finish on it. The old one is freed a
look later, because freeing holds up everything for a moment, which must not be the new one's first requests.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from components.version_folder.log import LARGEST, Stamp, defect, numbered, stamp
from pipeline.serving.errors import RequestError, ServingError, short_line
from pipeline.serving.folder import damage_of, discover, pins_of
from pipeline.serving.model import LoadedModel
from pipeline.serving.warmup import warm_up

if TYPE_CHECKING:
    from components.version_folder.pins import Pins

logger = logging.getLogger(__name__)

# Version numbers are int64 in TF Serving's protocol.
LARGEST_VERSION = LARGEST
# Seconds before a version that could not be served is tried again; twice as many after each further time.
_PAUSE, _LONGEST_PAUSE = 2.0, 300.0


@dataclass(frozen=True)
class VersionStatus:
    """A version's state in TF Serving's words: LOADING, AVAILABLE, or END with the error that ended it."""

    version: int
    state: str
    error: str = ""


@dataclass(frozen=True)
class _Serving:
    """The versions that answer at a moment, and labels to versions. It is replaced, never changed."""

    loaded: Mapping[int, LoadedModel] = field(default_factory=dict)
    labels: Mapping[str, int] = field(default_factory=dict)

    @property
    def highest(self) -> LoadedModel | None:
        return self.loaded[max(self.loaded)] if self.loaded else None


@dataclass(frozen=True)
class _Failure:
    """A version that could not be served: how it was then, how often that was, and when it is due again."""

    stamp: Stamp
    times: int
    due: float


class ModelStore:
    """The versions in service and the fate of the others.

    Args:
        base_dir: holds one directory a version.
        load: makes a model of a directory; tests put their own here.
        name: the model's name, by which it is pinned; that of the directory unless told otherwise.
        clock: seconds that only rise.
    """

    def __init__(
        self,
        base_dir: str | Path,
        load: Callable[[Path], LoadedModel] = LoadedModel.load,
        *,
        name: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.base_dir = Path(base_dir)
        self._name = name or self.base_dir.name
        self._load = load
        self._clock = clock
        # One assignment changes both versions and labels: readers take no lock.
        self._serving = _Serving()
        self._pins: Pins | None = None
        self._pins_error = ""
        self._statuses: dict[int, VersionStatus] = {}
        self._failed: dict[int, _Failure] = {}
        self._warned: set[str] = set()
        self._retired: list[LoadedModel] = []  # held until the next look
        self._lock = threading.Lock()
        self._refreshing = threading.Lock()
        self.load_failures = 0

    @property
    def current(self) -> LoadedModel | None:
        """The version that answers requests which name none: the highest.

        Keep the reference for a whole request: the next read may give another.
        """
        return self._serving.highest

    def find(self, name: str, version: int | None = None, label: str | None = None) -> LoadedModel:
        """The version that a request names by number or label, or else the current one.

        Version 0 stands for none, as in OpenVINO's model server, whose client always sends a number.

        Raises:
            RequestError: it is not in service; `name` is the model's name for the message.
        """
        serving = self._serving
        if label is not None:
            version = serving.labels.get(label)
            if version is None:
                raise RequestError(f"Unrecognized servable version label: {label}")
        if version:
            model = serving.loaded.get(version)
            if model is None:
                raise RequestError(f"Servable not found for request: Specific({name}, {version})", 404)
            return model
        if serving.highest is None:
            raise RequestError(f"no version of {name} is loaded yet", 503)
        return serving.highest

    def statuses(self, version: int | None = None, label: str | None = None) -> list[VersionStatus]:
        """The versions that were loaded or tried, the highest first; or the one asked for, if it is known.

        Raises:
            RequestError: the label is not known.
        """
        if label is not None and (version := self._serving.labels.get(label)) is None:
            raise RequestError(f"Unrecognized servable version label: {label}")
        with self._lock:
            return sorted(
                (status for status in self._statuses.values() if not version or status.version == version),
                key=lambda status: -status.version,
            )

    def refresh(self) -> bool:
        """Looks at the directory once; loads, warms up and swaps in other versions if that is due.

        Returns whether the versions in service changed. A version that fails, or is not what was pushed, is
        tried again after a pause that grows each time, and at once when its files, or who may read them,
        change. Unless versions are pinned, the next lower one is tried then, so that a restart on a broken
        push still serves; and a version in service that is gone from the disk goes on, unless a lower one is
        there to take over: that is a rollback. Of pinned versions all are loaded; the others go on until one
        of the pinned can answer. A label moves when the version that it is to name can answer, and what it
        named until then goes on as long.
        """
        with self._refreshing:
            self._retired = []
            before = self._serving.loaded
            on_disk = discover(self.base_dir)
            self._tell_defects(on_disk)
            pins = self._follow_pins()
            self._forget(on_disk)
            if pins is not None and pins.versions:
                for version in sorted(pins.versions, reverse=True):
                    self._ensure(version, on_disk)
                keep = set(pins.versions)
            else:
                served = (v for v in sorted(on_disk, reverse=True) if self._ensure(v, on_disk))
                keep = {version for version in [next(served, None)] if version is not None}
            self._keep(keep, pins.labels if pins is not None else {})
            return self._serving.loaded is not before

    def missing(self) -> str:
        """The reason why nothing was even tried: one clause for an error."""
        if self._pins_error:
            return self._pins_error
        if self._pins is not None and self._pins.versions:
            listed = ", ".join(map(str, self._pins.versions))
            return f"version {listed} is pinned but is not there; pin another with `kembar rollback`"
        return "no version there; push one with `kembar run`"

    def _follow_pins(self) -> Pins | None:
        """Return the pins of the model config file; while it cannot be read, those that it had before."""
        try:
            self._pins, self._pins_error = pins_of(self.base_dir, self._name), ""
        except (ServingError, OSError) as error:
            if str(error) != self._pins_error:  # once, not every second
                logger.warning("the versions in service stay: %s", error)
            self._pins_error = str(error)
        return self._pins

    def _ensure(self, version: int, on_disk: dict[int, Path]) -> bool:
        """Try to bring a version into service; True where it is."""
        if version in self._serving.loaded:
            return True
        failure = self._failed.get(version)
        due = failure is None or self._clock() >= failure.due
        return version in on_disk and due and self._try(version, on_disk[version])

    def _keep(self, versions: set[int], labels: Mapping[str, int]) -> None:
        """Moves the labels that can move, and ends the versions that are neither meant nor labelled."""
        loaded, old = self._serving.loaded, self._serving.labels
        moved = {}
        for label, version in labels.items():
            stays = version not in loaded and old.get(label) in loaded
            moved[label] = old[label] if stays else version
        kept = (versions | set(moved.values())) & loaded.keys()
        ended = loaded.keys() - kept if versions & loaded.keys() else set()
        if ended:
            self._retired += [loaded[version] for version in ended]
            loaded = {version: model for version, model in loaded.items() if version not in ended}
        self._serving = _Serving(loaded, moved)
        for version in ended:
            self._set(VersionStatus(version, "END"))

    def _try(self, version: int, path: Path) -> bool:
        """Puts a version in service if it answers."""
        started = time.monotonic()
        seen = stamp(path)
        self._set(VersionStatus(version, "LOADING"))
        try:
            if why := damage_of(self.base_dir, version, path, self._warn):
                raise ServingError(why)
            model = replace(self._load(path), version=version)
            requests = warm_up(model)
        # Whatever a damaged directory makes TensorFlow raise, the version in service goes on.
        except Exception as error:
            message = short_line(str(error)) or type(error).__name__
            line = f"version {version} cannot be served, the old one goes on: {message}"
            if line not in self._warned:  # with the traceback, once
                logger.exception("%s", line)
            self._warned.add(line)
            times = self._failed[version].times + 1 if version in self._failed else 1
            pause = min(_PAUSE * 2.0 ** (times - 1), _LONGEST_PAUSE)
            self._failed[version] = _Failure(seen, times, self._clock() + pause)
            self.load_failures += 1
            self._set(VersionStatus(version, "END", message))
            return False
        self._failed.pop(version, None)
        self._serving = replace(self._serving, loaded={**self._serving.loaded, version: model})
        self._set(VersionStatus(version, "AVAILABLE"))
        seconds = time.monotonic() - started
        logger.info("version %d in service after %.1f s, %d warm-up requests", version, seconds, requests)
        return True

    def _tell_defects(self, on_disk: dict[int, Path]) -> None:
        """Numbered directories that are no versions; they hold up nothing."""
        try:
            numbers = numbered(self.base_dir)
        except OSError:
            return
        for version, path in numbers.items():
            if version not in on_disk and (why := defect(path)):
                self._warn(f"{path}: is no version: it {why}")

    def _warn(self, line: str) -> None:
        if line not in self._warned:  # once, not every second
            self._warned.add(line)
            logger.warning("%s", line)

    def _forget(self, on_disk: dict[int, Path]) -> None:
        """Gives rewritten versions another chance, and drops those that are gone from the list."""
        for version, failure in list(self._failed.items()):
            if version not in on_disk or stamp(on_disk[version]) != failure.stamp:
                del self._failed[version]
        loaded = self._serving.loaded
        with self._lock:
            self._statuses = {
                version: status
                for version, status in self._statuses.items()
                if version in on_disk or version in loaded
            }

    def _set(self, status: VersionStatus) -> None:
        with self._lock:
            self._statuses[status.version] = status
