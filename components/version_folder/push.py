"""Pushing: a model becomes a numbered folder in the folder that TF Serving watches, and a line in its log.

A version appears to TF Serving the moment its numbered folder exists. So a model is copied beside,
under a name that is no number, checked, and appears by one rename; and it goes the same way.
"""

from __future__ import annotations

import json
import shutil
import socket
import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from components.version_folder import log
from components.version_folder.log import checksum, damage, digests, folders, numbered, read_log
from components.version_folder.pins import STABLE, pinned_by_others, read_pins
from trainer import files
from trainer.errors import ServingError
from trainer.files import exclusive, remove_folder, replace_file, sync, sync_all
from trainer.undefined import strict

# What a push is about to add to the log: there as long as a version may stand there unlogged.
PENDING = ".pending.json"
INCOMING, REMOVING = ".incoming-", ".removing-"


def versions(base: Path) -> list[int]:
    """Versions in the folder, lowest first; numbered folders without a SavedModel are none."""
    return list(folders(base))


def in_service(base: Path, name: str = "") -> int | None:
    """The version that is meant to answer: the one labelled stable, or the highest of the pinned, or of all.

    One that is not what was pushed answers nothing: it is passed over, as `kembar serve` does.

    Args:
      base: The folder of versions.
      name: The model's name in requests, by which it is pinned; that of the folder unless told otherwise.

    Raises:
      ServingError: the model config file beside `base`, or the log, cannot be read.
    """
    present, pins = folders(base), read_pins(base, name)
    if pins is not None and pins.versions:
        present = {version: path for version, path in present.items() if version in pins.versions}
    wanted = sorted(present, reverse=True)
    if pins is not None and pins.labels.get(STABLE) in present:
        wanted.insert(0, pins.labels[STABLE])
    return next((version for version in wanted if not damage(base, version, present[version])), None)


def damaged(base: Path) -> int | None:
    """The version that was pushed last, if it is there and is not what was pushed.

    Raises:
      ServingError: the log cannot be read.
    """
    newest = max((entry["version"] for entry in read_log(base)), default=None)
    folder = numbered(base).get(newest) if newest is not None else None
    return newest if newest is not None and folder is not None and damage(base, newest, folder) else None


def age_of(base: Path, version: int | None, now: float | None = None) -> timedelta | None:
    """Time since a version was pushed, by the log; None where the log does not say."""
    pushed = [entry["pushed"] for entry in read_log(base) if entry["version"] == version]
    return timedelta(seconds=(time.time() if now is None else now) - pushed[-1]) if pushed else None


def models_of(base: Path) -> dict[str, int]:
    """The source of each version's model, to the version, by the log."""
    return {entry["model"]: entry["version"] for entry in read_log(base) if "model" in entry}


def next_version(base: Path, now: float) -> int:
    """The Unix time, or one more than any version there ever was: they rise even when the clock goes back.

    They also rise above numbered folders that are no versions, as long as there are higher numbers: TF
    Serving takes the highest folder for the newest version whatever is in it.

    Raises:
      ServingError: a version has the largest number that there is.
    """
    logged = [entry["version"] for entry in read_log(base)]
    version = max([int(now), *(version + 1 for version in [*numbered(base), *logged])])
    if version > log.LARGEST:
        version = max([int(now), *(version + 1 for version in [*folders(base), *logged])])
        while version in numbered(base):
            version += 1
    if version > log.LARGEST:
        folder = base / str(log.LARGEST)
        raise ServingError(f"{folder}: no version can follow the largest number: rename the folder")
    return version


def push(
    model: str | Path,
    base: Path,
    entry: dict[str, Any],
    *,
    name: str = "",
    verify: Callable[[Path], object] = lambda copy: None,
    keep: int | None = None,
    now: float | None = None,
) -> tuple[Path, str]:
    """Makes `model` the newest version of `base`; one that is the newest already is not pushed again.

    Pushes of other processes are waited for. What killed ones left is removed.

    Args:
      model: A folder with a SavedModel, on any file system that TFX knows.
      base: The folder that TF Serving watches; made when missing. It needs renames and locks.
      entry: What the log keeps beside version, time, checksum and the version in service before.
      name: The model's name in requests, by which versions are pinned; that of `base` unless told otherwise.
      verify: Is told the finished copy before it appears, and raises where it cannot be served.
      keep: How many of the newest versions stay; pinned ones do in any case. None: all.
      now: Unix time, for tests.

    Returns:
      The version's folder and its checksum.
    Raises:
      ServingError: when the copy is not what was copied. Nothing has appeared then.
    """
    with exclusive(base):
        clean(base)
        at = time.time() if now is None else now
        before = in_service(base, name)
        expected = digests(model)
        whole = checksum(expected)
        newest, target = next(reversed(folders(base).items()), (None, base))
        if newest is not None and _holds(target, expected):
            if all(logged["version"] != newest for logged in read_log(base)):  # the log was lost
                _log(base, {"version": newest, "pushed": int(at), "sha256": whole, **entry})
        else:
            version = next_version(base, at)
            target = base / str(version)
            logged = {"version": version, "pushed": int(at), "sha256": whole, "champion": before, **entry}
            _appear(model, target, expected, verify, logged)
        gone = [] if keep is None else set_aside(base, removable(base, keep, name))
    clear_aside(base, gone)
    return target, whole


