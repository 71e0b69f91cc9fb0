"""The folder that TF Serving watches: one numbered folder a version, and a log of them.

A version appears to TF Serving the moment its numbered folder exists. So a model is copied beside,
under a name that is no number, checked, and appears by one rename.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
from pathlib import Path
from typing import Any

from trainer.errors import ServingError

LOG = "versions.json"
INCOMING = ".incoming-"
# As TF Serving has them: ASCII digits, within 64 bits.
_VERSION = re.compile("[0-9]{1,18}")


def versions(base: Path) -> list[int]:
    """Versions in the folder, lowest first."""
    if not base.is_dir():
        return []
    return sorted(
        int(child.name) for child in base.iterdir() if _VERSION.fullmatch(child.name) and child.is_dir()
    )


def next_version(base: Path, now: float) -> int:
    """The Unix time, or one more than the highest version: versions rise even when the clock goes back."""
    return max([int(now), *(version + 1 for version in versions(base))])


def checksum(folder: Path) -> str:
    """SHA-256 over the names and contents of all files in the folder."""
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(file.relative_to(folder).as_posix().encode() + b"\0")
        with file.open("rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()


def push(model: Path, base: Path, entry: dict[str, Any], now: float | None = None) -> tuple[Path, str]:
    """Makes `model` the newest version of `base`; one that is the newest already is not pushed again.

    Args:
      model: A folder with a SavedModel.
      base: The folder that TF Serving watches; made when missing.
      entry: What the log keeps beside version, time and checksum.
      now: Unix time, for tests.

    Returns:
      The version's folder and its checksum.
    Raises:
      ServingError: when the copy is not what was copied. Nothing has appeared then.
    """
    base.mkdir(parents=True, exist_ok=True)
    for leftover in base.glob(f"{INCOMING}*"):  # of a push that was killed
        shutil.rmtree(leftover, ignore_errors=True)
    at = time.time() if now is None else now
    expected = checksum(model)
    newest = versions(base)[-1:]
    if newest and checksum(base / str(newest[0])) == expected:
        if all(logged["version"] != newest[0] for logged in read_log(base)):  # killed before it was logged
            _append(base, {"version": newest[0], "pushed": int(at), "sha256": expected, **entry})
        return base / str(newest[0]), expected
    incoming = base / f"{INCOMING}{os.getpid()}"
    try:
        shutil.copytree(model, incoming)
        found = checksum(incoming)
        if expected != found:
            raise ServingError(
                f"{incoming}: checksum {found[:12]} after copying, {expected[:12]} before: check the disk"
            )
        for path in [*incoming.rglob("*"), incoming]:
            _sync(path)
        version = next_version(base, at)
        target = base / str(version)
        incoming.rename(target)
    finally:
        shutil.rmtree(incoming, ignore_errors=True)
    _sync(base)
    _append(base, {"version": version, "pushed": int(at), "sha256": found, **entry})
    return target, found


def read_log(base: Path) -> list[dict[str, Any]]:
    """What was pushed, oldest first."""
    path = base / LOG
    return json.loads(path.read_text()) if path.is_file() else []


def _append(base: Path, entry: dict[str, Any]) -> None:
    fresh = base / (LOG + ".new")
    fresh.write_text(json.dumps([*read_log(base), entry], indent=2))
    fresh.replace(base / LOG)


def _sync(path: Path) -> None:
    """Flushes a file, or a folder's entries, to the disk, so that a rename survives a power loss."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
