"""TF Serving's REST protocol for one model.

    GET  /v1/models/NAME[/versions/N|/labels/L]             states of the versions
    GET  /v1/models/NAME[/versions/N|/labels/L]/metadata    signatures
    POST /v1/models/NAME[/versions/N|/labels/L]:predict     answers; also :classify and :regress
    GET  /healthz, /metrics                                 for whoever watches over the process

Long bodies and all TensorFlow work are done in threads, so that the event loop stays free for the small
calls. Names, versions and labels from a path are only compared: they never become part of a file name.
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable
from urllib.parse import unquote_to_bytes, urlsplit

import orjson

from pipeline.serving import examples
from pipeline.serving.decoding import decode_request
from pipeline.serving.encoding import encode_response
from pipeline.serving.errors import RequestError
from pipeline.serving.messages import Request, Response, error_response
from pipeline.serving.metrics import CONTENT_TYPE
from pipeline.serving.model import LoadedModel
from pipeline.serving.model_store import LARGEST_VERSION, VersionStatus
from pipeline.serving.service import Service, aside

# TF Serving's own two, of http_rest_api_util.cc.
_WHICH = r"(?:/versions/([0-9]+)|/labels/([^/:]+))?"
_ASK = re.compile(rf"/v1/models/([^/:]+){_WHICH}:(classify|regress|predict)", re.IGNORECASE | re.DOTALL)
_SEE = re.compile(rf"/v1/models(?:/([^/:]+))?{_WHICH}(?:/(metadata))?", re.IGNORECASE | re.DOTALL)
_API = re.compile(r"/v1/.*", re.IGNORECASE | re.DOTALL)
_CORS = (
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Allow-Methods", "POST, GET"),
    ("Access-Control-Allow-Headers", "Content-Type"),
)
_WATCHED = ("/healthz", "/metrics")

Which = tuple[str, int | None, str | None]


class App:
    """Answers requests for `service`; the caller closes that.

    Args:
        service: the model.
        cors: whether scripts of other sites may ask, as with TF Serving's --enable_cors_support.
    """

    def __init__(self, service: Service, cors: bool = False) -> None:
        self._service = service
        self._limits = service.limits
        self._cors = cors

    async def __call__(self, request: Request, crowded: bool = False) -> Response:
        """One request; where the server is `crowded` only what watches over it is answered."""
        started = time.perf_counter()
        path = request.target if request.target.startswith("/") else _path_of(request.target)
        endpoint, work = self._route(request, path)
        if crowded and path not in _WATCHED:
            response = error_response(503, "too many connections; try again later")
        else:
            try:
                response = await work()
            except RequestError as error:
                response = error_response(error.status, str(error))
            except Exception:
                self._service.metrics.observe(endpoint, 500, time.perf_counter() - started)
                raise
        if self._cors and _API.fullmatch(path):
            response = response._replace(headers=response.headers + _CORS)
        self._service.metrics.observe(endpoint, response.status, time.perf_counter() - started)
        return response

    def _route(self, request: Request, path: str) -> tuple[str, Callable[[], Awaitable[Response]]]:
        """The endpoint's name for the metrics, one of a few, and what answers."""
        method = request.method
        if method == "POST" and (match := _ASK.fullmatch(path)):
            *parts, verb = match.groups()
            verb = verb.lower()
            return verb, lambda: self._ask(request, verb, *parts)
        if method == "GET" and (match := _SEE.fullmatch(path)):
            *parts, metadata = match.groups()
            see = self._metadata if metadata else self._status
            return "metadata" if metadata else "status", lambda: see(*parts)
        if path in _WATCHED:
            if method not in ("GET", "HEAD"):
                return "none", lambda: _answer(
                    error_response(405, f"Method not allowed: {method} {path}", (("Allow", "GET, HEAD"),))
                )
            return ("health", self._health) if path == "/healthz" else ("show_metrics", self._show_metrics)
        if method == "OPTIONS" and _API.fullmatch(path):
            return "none", lambda: _answer(_preflight(request))
        # TF Serving calls whatever it cannot parse below /v1/ a bad request, a wrong method too.
        code = 400 if _API.fullmatch(path) else 404
        return "none", lambda: _answer(error_response(code, f"Malformed request: {method} {path}"))

    async def _health(self) -> Response:
        """Ready once a version is in memory, and until the end begins."""
        model = self._service.find(self._service.name)
        if self._service.draining:
            raise RequestError("the server is shutting down", 503)
        return _json({"status": "ok", "model": self._service.name, "version": str(model.version)})

    async def _show_metrics(self) -> Response:
        """Prometheus reads this."""
        return Response(self._service.metrics.render(), content_type=CONTENT_TYPE)

    async def _status(self, name: str | None, version: str | None, label: str | None) -> Response:
        """The states of all versions, or of the one in the path."""
        statuses = self._service.statuses(*_which(name, version, label))
        return _json({"model_version_status": [_status_json(status) for status in statuses]})

    async def _metadata(self, name: str | None, version: str | None, label: str | None) -> Response:
        """The signatures as the SavedModel declares them."""
        model = self._service.find(*_which(name, version, label))
        spec = {"name": self._service.name, "signature_name": "", "version": str(model.version)}
        signatures = {"signature_def": model.signature_def}
        return _json({"model_spec": spec, "metadata": {"signature_def": signatures}})

    async def _ask(
        self, request: Request, verb: str, name: str, version: str | None, label: str | None
    ) -> Response:
        # From here on this request stays with the version it began on, whatever is swapped in meanwhile.
        model = self._service.find(*_which(name, version, label))
        if request.headers.get(b"content-encoding", b"identity").lower() not in (b"identity", b""):
            raise RequestError("compressed bodies are not read; send it as it is", 415)
        with self._service.admitted():
            work = (
                self._predict(model, request.body)
                if verb == "predict"
                else self._infer(model, request.body, verb)
            )
            return Response(await self._service.in_time(work))

    async def _predict(self, model: LoadedModel, body: bytes) -> bytes:
        wanted = await aside(len(body), lambda: decode_request(body, model, self._limits.max_batch))
        outputs = await self._service.predict(model, model.signature(wanted.signature), wanted.inputs)
        size = sum(array.nbytes for array in outputs.values())
        return await aside(size, lambda: encode_response(outputs, wanted.row_format))

    async def _infer(self, model: LoadedModel, body: bytes, method: str) -> bytes:
        limits = self._limits
        name, rows = await aside(
            len(body), lambda: examples.decode_examples(body, limits.max_batch, limits.max_body_bytes)
        )
        signature = model.signature(name)
        examples.check_signature(signature, method)
        outputs = await self._service.predict(model, signature, {examples.INPUTS: rows})
        read = examples.classes_of if method == examples.CLASSIFY else examples.values_of
        size = sum(array.nbytes for array in outputs.values())
        return await aside(size, lambda: examples.encode_results(list(read(outputs))))


