"""`kembar serve`: the application behind uvicorn, in the foreground, on the loopback interface by default."""

from __future__ import annotations

import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from pipeline.serving.app import Limits, create_app
from pipeline.serving.errors import ServingError
from pipeline.serving.versions import ModelStore, Watcher

logger = logging.getLogger(__name__)

# Clients with connection pools send on idle connections; closing those early makes their next request fail.
_KEEP_ALIVE_SECONDS = 75


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - what a script waits for


def serve(
    base_dir: str | Path,
    name: str,
    host: str = "127.0.0.1",
    port: int = 8501,
    *,
    limits: Limits | None = None,
    poll_seconds: float = 1.0,
    announce: Callable[[str], None] = _print,
) -> None:
    """Serves the newest version below `base_dir` as model `name` until SIGINT or SIGTERM, then returns.

    Announces `serving NAME version V at http://HOST:PORT/v1/models/NAME` once requests are answered; port 0
    takes a free one. New versions are followed. Requests in flight are answered before it returns.

    Raises:
        ServingError: no version can be loaded, or the port cannot be had.
    """
    limits = limits or Limits()
    # First the port, which is quick to fail; the model takes seconds.
    listener = _bind(host, port)
    with listener:
        store = ModelStore(base_dir)
        store.refresh()
        if store.current is None:
            failures = [f"version {status.version}: {status.error}" for status in store.statuses()]
            reason = "; ".join(failures) or "no version there; push one with `kembar run`"
            raise ServingError(f"{base_dir}: nothing to serve: {reason}")
        url_host = f"[{host}]" if ":" in host else host
        url = f"http://{url_host}:{listener.getsockname()[1]}/v1/models/{name}"
        config = uvicorn.Config(
            create_app(store, name, limits),
            access_log=False,
            log_config=None,  # the log belongs to the command line
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=int(limits.timeout) + 1,
        )
        server = _AnnouncingServer(
            config, announce, f"serving {name} version {store.current.version} at {url}"
        )
        watcher = Watcher(store, poll_seconds)
        watcher.start()
        try:
            with _quiet_signals():
                server.run(sockets=[listener])
        finally:
            watcher.stop()
    logger.info("stopped serving %s", name)


class _AnnouncingServer(uvicorn.Server):
    """Says where it listens as soon as it does, in one line that scripts can wait for."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[str], None], line: str) -> None:
        super().__init__(config)
        self._announce = announce
        self._line = line

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started:
            self._announce(self._line)


def _bind(host: str, port: int) -> socket.socket:
    """A listening socket; uvicorn's own way to make one ends the process where it fails."""
    if not 0 <= port <= 65_535:
        raise ServingError(f"cannot listen on port {port}: give --port a number from 0 to 65535")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise ServingError(f"cannot listen on {host}:{port}: {error}; choose another with --port") from error


@contextmanager
def _quiet_signals() -> Iterator[None]:
    """uvicorn raises SIGINT and SIGTERM again after its shutdown; that must not end the process here."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
