"""A server's log: no message by the thousand, no file without end."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_WINDOW_SECONDS = 60.0


class Sparse(logging.Filter):
    """Lets a few messages a minute of each kind through, and says then how many it kept back.

    A kind is the line of the source that a message comes from, whatever its values are.
    """

    def __init__(self, most: int = 10, window: float = _WINDOW_SECONDS) -> None:
        super().__init__()
        self._most = most
        self._window = window
        self._seen: dict[tuple[str, int], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """True where the record is to be shown."""
        kind = record.pathname, record.lineno
        since, count = self._seen.get(kind, (0.0, 0))
        now = time.monotonic()
        if now - since >= self._window:
            if count > self._most:
                record.msg = f"{record.msg} (and {count - self._most} more like an earlier one)"
            since, count = now, 0
        self._seen[kind] = since, count + 1
        return count < self._most


@contextmanager
def sparse_log() -> Iterator[None]:
    """Sends what any library logs to stderr, tracebacks too, but little of each kind."""
    root = logging.getLogger()
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.WARNING)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    # Each handler has a filter of its own: one that two ask would count twice.
    shown = [handler, *logging.getLogger("pipeline.serving").handlers]
    filters = [Sparse() for _ in shown]
    root.addHandler(handler)
    for each, sparse in zip(shown, filters, strict=True):
        each.addFilter(sparse)
    try:
        yield
    finally:
        root.removeHandler(handler)
        for each, sparse in zip(shown, filters, strict=True):
            each.removeFilter(sparse)


def rotate(log: Path, most: int = 16 * 1024 * 1024) -> bool:
    """Begins the file again that stdout and stderr go to, once it is longer than `most` bytes.

    What it held is in `LOG.1` then, in place of what was there. Returns whether that was done.
    """
    try:
        status, mine = os.stat(log), os.fstat(2)
    except OSError:
        return False
    if (status.st_dev, status.st_ino) != (mine.st_dev, mine.st_ino) or status.st_size <= most:
        return False
    log.replace(log.with_name(log.name + ".1"))
    fresh = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, status.st_mode & 0o777)
    for number in (1, 2):
        os.dup2(fresh, number)
    os.close(fresh)
    return True
