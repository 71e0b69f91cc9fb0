"""A thread that keeps a store of versions up to date."""

from __future__ import annotations

import logging
import threading

from pipeline.serving.model_store import ModelStore

logger = logging.getLogger(__name__)


class Watcher:
    """A thread that refreshes a store every `interval` seconds, between `start()` and `stop()`."""

    def __init__(self, store: ModelStore, interval: float = 1.0) -> None:
        self._store = store
        self._interval = interval
        self._stopped = threading.Event()
        # A daemon, because a load in progress cannot be interrupted and must not hold up the exit.
        self._thread = threading.Thread(target=self._run, name="kembar-versions", daemon=True)

    def start(self) -> None:
        """Begins to look."""
        self._thread.start()

    def stop(self, timeout: float = 5.0) -> None:
        """Looks no more; waits up to `timeout` seconds for a load in progress."""
        self._stopped.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stopped.wait(self._interval):
            try:
                self._store.refresh()
            # Nothing should come here; if it does, the next look must still take place.
            except Exception:
                logger.exception("%s: cannot be looked at", self._store.base_dir)
