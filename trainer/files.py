"""Files that are the old ones or the new ones, whatever happens meanwhile, and deletions that stay inside."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import stat
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock

# What a training leaves beside its model.
TRAINING_LOG = "training.json"
# Whoever changes a folder of versions, or what is pinned beside it, holds this file in it.
LOCK = ".push.lock"
# What another machine has not written to for so long is dead.
DEAD_SECONDS = 3_600
# Bytes of a file's name that stand in the name of what is written beside it: a name has 255 at most.
_NAME_BYTES = 100


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A new path beside `path` to write to, which takes its place by one rename when the block ends well.

    A power loss leaves the old file or the new. What killed writers left beside it goes. A link stays, and
    what it points to is replaced; a device or a pipe, such as /dev/null, is written to as it is.

    Raises:
      OSError: the folder cannot be written, the disk is full.
    """
    if path.exists() and not path.is_file():
        yield path
        return
    path = Path(os.path.realpath(path))
    stem = f".{os.fsdecode(os.fsencode(path.name)[:_NAME_BYTES])}."
    _clear(path.parent, stem)
    fresh = path.with_name(f"{stem}{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}.new")
    try:
        yield fresh
        with suppress(FileNotFoundError):
            fresh.chmod(stat.S_IMODE(path.stat().st_mode))
        sync(fresh)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    sync(path.parent)


def replace_file(path: Path, content: str | bytes) -> None:
    """Puts `content`, text as UTF-8, in the file's place as `replacing` does."""
    with replacing(path) as fresh:
        fresh.write_bytes(content.encode() if isinstance(content, str) else content)


def sync(path: Path) -> None:
    """Flushes a file, or a folder's entries, to the disk, so that a rename survives a power loss."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_all(folder: Path) -> None:
    """Flushes a folder and all that is in it."""
    for path in [*folder.rglob("*"), folder]:
        sync(path)


def hide(folder: str) -> None:
    """Lets nobody but the owner look into a folder of this machine: there are texts in it."""
    if "://" not in folder:
        with suppress(OSError):  # another user's
            Path(folder).chmod(0o700)


def last_change(folder: Path) -> float:
    """Unix time of the last change of a folder or anything in it; what vanishes meanwhile is passed over."""
    changed = 0.0
    for path in [folder, *folder.rglob("*")]:
        with suppress(FileNotFoundError):
            changed = max(changed, path.lstat().st_mtime)
    return changed


def is_folder(path: Path) -> bool:
    """True where `path` is a folder, and no link to one."""
    return stat.S_ISDIR(_mode(path))


def is_file(path: Path) -> bool:
    """True where `path` is a file, and no link to one."""
    return stat.S_ISREG(_mode(path))


def _mode(path: Path) -> int:
    # Of one look: between two of them a link could take the folder's name.
    with suppress(OSError):
        return path.lstat().st_mode
    return 0


def is_inside(root: Path, path: Path) -> bool:
    """True where `path` lies below the folder `root` with no link on the way; `path` itself may be a link."""
    parts = path.relative_to(root).parts
    return bool(parts) and ".." not in parts and all(
        is_folder(root.joinpath(*parts[:at])) for at in range(1, len(parts))
    )  # fmt: skip


def remove_folder(root: Path, folder: Path) -> bool:
    """Removes a folder below `root`, and never what a link on the way or in it points to.

    The way down is walked folder by folder and no link is followed, so that one put there meanwhile is not
    followed either.

    Args:
      root: A folder; it may be reached by a link.
      folder: A path below it.

    Returns:
      True where there was such a folder, and no link on the way.
    Raises:
      OSError: something in it cannot be removed.
    """
    *way, name = folder.relative_to(root).parts
    with ExitStack() as stack:
        at = _open_folder(root, stack)
        for part in way:
            try:
                at = _open_folder(part, stack, os.O_NOFOLLOW, at)
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENOTDIR):
                    return False
                raise
        try:
            if not stat.S_ISDIR(os.lstat(name, dir_fd=at).st_mode):
                return False
            shutil.rmtree(name, dir_fd=at)
        except FileNotFoundError:
            return False
    return True


def remove_tree(path: str) -> None:
    """Removes a folder of any file system that TensorFlow knows; of this machine's, no link is followed.

    TensorFlow follows links, and removes what they point to.
    """
    if "://" in path:
        import tensorflow as tf

        if tf.io.gfile.exists(path):
            tf.io.gfile.rmtree(path)
    elif Path(path).parent.is_dir():
        remove_folder(Path(path).parent, Path(path))


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Waits until no other process holds the folder, and holds it while the block runs.

    The kernel lets go of it when the holder dies. On a mount whose locks do not reach other machines, only
    processes of this machine are kept apart.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / LOCK):
        yield


def of_dead_process(name: str, changed: float) -> bool:
    """True where the name `HOST-PID-...` is of a process that is no more.

    One of another machine counts as dead when it was last changed, in Unix time, long ago.
    """
    host = f"{socket.gethostname()}-"
    pid = name.removeprefix(host).split("-")[0]
    if not name.startswith(host) or not pid.isdecimal():
        return time.time() - changed > DEAD_SECONDS
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):  # another user's
        return False
    return False


def _clear(folder: Path, stem: str) -> None:
    """Removes what killed writers left beside a file."""
    with suppress(OSError):
        for left in folder.iterdir():
            ours = left.name.startswith(stem) and left.name.endswith(".new") and is_file(left)
            if ours and of_dead_process(left.name.removeprefix(stem), left.lstat().st_mtime):
                left.unlink(missing_ok=True)


def _open_folder(path: str | Path, stack: ExitStack, flags: int = 0, at: int | None = None) -> int:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | flags, dir_fd=at)
    stack.callback(os.close, handle)
    return handle
