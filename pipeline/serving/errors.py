"""Errors for requests that are refused.

ServingError (trainer.errors)
└── RequestError     the request, not the model, is at fault: carries the status TF Serving answers with
"""

from __future__ import annotations

from trainer.errors import ServingError

__all__ = ["RequestError", "ServingError", "check_rows", "short_line"]

# TF Serving echoes the whole offending value; a client that sent 8 MiB does not need it back.
_LONGEST_MESSAGE = 500


# gRPC's status of each HTTP status that is used here; TF Serving's own table, read backwards.
_CODES = {
    400: "INVALID_ARGUMENT",
    404: "NOT_FOUND",
    413: "RESOURCE_EXHAUSTED",
    415: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class RequestError(ServingError):
    """A request that cannot be answered.

    Attributes:
        status: the HTTP status to answer with.
        code: the name of gRPC's status; where several share an HTTP status, the one that TF Serving gives.
    """

    def __init__(self, message: str, status: int = 400, code: str | None = None) -> None:
        super().__init__(short_line(message))
        self.status = status
        self.code = code or _CODES[status]


def check_rows(name: str, rows: int, most: int) -> None:
    """Refuse a batch of too many rows.

    Raises:
        RequestError: there are more than `most`.
    """
    if rows > most:
        raise RequestError(f"'{name}' holds {rows} rows, but at most {most} are answered at once")


def short_line(text: str) -> str:
    """`text` without line breaks or control characters, shortened to what fits a log line."""
    # A lone surrogate cannot be written as UTF-8, so it becomes a question mark here.
    text = text[: 8 * _LONGEST_MESSAGE]  # of megabytes each letter would be looked at
    words = " ".join(text.encode("utf-8", "replace").decode("utf-8").split())
    printable = "".join(char if char.isprintable() else "?" for char in words)
    if len(printable) > _LONGEST_MESSAGE:
        return printable[: _LONGEST_MESSAGE - 3] + "..."
    return printable
