"""uvicorn's HTTP protocol with patience for a request's head: uvicorn itself waits for it without end.

A client that opens a connection and sends nothing, or one byte a minute, would hold it for ever. Bodies that
do not end are the application's business, answers that nobody reads end with the connection's buffer.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol


class PatientProtocol(H11Protocol):
    """Closes a connection whose next request has not begun in time after its first bytes."""

    header_timeout = 15.0

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begins to wait for the first head."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Waits on while what came is a part of a head."""
        super().data_received(data)
        if not self._is_idle():
            self._stop_waiting()
        elif self._patience is None:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Waits no more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _wait(self) -> None:
        self._patience = self.loop.call_later(self.header_timeout, self._lose_patience)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _lose_patience(self) -> None:
        self._patience = None
        if self._is_idle() and not self.transport.is_closing():
            self.transport.close()


def patient_protocol(header_timeout: float) -> type[H11Protocol]:
    """The class to hand to uvicorn as `http`; `header_timeout` is in seconds."""
    return type("Protocol", (PatientProtocol,), {"header_timeout": header_timeout})
