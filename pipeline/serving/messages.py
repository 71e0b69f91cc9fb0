"""The messages of a connection: a request that has arrived as a whole, and its answer."""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import formatdate
from http import HTTPStatus
from typing import NamedTuple

import orjson

from pipeline.serving.errors import short_line

JSON = "application/json"
_CLIENT_CLOSED_REQUEST = 499  # nginx's code, and TF Serving's for CANCELLED
_REASONS = {status.value: status.phrase for status in HTTPStatus} | {
    _CLIENT_CLOSED_REQUEST: "Client Closed Request"
}
Headers = tuple[tuple[str, str], ...]


class Request(NamedTuple):
    """A request: `target` is what stands in its first line, header names are in lower case."""

    method: str
    target: str
    headers: Mapping[bytes, bytes]
    body: bytes
    keep_alive: bool = True
    http_1_0: bool = False


class Response(NamedTuple):
    """An answer."""

    body: bytes
    status: int = 200
    content_type: str = JSON
    headers: Headers = ()

    def head(self, connection: str) -> bytes:
        """The bytes before the body; `connection` is that header's value, empty for HTTP's default."""
        reason = _REASONS.get(self.status, "")
        lines = [
            f"HTTP/1.1 {self.status} {reason}\r\nContent-Type: {self.content_type}\r\n"
            f"Content-Length: {len(self.body)}\r\nDate: {_date(int(time.time()))}\r\n"
        ]
        lines += [f"{name}: {value}\r\n" for name, value in self.headers]
        lines.append(f"Connection: {connection}\r\n\r\n" if connection else "\r\n")
        return "".join(lines).encode("latin-1")


def error_response(status: int, message: str, headers: Headers = ()) -> Response:
    """`{"error": ...}`; where the server is at its limits, with a time to come again after."""
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers = (("Retry-After", "1"), *headers)
    return Response(orjson.dumps({"error": short_line(message)}), status, headers=headers)


_dates: dict[int, str] = {}


def _date(second: int) -> str:
    text = _dates.get(second)
    if text is None:
        _dates.clear()
        text = _dates[second] = formatdate(second, usegmt=True)
    return text
