"""Files that are either the old ones or the new ones, whatever happens meanwhile."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK = ".push.lock"


def replace_file(path: Path, text: str) -> None:
    """Puts `text` in the file's place by one rename; a power loss leaves the old text or the new."""
    fresh = path.with_name(f"{path.name}.new")
    with fresh.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Flushes a file, or a folder's entries, to the disk, so that a rename survives a power loss."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def last_change(folder: Path) -> float:
    """Unix time of the last change of a folder or anything in it."""
    return max(path.lstat().st_mtime for path in [folder, *folder.rglob("*")])


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Waits until no other process holds the folder, and holds it while the block runs.

    The kernel lets go of it when the holder dies. On a mount whose locks do not reach other machines, only
    processes of this machine are kept apart.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
