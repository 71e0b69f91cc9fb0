"""One HTTP connection: requests are answered in their order.

A connection is in one state at a time, and but for the work of the model every state has a deadline:

    IDLE      nothing of a next request has come
    HEAD      a part of a request line or of headers has
    BODY      a part of a body has; it counts as no request before it is complete
    WORKING   a request is being answered, which has its own time limit
    WRITING   the client does not read as fast as it is written to
    LINGER    the last answer is written; what still comes is read and dropped, so that no reset overtakes it
"""

from __future__ import annotations

import asyncio
import enum
import fcntl
import logging
import termios
from collections import deque
from typing import TYPE_CHECKING, cast

from pipeline.serving.messages import Request, Response, error_response
from pipeline.serving.reading import Part, RequestReader

if TYPE_CHECKING:
    from pipeline.serving.listener import Listener

logger = logging.getLogger(__name__)

# Requests that came before they could be answered; more wait in the client.
_MOST_PIPELINED = 16
_LINGER_SECONDS = 2.0
# Clients that send all of a body before they read why it is refused need longer.
_UPLOAD_SECONDS = 10.0
_PROGRESS = 512
# An answer is given up where the client takes longer than the time limit and this rate allow.
_SLOWEST_READER = 64 * 1024
# One write for head and body costs a copy, which is cheap for short ones only.
_SINGLE_WRITE = 64 * 1024


class State(enum.Enum):
    """The state of a connection: what it waits for."""

    IDLE = enum.auto()
    HEAD = enum.auto()
    BODY = enum.auto()
    WORKING = enum.auto()
    WRITING = enum.auto()
    LINGER = enum.auto()


_ARRIVING = {Part.NOTHING: State.IDLE, Part.HEAD: State.HEAD, Part.BODY: State.BODY}


