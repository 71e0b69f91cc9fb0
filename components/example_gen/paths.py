"""Paths and patterns of files as people write them, and the reason why one leads nowhere."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

_URL = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]+):/{1,2}(?=[^/])")
_WINDOWS = re.compile(r"([A-Za-z]):[\\/]|\\\\")
# How a file is brought here, by the beginning of its URL.
_FETCH = {"s3": "aws s3 cp", "gs": "gcloud storage cp", "hdfs": "hdfs dfs -get", "http": "curl -LO"}


def local_path(written: str, base: Path | str = "") -> str:
    """A path as it is written in a configuration, absolute; `base` is the folder that it is relative to.

    Raises:
      ValueError: it cannot be a file of this machine: a URL, a path of Windows, one with control characters.
    """
    url = _URL.match(written)
    if written.lower().startswith("file:/"):
        path = re.sub("^file:(//localhost)?/+", "/", written, flags=re.IGNORECASE)
        raise ValueError(f"a URL: write the path alone, {path}")
    if url is not None:
        scheme = url[1].lower()
        fetch = _FETCH.get({"https": "http", "s3a": "s3", "s3n": "s3"}.get(scheme, scheme), "")
        by = f", as by {fetch}," if fetch else ""
        raise ValueError(f"a URL, and only files of this machine are read: download it{by} and name the file")
    if any(ord(sign) < 32 for sign in written):
        raise ValueError(
            "there is a control character in the path: between double quotes \\t is a tab, \\n a line end: "
            "write / between folders, or put the path between single quotes"
        )
    drive = _WINDOWS.match(written)
    if drive is not None and os.name != "nt":
        mounted = f": under WSL it is /mnt/{drive[1].lower()}/{_forward(written[3:])}" if drive[1] else ""
        raise ValueError(f"a path of Windows, and this machine runs another system{mounted}")
    return os.path.abspath(os.path.join(base, os.path.expanduser(written)))


def matching(name: Path | str) -> list[str]:
    """The file of that name, or else those that the pattern matches, in the order of their names.

    `*`, `?` and `[` are signs of a pattern only where no file or folder has them in its name; `**` stands for
    any number of folders.
    """
    if os.path.isfile(name):
        return [str(name)]
    base, *parts = Path(name).parts or ("",)
    folders = [base]
    if not os.path.isabs(base):
        parts, folders = [base, *parts], [""]
    for part in parts:
        folders = [inside for folder in folders for inside in _inside(folder, part)]
    return sorted({path for path in folders if os.path.isfile(path)})


def _inside(folder: str, part: str) -> list[str]:
    path = os.path.join(folder, part)
    if not glob.has_magic(part) or os.path.lexists(path):
        return [path]
    names = glob.glob(part, root_dir=folder or None, recursive=True) + [""] * (part == "**")
    return [os.path.join(folder, name) for name in names]


def why_missing(name: Path | str) -> str:
    """The reason why a name or pattern matches no file, and the fix."""
    path = str(name)
    if os.path.isdir(path):
        kinds = Counter(_suffix(entry.name) for entry in os.scandir(path) if os.path.isfile(entry))
        common = kinds.most_common(1)[0][0] if kinds else ""
        holds = "" if kinds else ", and there is no file in it"
        return f"a folder{holds}: name its files by a pattern, such as {os.path.join(path, f'*{common}')!r}"
    if os.path.exists(path):
        return "no regular file, but a pipe or a device: write the rows into a file"
    if os.path.islink(path):
        return f"a link to {os.readlink(path)!r}, which is not there: correct the link"
    if "\\" in path and matching(_forward(path)):
        return f"no such file: write / between folders, {_forward(path)!r}"
    if "$" in path and os.path.expandvars(path) != path:
        return "no such file: variables such as $HOME are not replaced: write the path itself, or ~"
    return "no such file: correct the path"


def without_aliases(paths: Iterable[str]) -> tuple[list[Path], list[str]]:
    """Each file once, in the order of the names, and a sentence for every further name of one of them.

    Of a file and the links to it the file itself is kept.
    """
    ordered = sorted(set(paths), key=lambda path: (os.path.islink(path), path))
    first: dict[tuple[int, int] | str, str] = {}
    remarks = []
    for path in ordered:
        state = os.stat(path)
        same = (state.st_dev, state.st_ino) if state.st_ino else os.path.realpath(path)
        kept = first.setdefault(same, path)
        if kept != path:
            remarks.append(f"{path} is the file {os.path.basename(kept)} once more: it is read once")
    return sorted(map(Path, first.values())), remarks


def for_pattern(path: str) -> str:
    """A path whose brackets TensorFlow's own patterns do not take for theirs."""
    return re.sub(r"[\[\]]", "?", path)


def _suffix(name: str) -> str:
    """`.csv`, `.csv.gz` or nothing."""
    suffix = re.search(r"(\.[A-Za-z]+)?(\.[A-Za-z0-9]+)$", name)
    return suffix[0] if suffix is not None else ""


def _forward(path: str) -> str:
    return path.replace("\\", "/").lstrip("/") if path.startswith("\\") else path.replace("\\", "/")
