"""From the bytes of a connection to whole requests, by llhttp."""

from __future__ import annotations

import enum
import logging
from typing import TYPE_CHECKING

import httptools

from pipeline.serving.messages import Request, Response, error_response

if TYPE_CHECKING:
    from pipeline.serving.connection import Connection

logger = logging.getLogger(__name__)

_MOST_HEAD = 64 * 1024
_MOST_TARGET = 8 * 1024


class Part(enum.Enum):
    """The part of a request that has begun to come."""

    NOTHING = enum.auto()
    HEAD = enum.auto()
    BODY = enum.auto()


class _Refused(Exception):
    """Stops llhttp."""


class RequestReader:
    """Reads requests until one is refused.

    Args:
        most: bytes of the longest body.
        receiver: hears of what comes.
    """

    def __init__(self, most: int, receiver: Connection) -> None:
        self._most = most
        self._receiver = receiver
        self._parser = httptools.HttpRequestParser(self)
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._size = 0
        self._head_size = 0
        self._refusal: Response | None = None
        self.part = Part.NOTHING

    def feed(self, data: bytes) -> Response | None:
        """Reads on; the answer to what is no request, after which nothing more can be read."""
        try:
            while data:
                try:
                    self._parser.feed_data(data)
                    break
                except httptools.HttpParserUpgrade as upgrade:
                    data = self._without_upgrade() + data[upgrade.args[0] :]
                    self._parser = httptools.HttpRequestParser(self)
        except httptools.HttpParserError as error:
            return self._refusal or _malformed(error)
        if self.part is Part.HEAD:
            self._head_size += len(data)
            if self._head_size > _MOST_HEAD:
                return error_response(431, f"the headers are longer than {_MOST_HEAD} bytes")
        return None

    def forget(self) -> None:
        """Drops what has come of a request."""
        self.part, self._body = Part.NOTHING, []

    def close(self) -> None:
        """Drops all that came, and those who know this reader: no cycle keeps a body in memory."""
        self.forget()
        del self._parser, self._receiver

    # What llhttp calls.

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._target, self._headers, self._body, self._size, self._head_size = b"", {}, [], 0, 0
        self.part = Part.HEAD
        self._receiver.head_began()

    def on_url(self, part: bytes) -> None:
        """A part of the target."""
        self._target += part
        if len(self._target) > _MOST_TARGET:
            self._refuse(414, f"the path is longer than {_MOST_TARGET} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or one behind the last chunk."""
        self._head_size += len(name) + len(value) + len(": \r\n")
        if self._head_size > _MOST_HEAD:
            self._refuse(431, f"the headers are longer than {_MOST_HEAD} bytes")
        key = name.lower()
        self._headers[key] = self._headers[key] + b", " + value if key in self._headers else value

    def on_headers_complete(self) -> None:
        """Refuses what is too long before it comes."""
        if self._headers.get(b"transfer-encoding", b"chunked").lower() != b"chunked":
            self._refuse(400, "Malformed request: a Transfer-Encoding that is not read; send it as it is")
        length = self._headers.get(b"content-length", b"")
        if length.isdigit() and (len(length) > 18 or int(length) > self._most):
            self._refuse_long()
        self.part = Part.BODY
        self._receiver.body_began(self._headers.get(b"expect", b"").lower() == b"100-continue")

    def on_body(self, part: bytes) -> None:
        """A part of a body."""
        self._size += len(part)
        if self._size > self._most:
            self._refuse_long()
        if not self._receiver.body_grew(len(part)):
            self._refuse(503, "the requests that arrive are more than memory allows; try again later")
        self._body.append(part)

    def on_message_complete(self) -> None:
        """A whole request."""
        parser = self._parser
        if self._wants_upgrade():
            return  # llhttp takes it for one without a body, and stops
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self.forget()
        self._receiver.deliver(
            Request(
                parser.get_method().decode("latin-1"),
                self._target.decode("latin-1"),
                self._headers,
                body,
                parser.should_keep_alive(),
                parser.get_http_version() == "1.0",
            )
        )

    # The rest.

    def _wants_upgrade(self) -> bool:
        return self._parser.should_upgrade() and self._parser.get_method() != b"CONNECT"

    def _without_upgrade(self) -> bytes:
        """The head that has come, less the wish to speak another protocol: nothing is upgraded here."""
        if not self._wants_upgrade():
            return b""
        headers = {name: value for name, value in self._headers.items() if name != b"upgrade"}
        lines = [self._parser.get_method() + b" " + self._target + b" HTTP/1.1"]
        lines += [name + b": " + value for name, value in headers.items()]
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def _refuse(self, status: int, message: str) -> None:
        self._refusal = error_response(status, message)
        raise _Refused

    def _refuse_long(self) -> None:
        self._refuse(413, f"the body is larger than {self._most} bytes; send fewer rows a request")


def _malformed(error: httptools.HttpParserError) -> Response:
    if isinstance(error, httptools.HttpParserCallbackError):  # a mistake of ours
        logger.error("a request could not be read", exc_info=error)
        return error_response(500, "Internal error; see the server's log")
    return error_response(400, f"Malformed request: {error}")
