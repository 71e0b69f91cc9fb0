"""`kembar serve`: REST and gRPC in one event loop, in the foreground, bound to loopback by default."""

from __future__ import annotations

import gc
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from pipeline.serving.app import create_app
from pipeline.serving.errors import ServingError
from pipeline.serving.limits import Limits
from pipeline.serving.protocol import patient_protocol
from pipeline.serving.request_log import RequestLog
from pipeline.serving.service import Service
from pipeline.serving.versions import ModelStore, Watcher, discover

if TYPE_CHECKING:
    import grpc

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
    grpc_port: int | None = None,
    *,
    limits: Limits | None = None,
    open_log: Callable[[], RequestLog | None] = lambda: None,
    poll_seconds: float = 1.0,
    announce: Callable[[str], None] = _print,
) -> None:
    """Serves the versions below `base_dir` as model `name` until SIGINT or SIGTERM, then returns.

    Announces `serving NAME version V at http://HOST:PORT/v1/models/NAME` once requests are answered, and
    `, gRPC at HOST:PORT` behind it if `grpc_port` is given; port 0 takes a free one. New versions and pins
    are followed. Requests in flight are answered before it returns. `open_log` opens the request log, if any.

    Raises:
        ServingError: no version can be loaded, or a port cannot be had.
    """
    limits = limits or Limits()
    # First the ports, which are quick to fail; the model takes seconds.
    listener = _bind(host, port)
    with listener:
        if grpc_port is not None:
            _bind(host, grpc_port, "--grpc-port").close()
        if discover(base_dir):  # an empty folder is told at once
            _set_imports_apart()
        store = ModelStore(base_dir, name=name)
        store.refresh()
        if store.current is None:
            failures = [f"version {status.version}: {status.error}" for status in store.statuses()]
            reason = "; ".join(failures) or store.missing()
            raise ServingError(f"{base_dir}: nothing to serve: {reason}")
        service = Service(store, name, limits, open_log())
        config = uvicorn.Config(
            create_app(service),
            http=patient_protocol(limits.header_timeout),
            access_log=False,
            log_config=None,  # the log belongs to the command line
            server_header=False,
            limit_concurrency=limits.max_connections,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=int(limits.timeout) + 1,
        )
        url_host = f"[{host}]" if ":" in host else host
        server = _Server(config, service, url_host, listener.getsockname()[1], grpc_port, announce)
        watcher = Watcher(store, poll_seconds)
        watcher.start()
        try:
            with _quiet_signals():
                server.run(sockets=[listener])
        finally:
            watcher.stop()
            service.close()
        if server.failure is not None:
            raise server.failure
    logger.info("stopped serving %s", name)


class _Server(uvicorn.Server):
    """uvicorn with gRPC beside it; says where both listen as soon as they do, in one line for scripts."""

    def __init__(
        self,
        config: uvicorn.Config,
        service: Service,
        host: str,
        port: int,
        grpc_port: int | None,
        announce: Callable[[str], None],
    ) -> None:
        super().__init__(config)
        self._service = service
        self._host = host
        self._port = port
        self._grpc_port = grpc_port
        self._announce = announce
        self._grpc: grpc.aio.Server | None = None
        self.failure: ServingError | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        model = self._service.store.current
        if not self.started or model is None:
            return
        name = self._service.name
        line = f"serving {name} version {model.version} at http://{self._host}:{self._port}/v1/models/{name}"
        if self._grpc_port is not None:
            from pipeline.serving.rpc import start_grpc

            try:
                self._grpc, bound = await start_grpc(self._service, self._host, self._grpc_port)
            except ServingError as error:
                self.failure, self.should_exit = error, True
                return
            line += f", gRPC at {self._host}:{bound}"
        self._announce(line)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._grpc is not None:  # takes no new calls, and waits for those in flight
            await self._grpc.stop(self._service.limits.timeout)
        await super().shutdown(sockets=sockets)


def _set_imports_apart() -> None:
    """Leaves what TensorFlow brings out of garbage collection: a pass over it takes 0.2 s of some request."""
    import trainer.ops  # noqa: F401 - brings TensorFlow

    gc.collect()
    gc.freeze()


def _bind(host: str, port: int, option: str = "--port") -> socket.socket:
    """A listening socket; uvicorn's own way to make one ends the process where it fails."""
    if not 0 <= port <= 65_535:
        raise ServingError(f"cannot listen on port {port}: give {option} a number from 0 to 65535")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise ServingError(
            f"cannot listen on {host}:{port}: {error}; choose another with {option}"
        ) from error
    # asyncio does this to sockets that name their protocol, and this one's connections do not. Head and body
    # of an answer are two writes, and the second would wait 40 ms for the client to acknowledge the first.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


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
