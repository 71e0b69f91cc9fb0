"""The folder that TF Serving watches: one numbered folder a version, and a log of them.

A version appears to TF Serving the moment its numbered folder exists. So a model is copied beside,
under a name that is no number, checked, and appears by one rename; and it goes the same way.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import socket
import time
import uuid
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

from components.atomic_pusher.files import exclusive, last_change, replace_file, sync
from components.atomic_pusher.pins import STABLE, read_pins
from trainer.errors import ServingError
from trainer.undefined import strict

LOG = "versions.json"
# What a push is about to add to the log: there as long as a version may stand there unlogged.
PENDING = ".pending.json"
INCOMING, REMOVING = ".incoming-", ".removing-"
LARGEST = 2**63 - 1
# As TF Serving has them: ASCII digits, within 64 bits.
_VERSION = re.compile("[0-9]{1,19}")
_CHUNK = 1 << 20
# A push of another machine that has written nothing for so long is dead.
_DEAD_SECONDS = 3_600


def versions(base: Path) -> list[int]:
    """Versions in the folder, lowest first."""
    if not base.is_dir():
        return []
    named = (child for child in base.iterdir() if _VERSION.fullmatch(child.name) and child.is_dir())
    return sorted(number for child in named if (number := int(child.name)) <= LARGEST)


def in_service(base: Path) -> int | None:
    """The version that is meant to answer: the one labelled stable, or the highest of the pinned, or of all.

    Raises:
      ServingError: the model config file beside `base` cannot be read.
    """
    present, pins = versions(base), read_pins(base)
    if pins is not None and pins.labels.get(STABLE) in present:
        return pins.labels[STABLE]
    pinned = [version for version in present if pins is None or not pins.versions or version in pins.versions]
    return pinned[-1] if pinned else None


def age_of(base: Path, version: int | None, now: float | None = None) -> timedelta | None:
    """How long ago a version was pushed, by the log; None where the log does not say."""
    pushed = [entry["pushed"] for entry in read_log(base) if entry["version"] == version]
    return timedelta(seconds=(time.time() if now is None else now) - pushed[-1]) if pushed else None


def models_of(base: Path) -> dict[str, int]:
    """Where the model of each version was copied from, to the version, by the log."""
    return {entry["model"]: entry["version"] for entry in read_log(base) if "model" in entry}


def next_version(base: Path, now: float) -> int:
    """The Unix time, or one more than any version there ever was: they rise even when the clock goes back.

    Raises:
      ServingError: a folder has the largest number that there is.
    """
    known = [*versions(base), *(entry["version"] for entry in read_log(base))]
    version = max([int(now), *(version + 1 for version in known)])
    if version > LARGEST:
        raise ServingError(
            f"{base / str(LARGEST)}: no version can follow the largest number: rename the folder"
        )
    return version


def digests(folder: str | Path) -> dict[str, str]:
    """SHA-256 of every file in a folder of any file system that TFX knows, by its path in the folder."""
    root = str(folder).rstrip("/")
    found = {}
    for place, _, names in _walk(root):
        for name in names:
            path = f"{str(place).rstrip('/')}/{name}"
            digest = hashlib.sha256()
            with _open(path) as file:
                while chunk := file.read(_CHUNK):
                    digest.update(chunk)
            found[path.removeprefix(f"{root}/")] = digest.hexdigest()
    return dict(sorted(found.items()))


def checksum(files: dict[str, str]) -> str:
    """SHA-256 over the names and digests of files."""
    digest = hashlib.sha256()
    for name, content in sorted(files.items(), key=lambda item: item[0].split("/")):
        digest.update(name.encode() + b"\0" + bytes.fromhex(content))
    return digest.hexdigest()


def push(
    model: str | Path,
    base: Path,
    entry: dict[str, Any],
    *,
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
      verify: Is told the finished copy before it appears, and raises where it cannot be served.
      keep: How many of the newest versions stay; pinned ones do in any case. None: all.
      now: Unix time, for tests.

    Returns:
      The version's folder and its checksum.
    Raises:
      ServingError: when the copy is not what was copied. Nothing has appeared then.
    """
    with exclusive(base):
        _clean(base)
        at = time.time() if now is None else now
        before = in_service(base)
        expected = digests(model)
        whole = checksum(expected)
        newest = versions(base)[-1:]
        if newest and digests(base / str(newest[0])) == expected:
            target = base / str(newest[0])
            if all(logged["version"] != newest[0] for logged in read_log(base)):  # the log was lost
                _log(base, {"version": newest[0], "pushed": int(at), "sha256": whole, **entry})
        else:
            version = next_version(base, at)
            target = base / str(version)
            logged = {"version": version, "pushed": int(at), "sha256": whole, "champion": before, **entry}
            _appear(model, target, expected, verify, logged)
        if keep is not None:
            _remove(base, removable(base, keep))
    return target, whole


