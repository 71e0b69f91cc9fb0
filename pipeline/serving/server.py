"""`kembar serve`: REST and gRPC in one event loop, in the foreground, bound to loopback by default."""

from __future__ import annotations

import asyncio
import errno
import functools
import gc
import logging
import os
import resource
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvloop

from pipeline.interrupt import handled
from pipeline.serving.app import App
from pipeline.serving.errors import ServingError
from pipeline.serving.folder import discover
from pipeline.serving.limits import RequestLimits
from pipeline.serving.listener import Listener
from pipeline.serving.log import rotate
from pipeline.serving.model_store import ModelStore
from pipeline.serving.request_log import RequestLog
from pipeline.serving.service import Service
from pipeline.serving.watcher import Watcher

logger = logging.getLogger(__name__)

# After the word to stop, requests are still answered for so long: those that were on their way.
_QUIET_SECONDS = 0.5
_TICK_SECONDS = 1.0
# Threads give way to each other after this; Python's own 5 ms are long for an answer of 1 ms.
_SWITCH_SECONDS = 0.001
# Python's own 700 would have the garbage collector pass over a body of millions of lists again and again, for
# seconds in which nobody else is answered.
_COLLECTION_THRESHOLDS = 30_000, 20, 100
# Descriptors for what is not a connection: versions that are loaded, logs, the event loop.
_SPARE_DESCRIPTORS = 128
_MOST_DESCRIPTORS = 65_536


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - what a script waits for


def serve(
    base_dir: str | Path,
    name: str,
    host: str = "127.0.0.1",
    port: int = 8501,
    grpc_port: int | None = None,
    *,
    limits: RequestLimits | None = None,
    open_log: Callable[[], RequestLog | None] = lambda: None,
    poll_seconds: float = 1.0,
    announce: Callable[[str], None] = _print,
    cors: bool = False,
    log: Path | None = None,
) -> None:
    """Serves the versions below `base_dir` as model `name` until SIGINT, SIGTERM or SIGHUP, then returns.

    Announces `serving NAME version V at http://HOST:PORT/v1/models/NAME` once requests are answered, and
    `, gRPC at HOST:PORT` behind it if `grpc_port` is given; port 0 takes a free one. New versions and pins
    are followed. Requests in flight are answered before it returns; a second signal ends it at once.
    `open_log` opens the request log, if any. `log` is the file that stdout and stderr go to, if it is to be
    kept short. A signal before anything is served ends it too.

    Raises:
        ServingError: no version can be loaded, or a port cannot be had.
    """
    limits, grpc_connections = _fitting(limits or RequestLimits())
    stop = _Stop()
    # First the ports, which are quick to fail; the model takes seconds.
    with handled(stop.take), _bind(host, port) as listening:
        if grpc_port is not None:
            _bind(host, grpc_port, "--grpc-port").close()
        try:
            store = _load(base_dir, name)
        except _Stopped:
            logger.info("stopped before %s was served", name)
            return
        service = Service(store, name, limits, open_log())
        watcher = Watcher(store, poll_seconds)
        watcher.start()
        switch, thresholds = sys.getswitchinterval(), gc.get_threshold()
        sys.setswitchinterval(_SWITCH_SECONDS)
        gc.set_threshold(*_COLLECTION_THRESHOLDS)
        try:
            app, address = App(service, cors), f"[{host}]" if ":" in host else host
            uvloop.run(
                _run(service, app, stop, listening, address, grpc_port, grpc_connections, announce, log)
            )
        except _Stopped:
            logger.info("stopped before %s was served", name)
        finally:
            sys.setswitchinterval(switch)
            gc.set_threshold(*thresholds)
            watcher.stop()
            service.close()
    logger.info("stopped serving %s", name)