async def _answer(response: Response) -> Response:
    return response


def _json(document: object) -> Response:
    return Response(orjson.dumps(document))


def _path_of(target: str) -> str:
    """The path, query and all, of a target that names its host too."""
    try:
        parts = urlsplit(target)
    except ValueError:
        return target
    return parts._replace(scheme="", netloc="").geturl() if parts.netloc else target


def _preflight(request: Request) -> Response:
    """Answer the question that a browser asks before a script of another site may ask."""
    if re.search(rb"https?://", request.headers.get(b"origin", b"")):
        return Response(b"")
    return error_response(400, "Origin header is missing in CORS preflight")


def _which(name: str | None, version: str | None, label: str | None) -> Which:
    """Model name, version and label of the path; only now are names decoded, as in TF Serving."""
    if name is None:
        raise RequestError("Missing model name in request.")
    if version is not None and (len(version.lstrip("0")) > 19 or int(version) > LARGEST_VERSION):
        raise RequestError(f"Failed to convert version: {version} to numeric.")
    return _decoded(name), None if version is None else int(version), label and _decoded(label)


def _decoded(text: str) -> str:
    return unquote_to_bytes(text.encode("latin-1")).decode("utf-8", "replace")


def _status_json(status: VersionStatus) -> dict[str, object]:
    code = "INTERNAL" if status.error else "OK"
    return {
        "version": str(status.version),
        "state": status.state,
        "status": {"error_code": code, "error_message": status.error},
    }
