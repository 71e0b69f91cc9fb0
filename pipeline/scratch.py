"""A temporary folder of one command, in the work folder: what libraries leave there goes with it."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from trainer.files import is_folder, remove_folder

FOLDER = ".kembar-tmp"
_PREFIX = "command-"
# Others may remove the folder between the moment it is made and the moment it is held.
_TRIES = 10


@contextmanager
def scratch(root: Path | None) -> Iterator[Path]:
    """Makes ROOT/.kembar-tmp/command-... the temporary folder of this process while the block runs.

    It is held by a lock of the kernel, so that what a killed command has left is known and removed by the
    next one. Without a root, or where it cannot be written, the folder is in the system's own.
    """
    system = Path(tempfile.gettempdir())
    shelf = system if root is None else root / FOLDER
    try:
        folder, handle = _make(shelf)
    except OSError:
        shelf = system
        folder, handle = _make(shelf)
    before = os.environ.get("TMPDIR"), tempfile.tempdir
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    try:
        yield folder
    finally:
        tempfile.tempdir = before[1]
        if before[0] is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = before[0]
        with suppress(OSError):
            remove_folder(shelf, folder)
        os.close(handle)
        if shelf != system:
            with suppress(OSError):  # another command is at work
                shelf.rmdir()


def _make(shelf: Path) -> tuple[Path, int]:
    """A new folder, and the handle by which it is held."""
    for _ in range(_TRIES):
        with suppress(FileNotFoundError):
            shelf.mkdir(mode=0o700, parents=True, exist_ok=True)
            _clear(shelf)
            folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=shelf))
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            _hold(handle)
            if folder.is_dir():
                return folder, handle
            os.close(handle)
    raise OSError(f"{shelf}: no temporary folder can be made")


def _clear(shelf: Path) -> None:
    """Removes the folders that nobody holds."""
    for left in shelf.glob(f"{_PREFIX}*"):
        if not is_folder(left):
            continue
        with suppress(OSError):
            handle = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove_folder(shelf, left)
            finally:
                os.close(handle)


def _hold(handle: int) -> None:
    with suppress(OSError):  # a mount without locks: what is left there stays
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
