"""The versions and the pins once more in an object store, which has no rename and no folders.

There a version shows while it is copied. `saved_model.pb` comes last and goes first: a version without it
cannot be loaded, and one that has it has all that belongs to it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from tfx.dsl.io import fileio

from components.version_folder.log import MARKER, damage, digest_of, digests, folders, read_log
from components.version_folder.pins import FILE, pins_elsewhere
from trainer.errors import ServingError
from trainer.files import exclusive


def mirror(base: Path, remote: str, name: str) -> list[int]:
    """Makes `remote` hold the versions of `base`, complete ones untouched; what killed copies left is mended.

    Then `remote/models.config` says what is pinned: after a version that it names is there, and before one
    that it named goes. It is inside the model's folder, so that no other model's pusher writes it.

    Args:
      base: A folder of versions with their log.
      remote: The same in any file system that TFX knows, such as `gs://bucket/models/sts`.
      name: The model's name in requests.

    Returns:
      The versions that were copied.
    Raises:
      ServingError: what was written does not come back.
    """
    remote = remote.rstrip("/")
    with exclusive(base):  # a push and a rollback of this machine
        copied = _copy_versions(base, remote)
        _copy_pins(pins_elsewhere(base, name, remote), f"{remote}/{FILE}")
        removed = {entry["version"] for entry in read_log(base)} - set(folders(base))
        entries = fileio.listdir(remote) if fileio.exists(remote) else []
        names = {str(name).rstrip("/") for name in entries}
        for version in sorted(version for version in removed if str(version) in names):
            marker = f"{remote}/{version}/{MARKER}"
            if fileio.exists(marker):
                fileio.remove(marker)
            fileio.rmtree(f"{remote}/{version}")
    return copied


def _copy_versions(base: Path, remote: str) -> list[int]:
    copied = []
    for version, folder in folders(base).items():
        if damage(base, version, folder):
            continue  # what is there already is better
        files = digests(folder)
        marker = f"{remote}/{version}/{MARKER}"
        if fileio.exists(marker) and digest_of(marker) == files.get(MARKER):
            continue
        # Sorted so that the marker is the last.
        for name in sorted(files, key=lambda name: (name == MARKER, name)):
            _upload(folder / name, f"{remote}/{version}/{name}", files[name])
        copied.append(version)
    return copied


def _copy_pins(text: str, target: str) -> None:
    """One write, which an object store shows whole or not at all."""
    content = text.encode()
    if fileio.exists(target) and digest_of(target) == hashlib.sha256(content).hexdigest():
        return
    with fileio.open(target, "wb") as file:
        file.write(content)


def _upload(source: Path, target: str, expected: str) -> None:
    fileio.makedirs(os.path.dirname(target))
    with source.open("rb") as file, fileio.open(target, "wb") as copy:
        shutil.copyfileobj(file, copy)
    actual = digest_of(target)
    if actual != expected:
        sums = f"SHA-256 {actual[:12]} after copying, {expected[:12]} before"
        raise ServingError(f"{target}: {sums}: copy it again")
