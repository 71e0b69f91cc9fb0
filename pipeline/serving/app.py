"""The ASGI application: TF Serving's REST protocol for one model.

    GET  /v1/models/NAME[/versions/N|/labels/L]             states of the versions
    GET  /v1/models/NAME[/versions/N|/labels/L]/metadata    signatures
    POST /v1/models/NAME[/versions/N|/labels/L]:predict     answers; also :classify and :regress
    GET  /healthz, /metrics                                 for whoever watches over the process

Starlette routes and reads bodies; long bodies and all TensorFlow work are done in threads, so that the event
loop stays free for the small calls. Names, versions and labels from a path are only compared: they never
become part of a file name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from pipeline.serving import examples
from pipeline.serving.decoding import decode_request
from pipeline.serving.encoding import encode_response
from pipeline.serving.errors import RequestError, one_line
from pipeline.serving.metrics import CONTENT_TYPE
from pipeline.serving.middleware import MeasureRequests
from pipeline.serving.model import LoadedModel
from pipeline.serving.service import Service
from pipeline.serving.versions import LARGEST_VERSION, VersionStatus

_CLIENT_CLOSED_REQUEST = 499  # nginx's code, and TF Serving's for CANCELLED
# Shorter bodies are read faster than they are handed to another thread.
_SHORT_BODY = 32 * 1024

Result = TypeVar("Result")


class _Segment(StringConvertor):
    """A path segment that stops at a colon, as in TF Serving: the colon begins the verb."""

    regex = "[^/:]+"


class _Digits(StringConvertor):
    """A version number, not yet bounded."""

    regex = "[0-9]+"


register_url_convertor("segment", _Segment())
register_url_convertor("digits", _Digits())


def create_app(service: Service) -> Starlette:
    """The application that answers for `service`; the caller closes it."""
    api = _Api(service)
    routes = [Route("/healthz", api.health), Route("/metrics", api.show_metrics)]
    for which in ("", "/versions/{version:digits}", "/labels/{label:segment}"):
        model = "/v1/models/{name:segment}" + which
        routes += [
            Route(model, api.status),
            Route(model + "/metadata", api.metadata),
            Route(model + ":predict", api.predict, methods=["POST"]),
            Route(model + ":classify", api.classify, methods=["POST"]),
            Route(model + ":regress", api.regress, methods=["POST"]),
        ]
    app = Starlette(
        routes=routes,
        middleware=[Middleware(MeasureRequests, metrics=service.metrics)],
        exception_handlers={
            HTTPException: _http_error,
            RequestError: _request_error,
            Exception: _unexpected_error,
        },
    )
    # TF Serving knows no trailing slashes; a redirect would only hide the mistake from GET clients.
    app.router.redirect_slashes = False
    return app


class _Api:
    """The endpoints."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._limits = service.limits

    async def health(self, request: Request) -> Response:
        """Ready once a version is in memory."""
        model = self._service.find(self._service.name)
        return JSONResponse({"status": "ok", "model": self._service.name, "version": str(model.version)})

    async def show_metrics(self, request: Request) -> Response:
        """Prometheus reads this."""
        page = self._service.metrics.render(self._service.values())
        return PlainTextResponse(page, media_type=CONTENT_TYPE)

    async def status(self, request: Request) -> Response:
        """The states of all versions, or of the one in the path."""
        statuses = self._service.statuses(*_which(request))
        return JSONResponse({"model_version_status": [_status_json(status) for status in statuses]})

    async def metadata(self, request: Request) -> Response:
        """The signatures as the SavedModel declares them."""
        model = self._service.find(*_which(request))
        spec = {"name": self._service.name, "signature_name": "", "version": str(model.version)}
        signatures = {"signature_def": model.signature_def}
        return JSONResponse({"model_spec": spec, "metadata": {"signature_def": signatures}})

    async def predict(self, request: Request) -> Response:
        """Answers rows or columns."""
        return await self._answer(request, self._predict)

    async def classify(self, request: Request) -> Response:
        """Answers tf.Examples with classes."""
        return await self._answer(request, self._infer, examples.CLASSIFY)

    async def regress(self, request: Request) -> Response:
        """Answers tf.Examples with numbers."""
        return await self._answer(request, self._infer, examples.REGRESS)

    async def _answer(self, request: Request, work: Callable[..., Any], *more: str) -> Response:
        # From here on this request stays with the version it began on, whatever is swapped in meanwhile.
        model = self._service.find(*_which(request))

        async def answer() -> bytes:
            return await work(model, await _read_body(request, self._limits.max_body_bytes), *more)

        try:
            with self._service.admitted():
                return Response(await self._service.in_time(answer()), media_type="application/json")
        except ClientDisconnect:
            return Response(status_code=_CLIENT_CLOSED_REQUEST)

    async def _predict(self, model: LoadedModel, body: bytes) -> bytes:
        asked = await _aside(len(body), lambda: decode_request(body, model, self._limits.max_batch))
        outputs = await self._service.predict(model, model.signature(asked.signature), asked.inputs)
        size = sum(array.nbytes for array in outputs.values())
        return await _aside(size, lambda: encode_response(outputs, asked.row_format))

    async def _infer(self, model: LoadedModel, body: bytes, method: str) -> bytes:
        name, rows = await _aside(len(body), lambda: examples.decode_examples(body, self._limits.max_batch))
        signature = model.signature(name)
        examples.check_signature(signature, method)
        outputs = await self._service.predict(model, signature, {examples.INPUTS: rows})
        read = examples.classes_of if method == examples.CLASSIFY else examples.values_of
        return examples.encode_results(list(read(outputs)))


async def _aside(size: int, work: Callable[[], Result]) -> Result:
    """Does work on `size` bytes here if they are few, else in a thread."""
    return work() if size < _SHORT_BODY else await asyncio.to_thread(work)


def _which(request: Request) -> tuple[str, int | None, str | None]:
    """Model name, version and label of the path."""
    path = request.path_params
    digits = path.get("version")
    if digits is not None and (len(digits) > 19 or int(digits) > LARGEST_VERSION):
        raise RequestError(f"Failed to convert version: {digits} to numeric.")
    return path["name"], None if digits is None else int(digits), path.get("label")


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
