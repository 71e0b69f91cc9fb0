"""The versions once more in an object store, which has no rename and no folders.

There a version shows while it is copied. `saved_model.pb` comes last and goes first: a version without it
cannot be loaded, and one that has it has all that belongs to it.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from tfx.dsl.io import fileio

from components.atomic_pusher.versions import LARGEST, digests, read_log, versions
from trainer.errors import ServingError

MARKER = "saved_model.pb"


def mirror(base: Path, remote: str) -> list[int]:
    """Makes `remote` hold the versions of `base`, complete ones untouched; what killed copies left is mended.

    Args:
      base: A folder of versions with their log.
      remote: The same in any file system that TFX knows, such as `gs://bucket/models/sts`.

    Returns:
      The versions that were copied.
    Raises:
      ServingError: what was written does not come back.
    """
    remote = remote.rstrip("/")
    copied = []
    for version in versions(base):
        files = digests(base / str(version))
        marker = f"{remote}/{version}/{MARKER}"
        if fileio.exists(marker) and _digest(marker) == files.get(MARKER):
            continue
        # Sorted so that the marker is the last.
        for name in sorted(files, key=lambda name: (name == MARKER, name)):
            _upload(base / str(version) / name, f"{remote}/{version}/{name}", files[name])
        copied.append(version)
    removed = {entry["version"] for entry in read_log(base)} - set(versions(base))
    for version in sorted(removed & _remote_versions(remote)):
        marker = f"{remote}/{version}/{MARKER}"
        if fileio.exists(marker):
            fileio.remove(marker)
        fileio.rmtree(f"{remote}/{version}")
    return copied


def _upload(source: Path, target: str, expected: str) -> None:
    fileio.makedirs(os.path.dirname(target))
    with source.open("rb") as file, fileio.open(target, "wb") as copy:
        while chunk := file.read(1 << 20):
            copy.write(chunk)
    found = _digest(target)
    if found != expected:
        raise ServingError(
            f"{target}: SHA-256 {found[:12]} after copying, {expected[:12]} before: copy it again"
        )


def _digest(path: str) -> str:
    digest: Any = hashlib.sha256()
    with fileio.open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _remote_versions(remote: str) -> set[int]:
    if not fileio.exists(remote):
        return set()
    names = (str(name).rstrip("/") for name in fileio.listdir(remote))
    return {int(name) for name in names if name.isascii() and name.isdigit() and int(name) <= LARGEST}