def _load(base_dir: str | Path, name: str) -> ModelStore:
    if discover(base_dir):  # an empty folder is told at once
        _set_imports_apart()
        from components.version_folder.pins import read_pins

        read_pins(Path(base_dir), name)  # a file that cannot be followed is no reason to serve the newest
    store = ModelStore(base_dir, name=name)
    store.refresh()
    if store.current is None:
        failures = [f"version {status.version}: {status.error}" for status in store.statuses()]
        reason = "; ".join(failures) or store.missing()
        raise ServingError(f"{base_dir}: nothing to serve: {reason}")
    return store


async def _run(
    service: Service,
    app: App,
    stop: _Stop,
    listening: socket.socket,
    address: str,
    grpc_port: int | None,
    grpc_connections: int,
    announce: Callable[[str], None],
    log: Path | None,
) -> None:
    """Both ports, from the announcement to the end by a signal."""
    from pipeline.serving.rpc import GrpcServer

    version = service.find(service.name).version
    refused = functools.partial(service.metrics.observe, "none", seconds=0.0)
    listener = Listener(listening, app, service.limits, refused)
    url = f"http://{address}:{listening.getsockname()[1]}/v1/models/{service.name}"
    line = f"serving {service.name} version {version} at {url}"
    rpc: GrpcServer | None = None
    if grpc_port is not None:
        rpc = await GrpcServer.start(service, address, grpc_port, grpc_connections)
        line += f", gRPC at {address}:{rpc.port}"
    stopped = stop.event()
    announce(line)
    while not stopped.is_set():
        if log is not None:
            rotate(log)
        with suppress(TimeoutError):
            await asyncio.wait_for(stopped.wait(), _TICK_SECONDS)
    service.draining = True
    stopped.clear()
    longest = service.limits.timeout + 1
    ends = [listener.drain(_QUIET_SECONDS, longest)]
    if rpc is not None:
        ends.append(rpc.drain(_QUIET_SECONDS, longest))
    drained = asyncio.gather(*ends)
    either: list[asyncio.Future[Any]] = [drained, asyncio.ensure_future(stopped.wait())]
    done, _ = await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    for each in either:
        each.cancel()
    if drained in done:
        drained.result()


class _Stopped(BaseException):
    """A signal came before anything was served."""


class _Stop:
    """The handling of the signals that end a server: they end its start, or set an event once it serves."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._event = asyncio.Event()

    def event(self) -> asyncio.Event:
        """Set by each signal from now on; to be called in the event loop."""
        self._loop = asyncio.get_running_loop()
        return self._event

    def take(self, *_: Any) -> None:
        """Take a signal."""
        if self._loop is None:
            raise _Stopped
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._event.set)


def _fitting(limits: RequestLimits) -> tuple[RequestLimits, int]:
    """The limits with no more connections than there are descriptors, and the connections for gRPC."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _MOST_DESCRIPTORS)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    free = max(soft - len(os.listdir("/proc/self/fd")) - _SPARE_DESCRIPTORS, 32)
    return replace(limits, max_connections=min(limits.max_connections, free * 2 // 3)), max(free // 3, 8)


def _set_imports_apart() -> None:
    """Leaves what TensorFlow brings out of garbage collection: a pass over it takes 0.2 s of some request."""
    import trainer.exporting.ops  # noqa: F401 - brings TensorFlow

    gc.collect()
    gc.freeze()


def _bind(host: str, port: int, option: str = "--port") -> socket.socket:
    """A listening socket; `::` listens to both families of addresses."""
    if not 0 <= port <= 65_535:
        raise ServingError(f"cannot listen on port {port}: give {option} a number from 0 to 65535")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    both = host == "::" and socket.has_dualstack_ipv6()
    try:
        listening = socket.create_server((host, port), family=family, backlog=2048, dualstack_ipv6=both)
    except OSError as error:
        nowhere = isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL
        raise ServingError(
            f"cannot listen on {host}:{port}: {error}; choose another with {'--host' if nowhere else option}"
        ) from error
    # Its connections have this from it: head and body of an answer can be two writes, and the second would
    # wait 40 ms for the client to acknowledge the first.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening
