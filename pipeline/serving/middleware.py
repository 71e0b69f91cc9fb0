"""Measures each request around the application."""

from __future__ import annotations

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.serving.metrics import RequestMetrics


class MeasureRequests:
    """ASGI middleware: status and time of each request, by the name of the endpoint that answered."""

    def __init__(self, app: ASGIApp, metrics: RequestMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, or passes a lifespan event on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        code = 500  # what is sent when the application raises instead of answering

        async def watch(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
            await send(message)

        started = time.perf_counter()
        try:
            await self._app(scope, receive, watch)
        finally:
            # The router leaves the endpoint in the scope; its name is one of a few, whatever the client sent.
            endpoint = getattr(scope.get("endpoint"), "__name__", "none")
            self._metrics.observe(endpoint, code, time.perf_counter() - started)