class Connection(asyncio.Protocol):
    """Answers the requests of one client, one after the other."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._loop = listener.loop
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._reader = RequestReader(listener.limits.max_body_bytes, self)
        self._waiting: deque[Request | Response] = deque()
        self._task: asyncio.Task[None] | None = None
        self._answering = False
        self._writing = False
        self._lingering = False
        self._deaf = False  # nothing that still comes is a request
        self._ended = False  # the client sends no more
        self._uploading = False  # what is refused still comes
        self.held = 0  # bytes of bodies, from their arrival to their answer
        self.extra = False  # beyond the limit of connections: its first answer is its last
        self.answered = 0
        self.touched = 0.0
        self.deadline = 0.0

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Waits for the first request."""
        self._transport = cast(asyncio.Transport, transport)
        self.touched = self._loop.time()
        self.deadline = self.touched + self._listener.limits.header_timeout
        self._listener.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Gives up what is being answered: nobody is there any more."""
        if self._task is not None:
            self._task.cancel()
        self._waiting.clear()
        self._reader.close()
        self._hold(-self.held)
        self._listener.closed(self)

    def eof_received(self) -> bool:
        """Lets a client that has said all still read its answers."""
        self._ended = True
        if self._lingering or self.state is State.IDLE:
            self._transport.close()
        elif self._reader.part is not Part.NOTHING:
            self._turn_deaf(error_response(400, "the connection ended in the middle of a request"))
        return True

    def data_received(self, data: bytes) -> None:
        """Reads on."""
        # A byte now and then is no progress.
        if len(data) >= _PROGRESS or self.state is State.IDLE:
            self.touched = self._loop.time()
        if self._deaf:
            return
        refusal = self._reader.feed(data)
        if refusal is not None:
            self._turn_deaf(refusal)
        elif len(self._waiting) > _MOST_PIPELINED:
            self._transport.pause_reading()

    def pause_writing(self) -> None:
        """Answers no more until the client has read."""
        self._writing = True
        size = self._transport.get_write_buffer_size()
        self.deadline = self._loop.time() + self._listener.limits.timeout + size / _SLOWEST_READER

    def resume_writing(self) -> None:
        """Goes on."""
        self._writing = False
        if not self._lingering:
            self._wait_for_next()
            self._go_on()

    # What the reader calls.

    def head_began(self) -> None:
        """The first byte of a request."""
        if self.state is State.HEAD:
            self.deadline = self._loop.time() + self._listener.limits.header_timeout

    def body_began(self, expects: bool) -> None:
        """A head is complete; the client may wait for a word before it sends the body."""
        if self.state is State.BODY:
            self.deadline = self._loop.time() + self._listener.limits.timeout
            if expects:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def body_grew(self, size: int) -> bool:
        """True where there is memory for so many bytes more."""
        self._hold(size)
        return self._listener.has_room(self)

    def deliver(self, request: Request) -> None:
        """A whole request."""
        self._waiting.append(request)
        self._go_on()

    # What the listener calls.

    @property
    def state(self) -> State:
        """The state of this connection."""
        if self._lingering:
            return State.LINGER
        if self._answering:
            return State.WORKING
        return State.WRITING if self._writing else _ARRIVING[self._reader.part]

    def expire(self) -> None:
        """Ends what has lasted too long."""
        match self.state:
            case State.HEAD | State.BODY:
                self._turn_deaf(error_response(408, "the request did not arrive in time"))
            case State.IDLE if not self._transport.get_write_buffer_size():
                self._transport.close()
            case State.WORKING:
                pass  # the service has a time limit
            case _:
                self._transport.abort()

    def retire(self) -> None:
        """Ends a connection that waits for a next request: what the client still sends finds nobody."""
        if self.state is State.IDLE:
            self._linger()

    def has_unread(self) -> bool:
        """True where more of a request has come than was read yet."""
        if self.state not in _ARRIVING.values():
            return False
        unread = fcntl.ioctl(self._transport.get_extra_info("socket").fileno(), termios.FIONREAD, b"\0" * 4)
        return any(unread)

    def abort(self) -> None:
        """Ends it at once."""
        self._transport.abort()

    # The rest.

    def _turn_deaf(self, last: Response) -> None:
        """Answers what was asked before, then `last`, and closes."""
        self._deaf, self._uploading = True, self._reader.part is not Part.NOTHING
        self._reader.forget()
        self._waiting.append(last)
        self._go_on()

    def _hold(self, size: int) -> None:
        self.held += size
        self._listener.held += size

    def _go_on(self) -> None:
        """Begins with the next request where nothing is in its way."""
        if self._answering or self._writing or self._lingering:
            return
        if not self._waiting:
            if self._ended:
                self._transport.close()
            return
        following = self._waiting.popleft()
        if len(self._waiting) == _MOST_PIPELINED // 2:
            self._transport.resume_reading()
        if isinstance(following, Response):
            self._listener.refused(following.status)
            self._write(following, "close")
            return
        self._answering = True
        self._task = self._loop.create_task(self._answer(following))

    async def _answer(self, request: Request) -> None:
        try:
            response = await self._listener.respond(self, request)
        except Exception:
            logger.exception("%s %s failed", request.method, request.target[:200])
            response = error_response(500, "Internal error; see the server's log")
        self._task, self._answering = None, False
        self.answered += 1
        self._hold(-len(request.body))
        keep = request.keep_alive and not (self._listener.draining or self.extra)
        keep = keep and not (self._ended and not self._waiting)
        connection = "close" if not keep else "keep-alive" if request.http_1_0 else ""
        self._write(response, connection, request.method != "HEAD")
        self._go_on()

    def _write(self, response: Response, connection: str, with_body: bool = True) -> None:
        head, body = response.head(connection), response.body if with_body else b""
        self._wait_for_next()
        if len(body) <= _SINGLE_WRITE:
            self._transport.write(head + body)
        else:
            self._transport.write(head)
            self._transport.write(body)
        if connection == "close":
            self._linger()

    def _wait_for_next(self) -> None:
        limits, now = self._listener.limits, self._loop.time()
        seconds = {Part.HEAD: limits.header_timeout, Part.BODY: limits.timeout}
        self.touched, self.deadline = now, now + seconds.get(self._reader.part, limits.idle_timeout)

    def _linger(self) -> None:
        """Says that this was all, and waits for the client to say the same."""
        seconds = _UPLOAD_SECONDS if self._uploading else _LINGER_SECONDS
        self._deaf = self._lingering = True
        self._waiting.clear()
        self._hold(-self.held)
        if self._ended:
            self._transport.close()
            return
        size = self._transport.get_write_buffer_size()
        self.deadline = self._loop.time() + seconds + size / _SLOWEST_READER
        self._transport.write_eof()
        self._transport.resume_reading()
