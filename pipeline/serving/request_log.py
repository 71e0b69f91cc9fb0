"""The request log: a sample of what the model was asked, to be compared with what it learned from.

One JSON line a row, in files of a bounded size:

    {"time": "2026-11-25T04:00:00.000000+00:00", "version": 1795400485, "signature": "serving_default",
     "inputs": {"text_a_hash": "...", "text_a_tokens": 6, "text_a_characters": 26, "text_b_hash": ...}}

Requests only put arrays into a bounded queue; one thread does the rest. What does not fit is counted and
dropped: logging never slows or fails a request.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import queue
import random
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

logger = logging.getLogger(__name__)

# A secret in this variable makes the hashes useless to whoever has texts to try, but not the secret.
KEY_VARIABLE = "KEMBAR_REQUEST_LOG_KEY"
_HASH_BYTES = 16
# Names as these are what readers look for; the time keeps them in order.
PREFIX, SUFFIX = "requests-", ".jsonl"


class RequestLog:
    """Writes rows of answered requests to a folder.

    Args:
        folder: made if it is not there; one process writes to it.
        sample: share of the requests that is logged, 0 to 1.
        keep_texts: whether texts are written as they are; otherwise hashes and lengths.
        max_bytes: a file that has become this long is followed by a new one.
        max_files: more files than that are deleted, the oldest first.
        queued: requests that wait for the disk before more are dropped.
        queued_bytes: as much of their inputs.
    """

    def __init__(
        self,
        folder: Path,
        sample: float = 1.0,
        keep_texts: bool = False,
        *,
        max_bytes: int = 64 * 1024 * 1024,
        max_files: int = 16,
        queued: int = 1_000,
        queued_bytes: int = 64 * 1024 * 1024,
    ) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._sample = sample
        self._keep_texts = keep_texts
        self._key = os.environ.get(KEY_VARIABLE, "").encode()[:64]
        self._max_bytes = max_bytes
        self._max_files = max_files
        self._queue: queue.Queue[tuple[datetime, int, str, Mapping[str, np.ndarray]] | None]
        self._queue = queue.Queue(queued)
        self._room = queued_bytes
        self._room_lock = threading.Lock()
        self._chance = random.Random()  # noqa: S311 - a sample, no secret
        self._file: Any = None
        self.written = 0
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name="kembar-request-log", daemon=True)
        self._thread.start()

    def record(self, version: int, signature: str, inputs: Mapping[str, np.ndarray]) -> None:
        """Takes an answered request into the log, if it is drawn and the queue has room."""
        if self._chance.random() >= self._sample:
            return
        size = _bytes(inputs)
        try:
            self._take_room(size)
            self._queue.put_nowait((datetime.now(UTC), version, signature, inputs))
        except queue.Full:
            self._take_room(-size)
            self.dropped += _rows(inputs)

    def close(self, timeout: float = 5.0) -> None:
        """Writes what is queued and ends the thread, within `timeout` seconds."""
        try:
            self._queue.put(None, timeout=timeout)
        except queue.Full:
            return
        self._thread.join(timeout)

    def _take_room(self, size: int) -> None:
        """Books `size` bytes of the queue, which the caller gives back if there were not so many."""
        with self._room_lock:
            self._room -= size
            if size > 0 and self._room < 0:
                raise queue.Full

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            time, version, signature, inputs = item
            try:
                self._write(time, version, signature, inputs)
            # A full disk or a folder that is gone must end neither this thread nor the server.
            except Exception:
                self.dropped += _rows(inputs)
                logger.exception("%s: a request could not be logged", self._folder)
                self._file = None
            self._take_room(-_bytes(inputs))
        if self._file is not None:
            self._file.close()

    def _write(self, time: datetime, version: int, signature: str, inputs: Mapping[str, np.ndarray]) -> None:
        stamp = time.isoformat(timespec="microseconds")
        lines = [
            json.dumps(
                {"time": stamp, "version": version, "signature": signature, "inputs": row}, ensure_ascii=False
            )
            for row in self._entries(inputs)
        ]
        if self._file is None or self._file.tell() >= self._max_bytes:
            self._next_file(time)
        self._file.write("".join(line + "\n" for line in lines).encode())
        self._file.flush()
        self.written += len(lines)

    def _entries(self, inputs: Mapping[str, np.ndarray]) -> Iterator[dict[str, Any]]:
        """The inputs of each row, by the names of the features, whichever way they came."""
        for at in range(_rows(inputs)):
            entry: dict[str, Any] = {}
            for name, array in inputs.items():
                value = array[at] if array.ndim else array.item()
                if isinstance(value, bytes):
                    features = _example(value) if name in ("examples", "inputs") else {name: value}
                    for feature, content in features.items():
                        entry |= self._value(feature, content)
                else:
                    entry[name] = value.tolist() if hasattr(value, "tolist") else value
            yield entry

    def _value(self, name: str, content: Any) -> dict[str, Any]:
        if not isinstance(content, bytes):
            return {name: content}
        text = content.decode("utf-8", "replace")
        if self._keep_texts:
            return {name: text}
        digest = hashlib.blake2b(content, digest_size=_HASH_BYTES, key=self._key).hexdigest()
        return {f"{name}_hash": digest, f"{name}_tokens": len(text.split()), f"{name}_characters": len(text)}

    def _next_file(self, time: datetime) -> None:
        if self._file is not None:
            self._file.close()
        name = f"{PREFIX}{time:%Y%m%dT%H%M%S%f}-{os.getpid()}{SUFFIX}"
        # There may be texts in it, and hashes of texts can be tried out: for its owner alone.
        self._file = os.fdopen(
            os.open(self._folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab"
        )
        for old in sorted(self._folder.glob(f"{PREFIX}*{SUFFIX}"))[: -self._max_files]:
            old.unlink(missing_ok=True)


def _rows(inputs: Mapping[str, np.ndarray]) -> int:
    return max((len(array) for array in inputs.values() if array.ndim), default=1)


def _bytes(inputs: Mapping[str, np.ndarray]) -> int:
    return sum(
        sum(map(len, array.flat)) if array.dtype == object else array.nbytes for array in inputs.values()
    )


def _example(serialized: bytes) -> dict[str, Any]:
    """The features of a tf.Example: one value bare, several as a list."""
    import tensorflow as tf

    features: dict[str, Any] = {}
    for name, feature in sorted(tf.train.Example.FromString(serialized).features.feature.items()):
        kind = feature.WhichOneof("kind")
        values = list(getattr(feature, kind).value) if kind else []
        features[name] = values[0] if len(values) == 1 else values
    return features
