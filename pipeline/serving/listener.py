"""The REST port: connections up to a limit, memory up to a limit, and an end that loses nothing."""

from __future__ import annotations

import asyncio
import logging
import math
import socket
import time
from collections.abc import Awaitable, Callable

from pipeline.serving.connection import Connection, State
from pipeline.serving.limits import RequestLimits
from pipeline.serving.messages import Request, Response

logger = logging.getLogger(__name__)

_SWEEP_SECONDS = 0.25
# Beyond the limit so many connections are still heard, for one answer each; more wait in the kernel.
_EXTRA = 64
_EXTRA_SECONDS = 5.0
_RETRY_SECONDS = 0.05
_ACCEPTED_AT_ONCE = 64
# A connection that has said nothing for so long may have to go for another: between requests, and within one.
_IDLE_SECONDS = 1.0
_STALLED_SECONDS = 0.5
# Bodies up to this size do not count: one that is small gets in, however full it is.
_SMALL_BODY = 64 * 1024
_SECONDS_BETWEEN_WARNINGS = 60.0

# A connection that has asked so often is some client's own, and is let go only after this time.
_OFTEN = 3
_OFTEN_SECONDS = 5.0
_PATIENCE = {
    State.IDLE: _IDLE_SECONDS,
    State.LINGER: _IDLE_SECONDS,
    State.HEAD: _STALLED_SECONDS,
    State.BODY: _STALLED_SECONDS,
    State.WRITING: _STALLED_SECONDS,
    State.WORKING: math.inf,
}

Answer = Callable[[Request, bool], Awaitable[Response]]


class Listener:
    """Accepts connections and answers their requests by `answer`; to be used from one event loop.

    Args:
        listening: a listening socket, which this one closes.
        answer: takes a request, and whether the server is too crowded for it.
        limits: bounds on connections and what they send.
        refused: is called with the status of what was no request that could be answered.
    """

    def __init__(
        self,
        listening: socket.socket,
        answer: Answer,
        limits: RequestLimits,
        refused: Callable[[int], None] = lambda status: None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self._answer = answer
        self.limits = limits
        self.refused = refused
        self.draining = False
        self.held = 0
        self._socket = listening
        self._connections: set[Connection] = set()
        self._starting: set[asyncio.Task[object]] = set()
        self._warned = -_SECONDS_BETWEEN_WARNINGS
        listening.setblocking(False)
        self.loop.add_reader(listening, self._accept)
        self._sweeping = self.loop.call_later(_SWEEP_SECONDS, self._sweep)

    # What a connection calls.

    async def respond(self, connection: Connection, request: Request) -> Response:
        """The answer to a request; where all connections are at work, one beyond the limit has no place."""
        crowded = connection.extra and self.limits.max_connections <= sum(
            other.state is State.WORKING for other in self._connections if not other.extra
        )
        return await self._answer(request, crowded)

    def opened(self, connection: Connection) -> None:
        """Counts it; beyond the limit the one that has waited longest for its client goes for it."""
        self._connections.add(connection)
        if len(self._connections) > self.limits.max_connections and not self._make_room(connection):
            connection.extra = True
            connection.deadline = self.loop.time() + _EXTRA_SECONDS

    def closed(self, connection: Connection) -> None:
        """Counts it no more."""
        self._connections.discard(connection)

    def has_room(self, connection: Connection) -> bool:
        """True where the bodies in memory, with what this connection just got, are not too many.

        What has stalled longest in the middle of its body goes first.
        """
        while self.held > self.limits.max_held_bytes and connection.held > _SMALL_BODY:
            others = [
                other
                for other in self._connections
                if other.state is State.BODY and other.held > _SMALL_BODY and other is not connection
            ]
            stalled = min(others, key=lambda other: other.touched, default=None)
            if stalled is None or stalled.touched > self.loop.time() - _STALLED_SECONDS:
                return False
            stalled.abort()
            self.held -= stalled.held
            stalled.held = 0
        return True

    # The end.

    async def drain(self, quiet: float, timeout: float) -> None:
        """Stops listening, answers what was accepted and what comes within `quiet` seconds, and closes.

        Each answer is the last of its connection. After `timeout` seconds whatever is left ends.
        """
        while self._accept():  # who is connected already is answered
            pass
        self.loop.remove_reader(self._socket)
        self._socket.close()
        self.draining = True
        started = self.loop.time()
        while self._connections or self._starting:
            seconds = self.loop.time() - started
            if seconds > timeout:
                break
            if seconds > quiet:
                for connection in list(self._connections):
                    connection.retire()
            await asyncio.sleep(0.02)
        for connection in list(self._connections):
            connection.abort()
        self._sweeping.cancel()

    # The rest.

    def _accept(self) -> bool:
        """Accepts some connections; returns whether more may wait."""
        for _ in range(_ACCEPTED_AT_ONCE):
            full = len(self._connections) + len(self._starting) >= self.limits.max_connections + _EXTRA
            if full and not self._make_room(None):
                self._rest("more than %d connections", self.limits.max_connections)
                return False
            try:
                accepted, _ = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return False
            except OSError as error:  # no descriptors or no memory are left
                self._rest("a connection cannot be accepted: %s", error)
                return False
            accepted.setblocking(False)
            task = self.loop.create_task(
                self.loop.connect_accepted_socket(lambda: Connection(self), accepted)
            )
            self._starting.add(task)
            task.add_done_callback(self._started)
        return True

    def _started(self, task: asyncio.Task[object]) -> None:
        self._starting.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.debug("a connection ended before it began: %s", task.exception())

    def _rest(self, reason: str, value: object) -> None:
        """Accepts nothing for a moment; says so now and then."""
        self.loop.remove_reader(self._socket)
        self.loop.call_later(_RETRY_SECONDS, self._accept_again)
        if time.monotonic() - self._warned >= _SECONDS_BETWEEN_WARNINGS:
            self._warned = time.monotonic()
            logger.warning("connections wait: " + reason, value)

    def _accept_again(self) -> None:
        if not self.draining:
            self.loop.add_reader(self._socket, self._accept)

    def _make_room(self, connection: Connection | None) -> bool:
        """Ends the connection that has waited longest for its client, if any but this one does."""
        now = self.loop.time()
        waiting = [
            other
            for other in self._connections
            if other is not connection and now - other.touched >= _patience(other)
        ]
        waiting.sort(key=lambda other: (min(other.answered, _OFTEN), other.touched))
        # Where this process was held up, it is not the client that is waited for.
        oldest = next((other for other in waiting if not other.has_unread()), None)
        if oldest is None:
            return False
        self._connections.discard(oldest)
        oldest.abort() if oldest.state is not State.IDLE else oldest.expire()
        return True

    def _sweep(self) -> None:
        """Ends what is past its deadline."""
        now = self.loop.time()
        for connection in list(self._connections):
            if connection.deadline < now:
                connection.expire()
        self._sweeping = self.loop.call_later(_SWEEP_SECONDS, self._sweep)


def _patience(connection: Connection) -> float:
    """Seconds after which it may have to go for another."""
    seconds = _PATIENCE[connection.state]
    return max(seconds, _OFTEN_SECONDS) if connection.answered >= _OFTEN else seconds
