"""One run of a pipeline at a time."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from trainer.errors import Locked


@contextmanager
def lock(workdir: Path) -> Iterator[None]:
    """Holds `workdir/lock` while the block runs. The kernel lets go of it when the holder dies.

    Raises:
      Locked: naming the process that holds it.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    path = workdir / "lock"
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise Locked(
                f"{path}: another run is at work: {_holder(file.read())}: wait for it to end"
            ) from None
        file.seek(0)
        file.truncate()
        now = datetime.now(UTC).isoformat(timespec="seconds")
        json.dump({"pid": os.getpid(), "host": socket.gethostname(), "since": now}, file)
        file.flush()
        yield


def _holder(text: str) -> str:
    try:
        holder = json.loads(text)
    except json.JSONDecodeError:
        return "it has not written its name yet"
    return f"process {holder['pid']} on {holder['host']} since {holder['since']}"
