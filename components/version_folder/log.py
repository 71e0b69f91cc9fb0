"""The folder that TF Serving watches: numbered folders, and the log of what they must hold."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from trainer.errors import ServingError

LOG = "versions.json"
# A folder without it is no SavedModel.
MARKER = "saved_model.pb"
LARGEST = 2**63 - 1
# As TF Serving has them: ASCII digits, within 64 bits.
_VERSION = re.compile("[0-9]{1,19}")
_CHUNK = 1 << 20

# What changes when a folder is written again, or may be read by others: of each file name, bytes, nanoseconds
# of its last writing and of its last change of any kind, inode, mode and owner.
Stamp = tuple[tuple[str | int, ...], ...]


def numbered(base: Path) -> dict[int, Path]:
    """The folders in `base` that a number names, whatever is in them, lowest first.

    Of "7" and "007", which are the same number, the plain one counts. A folder that is not there, or cannot
    be read, holds none.
    """
    entries: list[Path] = []
    with suppress(FileNotFoundError, NotADirectoryError):
        entries = sorted(base.iterdir())  # the plain spelling is the last one
    names = [entry for entry in entries if _VERSION.fullmatch(entry.name) and int(entry.name) <= LARGEST]
    return dict(sorted({int(entry.name): entry for entry in names if _is_dir(entry)}.items()))


def folders(base: Path) -> dict[int, Path]:
    """The versions in `base`, lowest first: numbered folders that hold a SavedModel and may be read."""
    return {version: path for version, path in numbered(base).items() if not defect(path)}


def defect(folder: Path) -> str:
    """The reason why a numbered folder is no version; an empty string where it is one."""
    try:
        with os.scandir(folder) as entries:
            names = {entry.name for entry in entries}
        marked = (folder / MARKER).is_file()
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if not names:
        return "is empty"
    if MARKER not in names:
        return f"holds no {MARKER}"
    return "" if marked else f"{MARKER} is no file"


def damage(base: Path, version: int, folder: Path | None = None) -> str:
    """The damage of a version: it is not what the log says was pushed, or cannot be read.

    One that the log does not know, because somebody else has put it there, cannot be compared.

    Args:
      base: The folder of versions.
      version: One of them.
      folder: Where it is, if that is known.

    Returns:
      A clause, or an empty string: nothing is wrong.
    Raises:
      ServingError: the log is not what was written.
    """
    logged = [entry["sha256"] for entry in read_log(base) if entry["version"] == version]
    if not logged:
        return ""
    path = folder if folder is not None else numbered(base).get(version, base / str(version))
    try:
        actual = _checksum_of(str(path), stamp(path))
    except OSError as error:
        return f"{os.path.relpath(str(error.filename), path)} cannot be read: {error.strerror}"
    if actual == logged[-1]:
        return ""
    return f"SHA-256 {actual[:12]}, {logged[-1][:12]} when it was pushed: its files have changed"


def stamp(folder: Path) -> Stamp:
    """Stamps of all that is in a folder now, without reading it; what vanishes meanwhile is left out."""
    return tuple(sorted(_stamps(folder)))


def digests(folder: str | Path) -> dict[str, str]:
    """SHA-256 of every file in a folder of any file system that TFX knows, by its path in the folder."""
    root = str(folder).rstrip("/")
    paths = [f"{str(at).rstrip('/')}/{name}" for at, _, names in _walk(root) for name in names]
    return {path.removeprefix(f"{root}/"): digest_of(path) for path in sorted(paths)}


def digest_of(path: str) -> str:
    """SHA-256 of one file of any file system that TFX knows."""
    digest = hashlib.sha256()
    with open_file(path) as file:
        while chunk := file.read(_CHUNK):  # hashlib.file_digest takes no file of TFX's
            digest.update(chunk)
    return digest.hexdigest()


def checksum(files: dict[str, str]) -> str:
    """SHA-256 over the names and digests of files."""
    digest = hashlib.sha256()
    for name, content in sorted(files.items(), key=lambda item: item[0].split("/")):
        digest.update(name.encode("utf-8", "surrogateescape") + b"\0" + bytes.fromhex(content))
    return digest.hexdigest()


def read_log(base: Path) -> list[dict[str, Any]]:
    """Entries of all pushes, oldest first.

    Raises:
      ServingError: the log is not what was written, or cannot be read.
    """
    path = base / LOG
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(entries, list) or not all(_is_entry(entry) for entry in entries):
            raise ValueError("no list of pushes with version, pushed and sha256")
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise ServingError(f"{path}: cannot be read: {error.strerror}: let this user read it") from None
    except ValueError as error:
        raise ServingError(f"{path}: not the log of versions: {error}: restore it or delete it") from None
    return entries


def open_file(path: str) -> Any:
    """A file to read, in bytes, of any file system that TFX knows."""
    if "://" not in path:
        if not Path(path).is_file():  # to open a pipe would wait for whoever writes it
            raise OSError(errno.EINVAL, "is no file", path)
        return Path(path).open("rb")
    from tfx.dsl.io import fileio

    return fileio.open(path, "rb")


@lru_cache(maxsize=64)
def _checksum_of(folder: str, state: Stamp) -> str:
    """The checksum of a folder; as long as its stamps stay the same it is read once."""
    del state
    return checksum(digests(folder))


def _is_entry(entry: Any) -> bool:
    kinds = {"version": int, "pushed": int, "sha256": str}
    return isinstance(entry, dict) and all(isinstance(entry.get(key), kind) for key, kind in kinds.items())


def _stamps(folder: Path) -> Iterator[tuple[str | int, ...]]:
    for directory, _, names in os.walk(folder):
        for path in (Path(directory), *(Path(directory, name) for name in names)):
            try:
                status = path.stat()
            except OSError:
                continue
            owner = (status.st_mode, status.st_uid, status.st_gid)
            times = (status.st_mtime_ns, status.st_ctime_ns)
            yield str(path.relative_to(folder)), status.st_size, *times, status.st_ino, *owner


def _walk(root: str) -> Iterable[tuple[Any, Any, list[Any]]]:
    if "://" not in root:
        return os.walk(root, onerror=_raise)
    from tfx.dsl.io import fileio  # brings TensorFlow, and local folders need none

    return fileio.walk(root)


def _raise(error: OSError) -> None:
    raise error


def _is_dir(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return True  # what it is cannot be seen: it is told as what cannot be read
