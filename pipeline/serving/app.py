"""The ASGI application: TF Serving's REST protocol for one model.

    GET  /v1/models/NAME[/versions/N]            states of the versions
    GET  /v1/models/NAME[/versions/N]/metadata   signatures
    POST /v1/models/NAME[/versions/N]:predict    answers
    GET  /healthz, /metrics                      for whoever watches over the process

Starlette routes and reads bodies; the JSON and TensorFlow work of a prediction is done in a small pool of
threads, so that the event loop stays free for the small calls. Names and versions from a path are only
compared: they never become part of a file name.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from pipeline.serving.decoding import decode_request
from pipeline.serving.encoding import encode_response
from pipeline.serving.errors import RequestError, one_line
from pipeline.serving.metrics import CONTENT_TYPE, RequestMetrics
from pipeline.serving.middleware import MeasureRequests
from pipeline.serving.model import LoadedModel
from pipeline.serving.versions import LARGEST_VERSION, ModelStore, VersionStatus

_CLIENT_CLOSED_REQUEST = 499  # nginx's code, and TF Serving's for CANCELLED


@dataclass(frozen=True)
class Limits:
    """What one client may ask for.

    Attributes:
        max_body_bytes: longer bodies are 413.
        max_batch: requests of more rows are 400.
        timeout: seconds until a request is 504; the body that never ends as well as the answer.
        workers: requests at work at once. TensorFlow spreads each over the cores, so two keep a laptop busy:
            one computes while the other's JSON is read or written.
        max_waiting: requests in the queue before more are 503, which bounds memory.
    """

    max_body_bytes: int = 8 * 1024 * 1024
    max_batch: int = 4096
    timeout: float = 30.0
    workers: int = min(4, max(2, os.cpu_count() or 2))
    max_waiting: int = 64


class _Segment(StringConvertor):
    """A path segment that stops at a colon, as in TF Serving: the colon begins the verb."""

    regex = "[^/:]+"


class _Digits(StringConvertor):
    """A version number, not yet bounded."""

    regex = "[0-9]+"


register_url_convertor("segment", _Segment())
register_url_convertor("digits", _Digits())


def create_app(store: ModelStore, name: str, limits: Limits | None = None) -> Starlette:
    """The application that serves `store` as model `name`; the caller refreshes the store."""
    api = _Api(store, name, limits or Limits())
    model, versions = "/v1/models/{name:segment}", "/versions/{version:digits}"
    app = Starlette(
        routes=[
            Route("/healthz", api.health),
            Route("/metrics", api.show_metrics),
            Route(model, api.status),
            Route(model + versions, api.status),
            Route(model + "/metadata", api.metadata),
            Route(model + versions + "/metadata", api.metadata),
            Route(model + ":predict", api.predict, methods=["POST"]),
            Route(model + versions + ":predict", api.predict, methods=["POST"]),
            *(
                Route(model + middle + ":" + verb, api.not_implemented, methods=["POST"])
                for middle in ("", versions)
                for verb in ("classify", "regress")
            ),
            Route(model + "/labels/{rest:path}", api.not_implemented, methods=["GET", "POST"]),
        ],
        middleware=[Middleware(MeasureRequests, metrics=api.metrics)],
        exception_handlers={
            HTTPException: _http_error,
            RequestError: _request_error,
            Exception: _unexpected_error,
        },
        lifespan=api.lifespan,
    )
    # TF Serving knows no trailing slashes; a redirect would only hide the mistake from GET clients.
    app.router.redirect_slashes = False
    return app


class _Api:
    """The endpoints."""

    def __init__(self, store: ModelStore, name: str, limits: Limits) -> None:
        self._store = store
        self._name = name
        self._limits = limits
        self._pool = ThreadPoolExecutor(limits.workers, thread_name_prefix="kembar-predict")
        self._lock = threading.Lock()
        self._pending = 0
        self.metrics = RequestMetrics()

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """Ends the pool with the server; requests in flight are done by then."""
        yield
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def health(self, request: Request) -> Response:
        """Ready once a version is in memory."""
        model = self._store.current
        if model is None:
            raise RequestError(f"no version of {self._name} is loaded yet", 503)
        return JSONResponse({"status": "ok", "model": self._name, "version": str(model.version)})

    async def show_metrics(self, request: Request) -> Response:
        """Prometheus reads this."""
        model = self._store.current
        page = self.metrics.render(
            {
                "kembar_served_version": (
                    "gauge",
                    "The version in service, 0 if none.",
                    model.version if model else 0,
                ),
                "kembar_requests_pending": ("gauge", "Requests at work or in the queue.", self._pending),
                "kembar_load_failures_total": (
                    "counter",
                    "Versions that could not be served.",
                    self._store.load_failures,
                ),
            }
        )
        return PlainTextResponse(page, media_type=CONTENT_TYPE)

    async def status(self, request: Request) -> Response:
        """The states of all versions, or of the one in the path."""
        wanted = self._check_path(request)
        statuses = self._store.statuses()
        if wanted is not None:
            statuses = [status for status in statuses if status.version == wanted]
            if not statuses:
                raise RequestError(f"Could not find version {wanted} of model {self._name}", 404)
        return JSONResponse({"model_version_status": [_status_json(status) for status in statuses]})

    async def metadata(self, request: Request) -> Response:
        """The signatures as the SavedModel declares them."""
        model = self._servable(request)
        spec = {"name": self._name, "signature_name": "", "version": str(model.version)}
        signatures = {"signature_def": model.signature_def}
        return JSONResponse({"model_spec": spec, "metadata": {"signature_def": signatures}})

    async def predict(self, request: Request) -> Response:
        """Answers rows or columns."""
        # From here on this request stays with the version it began on, whatever is swapped in meanwhile.
        model = self._servable(request)
        try:
            async with asyncio.timeout(self._limits.timeout):
                body = await _read_body(request, self._limits.max_body_bytes)
                answer = await asyncio.wrap_future(self._submit(lambda: self._answer(model, body)))
        except TimeoutError as error:
            raise RequestError(f"not answered within {self._limits.timeout:g} s", 504) from error
        except ClientDisconnect:
            return Response(status_code=_CLIENT_CLOSED_REQUEST)
        return Response(answer, media_type="application/json")

    async def not_implemented(self, request: Request) -> Response:
        """What TF Serving has and this server has not."""
        raise RequestError(
            "only :predict by version number is implemented; use TensorFlow Serving for this", 501
        )

    def _answer(self, model: LoadedModel, body: bytes) -> bytes:
        """Runs in the pool: JSON in, JSON out."""
        asked = decode_request(body, model, self._limits.max_batch)
        return encode_response(model.predict(asked.signature, asked.inputs), asked.row_format)

    def _submit(self, work: Callable[[], bytes]) -> Future[bytes]:
        """Queues work, unless the queue is full. Work given up on counts until its thread is done with it."""
        with self._lock:
            if self._pending >= self._limits.workers + self._limits.max_waiting:
                raise RequestError("too many requests are waiting; try again later", 503)
            self._pending += 1
        try:
            future = self._pool.submit(work)
        except RuntimeError as error:  # the pool is shut down
            self._done()
            raise RequestError("the server is shutting down", 503) from error
        future.add_done_callback(lambda _: self._done())
        return future

    def _done(self) -> None:
        with self._lock:
            self._pending -= 1

    def _check_path(self, request: Request) -> int | None:
        """The version in the path, if any; the name must be ours."""
        name = request.path_params["name"]
        if name != self._name:
            raise RequestError(f"Servable not found for request: Latest({name})", 404)
        digits = request.path_params.get("version")
        if digits is None:
            return None
        if len(digits) > 19 or int(digits) > LARGEST_VERSION:
            raise RequestError(f"Failed to convert version: {digits} to numeric.")
        return int(digits)

    def _servable(self, request: Request) -> LoadedModel:
        """The version in service, provided that it is the one asked for."""
        wanted = self._check_path(request)
        model = self._store.current
        if wanted is not None and (model is None or model.version != wanted):
            raise RequestError(f"Servable not found for request: Specific({self._name}, {wanted})", 404)
        if model is None:
            raise RequestError(f"no version of {self._name} is loaded yet", 503)
        return model


async def _read_body(request: Request, most: int) -> bytes:
    """The body, as long as it is no longer than `most` bytes."""
    if request.headers.get("content-encoding", "identity") != "identity":
        raise RequestError("compressed bodies are not read; send it as it is", 415)
    too_large = RequestError(f"the body is larger than {most} bytes; send fewer rows a request", 413)
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and (len(announced) > 18 or int(announced) > most):
        raise too_large
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > most:
            raise too_large
        chunks.append(chunk)
    return b"".join(chunks)


def _status_json(status: VersionStatus) -> dict[str, object]:
    code = "INTERNAL" if status.error else "OK"
    return {
        "version": str(status.version),
        "state": status.state,
        "status": {"error_code": code, "error_message": status.error},
    }


def _error(message: str, code: int, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": one_line(message)}, status_code=code, headers=headers)


async def _request_error(request: Request, error: Exception) -> Response:
    """A request refused by us."""
    return _error(str(error), error.status if isinstance(error, RequestError) else 400)


async def _http_error(request: Request, error: Exception) -> Response:
    """A request refused by the router."""
    code = error.status_code if isinstance(error, HTTPException) else 400
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    if code == 404:
        # TF Serving calls whatever it cannot parse below /v1/ a bad request.
        code = 400 if request.url.path.startswith("/v1/") else 404
        return _error(f"Malformed request: {request.method} {request.url.path}", code)
    return _error(f"Method not allowed: {request.method} {request.url.path}", code, headers)


async def _unexpected_error(request: Request, error: Exception) -> Response:
    """A mistake of ours: Starlette raises it again for the log, the client learns no details."""
    return _error("Internal error; see the server's log", 500)
