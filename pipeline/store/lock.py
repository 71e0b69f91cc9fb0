"""One run of a pipeline at a time."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from trainer.errors import KembarError

# How long a holder may take to write its name. It takes microseconds, on a machine that is not swamped.
_NAME_SECONDS = 1.0


class Locked(KembarError):
    """Another process holds this pipeline's lock."""

    exit_code = 5


@contextmanager
def lock(workdir: Path) -> Iterator[None]:
    """Holds `workdir/lock` while the block runs. The kernel lets go of it when the holder dies.

    Raises:
      Locked: naming the process that holds it.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    path = workdir / "lock"
    try:
        held = FileLock(path).acquire(blocking=False)
    except Timeout:
        raise Locked(f"{path}: another run is at work: {_holder(path)}: wait for it to end") from None
    with held:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with suppress(OSError):  # on a full disk the lock holds without a name
            path.write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": now}))
        try:
            yield
        finally:
            with suppress(OSError):
                path.write_text("")  # whoever looks next must not take this name for its successor's


def _holder(path: Path) -> str:
    """Who holds the lock, in words; waits while the name there is none or that of a dead process."""
    until = time.monotonic() + _NAME_SECONDS
    holder = _read(path)
    while (holder is None or _is_dead(holder)) and time.monotonic() < until:
        time.sleep(0.01)
        holder = _read(path)
    if holder is None or _is_dead(holder):
        return "it has not written its name"
    return f"process {holder['pid']} on {holder['host']} since {holder['since']}"


def _read(path: Path) -> dict[str, Any] | None:
    try:
        with path.open("rb") as file:
            holder = json.loads(file.read(1_000))
    except (OSError, ValueError):
        return None
    return holder if isinstance(holder, dict) and {"pid", "host", "since"} <= holder.keys() else None


def _is_dead(holder: dict[str, Any]) -> bool:
    """True where it was a process of this machine that is no more: killed, it left its name behind."""
    if holder["host"] != socket.gethostname():
        return False
    try:
        os.kill(int(holder["pid"]), 0)
    except ProcessLookupError:
        return True
    except (OSError, ValueError, OverflowError):  # another user's
        return False
    return False