def removable(base: Path, keep: int) -> list[int]:
    """What can go when the newest `keep` stay: never a version that is pinned, labelled or in service."""
    pins, present = read_pins(base), versions(base)
    kept = {*present[-keep:], in_service(base)}
    if pins is not None:
        kept |= {*pins.versions, *pins.labels.values()}
    return [version for version in present if version not in kept]


def remove(base: Path, unwanted: Iterable[int]) -> None:
    """Removes versions, each by one rename, once no push is at work."""
    with exclusive(base):
        _remove(base, unwanted)


def read_log(base: Path) -> list[dict[str, Any]]:
    """What was pushed, oldest first.

    Raises:
      ServingError: the log is not what was written.
    """
    path = base / LOG
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except ValueError as error:
        raise ServingError(f"{path}: not the log of versions: {error}: restore it or delete it") from None


def _remove(base: Path, unwanted: Iterable[int]) -> None:
    for version in unwanted:
        going = base / f"{REMOVING}{version}-{uuid.uuid4().hex}"
        (base / str(version)).rename(going)
        shutil.rmtree(going, ignore_errors=True)


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
        for path in [*incoming.rglob("*"), incoming]:
            sync(path)
        replace_file(base / PENDING, json.dumps(strict(logged), allow_nan=False))
        incoming.rename(target)
    finally:
        shutil.rmtree(incoming, ignore_errors=True)
    sync(base)
    _log(base, logged)
    (base / PENDING).unlink()


def _copy(model: str | Path, target: Path, expected: dict[str, str]) -> None:
    root = str(model).rstrip("/")
    target.mkdir()
    for name in expected:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        with _open(f"{root}/{name}") as source, (target / name).open("wb") as copy:
            shutil.copyfileobj(source, copy, _CHUNK)
    found = digests(target)
    for name in sorted(set(expected) | set(found)):
        if found.get(name) != expected.get(name):
            raise ServingError(
                f"{target / name}: SHA-256 {str(found.get(name))[:12]} after copying, "
                f"{str(expected.get(name))[:12]} before: check the disk"
            )


def _walk(root: str) -> Iterable[tuple[Any, Any, list[Any]]]:
    if "://" not in root:
        return os.walk(root)
    from tfx.dsl.io import fileio  # brings TensorFlow, and local folders need none

    return fileio.walk(root)


def _open(path: str) -> Any:
    if "://" not in path:
        return Path(path).open("rb")
    from tfx.dsl.io import fileio

    return fileio.open(path, "rb")


def _clean(base: Path) -> None:
    """Removes what pushes that were killed left, and logs the version that one of them made."""
    for leftover in base.glob(f"{REMOVING}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    # Whoever holds the lock knows that no other push is at work on this machine; on a mount whose locks do
    # not reach other machines, one may be there.
    here = f"{INCOMING}{socket.gethostname()}-"
    for leftover in base.glob(f"{INCOMING}*"):
        if leftover.name.startswith(here) or time.time() - last_change(leftover) > _DEAD_SECONDS:
            shutil.rmtree(leftover, ignore_errors=True)
    pending = base / PENDING
    if pending.is_file():
        entry = json.loads(pending.read_text(encoding="utf-8"))
        appeared = (base / str(entry["version"])).is_dir()
        if appeared and all(logged["version"] != entry["version"] for logged in read_log(base)):
            _log(base, entry)
        pending.unlink()


def _log(base: Path, entry: dict[str, Any]) -> None:
    # An older log may hold NaN, which is no JSON.
    replace_file(base / LOG, json.dumps(strict([*read_log(base), entry]), indent=2, allow_nan=False))