def removable(base: Path, keep: int, name: str = "") -> list[int]:
    """Versions that can go when the newest `keep` stay: never one that is pinned, labelled or in service.

    Nor one that was not pushed into this folder: what the log does not know, or what a link points to. One
    that is damaged counts for none of the newest.
    """
    present, pins = folders(base), read_pins(base, name)
    ours = {entry["version"] for entry in read_log(base)}
    sound = [version for version, path in present.items() if not damage(base, version, path)]
    kept = {*sound[-keep:], in_service(base, name), *pinned_by_others(base, name)}
    if pins is not None:
        kept |= {*pins.versions, *pins.labels.values()}
    newest = sound[-keep:][:1]
    return [
        version
        for version, path in present.items()
        if version in ours
        and version not in kept
        and files.is_folder(path)
        and newest
        and version < newest[0]
    ]


def set_aside(base: Path, unwanted: Iterable[int]) -> list[Path]:
    """Takes versions out of sight, each by one rename; whoever decided on them holds the lock since.

    Returns:
      Where they are now, for `clear_aside`, which needs no lock and may take its time.
    """
    present, moved = folders(base), []
    for version in unwanted:
        moved.append(base / f"{REMOVING}{version}-{uuid.uuid4().hex}")
        present[version].rename(moved[-1])
    if moved:
        sync(base)
    return moved


def clear_aside(base: Path, moved: Iterable[Path]) -> None:
    """Removes what `set_aside` has moved; what cannot be removed goes with the next push."""
    for folder in moved:
        _discard(base, folder)


def _appear(
    model: str | Path,
    target: Path,
    expected: dict[str, str],
    verify: Callable[[Path], object],
    logged: dict[str, Any],
) -> None:
    base = target.parent
    incoming = base / f"{INCOMING}{socket.gethostname()}-{uuid.uuid4().hex}"
    try:
        _copy(model, incoming, expected)
        verify(incoming)
        sync_all(incoming)
        replace_file(base / PENDING, json.dumps(strict(logged), allow_nan=False))
        incoming.rename(target)
    finally:
        _discard(base, incoming)
    sync(base)
    _log(base, logged)
    (base / PENDING).unlink()


def _copy(model: str | Path, target: Path, expected: dict[str, str]) -> None:
    root = str(model).rstrip("/")
    target.mkdir()
    for name in expected:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        with log.open_file(f"{root}/{name}") as source, (target / name).open("wb") as copy:
            shutil.copyfileobj(source, copy)
    copied = digests(target)
    for name in sorted(set(expected) | set(copied)):
        if copied.get(name) != expected.get(name):
            raise ServingError(
                f"{target / name}: SHA-256 {str(copied.get(name))[:12]} after copying, "
                f"{str(expected.get(name))[:12]} before: check the disk"
            )


def clean(base: Path) -> None:
    """Removes what pushes that were killed left, and logs the version that one of them made.

    To be called under the lock.
    """
    for leftover in base.glob(f"{REMOVING}*"):
        _discard(base, leftover)
    # Whoever holds the lock knows that no other push is at work on this machine; on a mount whose locks do
    # not reach other machines, one may be there.
    here = f"{INCOMING}{socket.gethostname()}-"
    for leftover in base.glob(f"{INCOMING}*"):
        if leftover.name.startswith(here) or time.time() - files.last_change(leftover) > files.DEAD_SECONDS:
            _discard(base, leftover)
    pending = base / PENDING
    if pending.is_file():
        try:
            entry = json.loads(pending.read_text(encoding="utf-8"))
            number = int(entry["version"])
        except (ValueError, KeyError, TypeError):  # not what a push writes
            number = None
        known = {logged["version"] for logged in read_log(base)}
        if number is not None and number not in known and (base / str(number)).is_dir():
            _log(base, entry)
        pending.unlink()


def _holds(folder: Path, expected: dict[str, str]) -> bool:
    try:
        return digests(folder) == expected
    except OSError:  # it cannot be read
        return False


def _discard(base: Path, folder: Path) -> None:
    """Removes one of our folders; one that cannot be removed now is met again."""
    with suppress(OSError):
        remove_folder(base, folder)


def _log(base: Path, entry: dict[str, Any]) -> None:
    # An older log may hold NaN, which is no JSON.
    replace_file(base / log.LOG, json.dumps(strict([*read_log(base), entry]), indent=2, allow_nan=False))
