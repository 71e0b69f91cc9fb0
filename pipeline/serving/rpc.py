"""TF Serving's gRPC protocol for one model, in the same event loop as REST: bytes in, bytes out.

What is answered is in pipeline/serving/prediction.py; the configuration cannot be reloaded by request, that
is UNIMPLEMENTED. The messages are those of tensorflow-serving-api. They are parsed here and not by gRPC,
which answers bytes that are no message with INTERNAL, as if the server were at fault. Calls are registered
as streams of requests, of which the first is read: only so is a message that does not arrive given up.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import socket
import stat
import struct
import termios
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from pipeline.serving.errors import RequestError, ServingError
from pipeline.serving.prediction import Api
from pipeline.serving.service import Service

logger = logging.getLogger(__name__)

_PACKAGE = "tensorflow.serving"
_IDLE_MILLISECONDS = 300_000
_PING_MILLISECONDS = 30_000
# Messages that arrive at once; beyond, the one that arrives longest goes. Each may be of `max_body_bytes`.
_MOST_ARRIVING = 512
_POLL_SECONDS = 0.02


class GrpcServer:
    """The gRPC port of a service."""

    def __init__(self, service: Service, host: str, port: int, max_connections: int) -> None:
        limits = service.limits
        self._calls = _Calls(service)
        self._server = grpc.aio.server(
            options=(
                ("grpc.max_receive_message_length", limits.max_body_bytes),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", 0),  # two servers on one port would share its clients
                ("grpc.max_allowed_incoming_connections", max_connections),
                # A peer that went without a word is found out; one that only keeps a connection is let go.
                ("grpc.keepalive_time_ms", _PING_MILLISECONDS),
                ("grpc.keepalive_timeout_ms", _PING_MILLISECONDS),
                ("grpc.max_connection_idle_ms", _IDLE_MILLISECONDS),
            ),
            maximum_concurrent_rpcs=limits.max_calls,
        )
        self._server.add_generic_rpc_handlers(_handlers(service, self._calls))
        self._health = _add_health(self._server)
        address = f"{host}:{port}"
        try:
            self.port = self._server.add_insecure_port(address)
        except RuntimeError:
            self.port = 0
        if not self.port:
            raise ServingError(f"cannot listen on {address}: choose another with --grpc-port")

    @classmethod
    async def start(cls, service: Service, host: str, port: int, max_connections: int = 1_000) -> GrpcServer:
        """Listens and answers. An IPv6 `host` comes in brackets.

        Raises:
            ServingError: the port cannot be had.
        """
        server = cls(service, host, port, max_connections)
        from grpc_health.v1.health_pb2 import HealthCheckResponse

        for name in ("", service.name, f"{_PACKAGE}.PredictionService", f"{_PACKAGE}.ModelService"):
            await server._health.set(name, HealthCheckResponse.SERVING)
        await server._server.start()
        return server

    async def drain(self, quiet: float, timeout: float) -> None:
        """Answers what is at work and what comes within `quiet` seconds; later calls are UNAVAILABLE.

        gRPC's own way to stop answers calls that come meanwhile with CANCELLED, as if the client had given
        up. So its connections are closed below it, when all answers are sent, and then it is stopped.
        """
        await self._health.enter_graceful_shutdown()
        started = asyncio.get_running_loop().time()
        deadline = started + timeout
        await asyncio.sleep(quiet)
        self._calls.closed = True
        while asyncio.get_running_loop().time() < deadline:
            if not self._calls.open and not any(map(_unsent, _sockets(self.port))):
                break
            await asyncio.sleep(_POLL_SECONDS)
        for connection in _sockets(self.port):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        await self._server.stop(None)


class _Calls:
    """The calls of a server: what arrives, and what is at work."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._arriving: dict[asyncio.Timeout, None] = {}  # in the order of their beginning
        self.closed = False
        self.open = 0

    async def read(self, messages: AsyncIterator[bytes]) -> bytes:
        """The message of a call.

        Raises:
            RequestError: it does not come in time, or there are too many.
        """
        if self.closed:
            raise RequestError("the server is shutting down", 503)
        if len(self._arriving) >= _MOST_ARRIVING:
            oldest = next(iter(self._arriving))
            oldest.reschedule(asyncio.get_running_loop().time())
            del self._arriving[oldest]
        try:
            async with asyncio.timeout(self._service.limits.timeout) as arriving:
                self._arriving[arriving] = None
                return await anext(messages)
        except StopAsyncIteration:
            raise RequestError("a request without a message") from None
        except TimeoutError:
            raise RequestError("the request did not arrive in time", 504) from None
        finally:
            self._arriving.pop(arriving, None)


def _handlers(service: Service, calls: _Calls) -> tuple[grpc.GenericRpcHandler, ...]:
    from tensorflow_serving.apis import (
        classification_pb2,
        get_model_metadata_pb2,
        get_model_status_pb2,
        inference_pb2,
        predict_pb2,
        regression_pb2,
    )

    api = Api(service)
    prediction = {
        "Predict": (api.predict, predict_pb2.PredictRequest),
        "Classify": (api.classify, classification_pb2.ClassificationRequest),
        "Regress": (api.regress, regression_pb2.RegressionRequest),
        "MultiInference": (api.multi_inference, inference_pb2.MultiInferenceRequest),
        "GetModelMetadata": (api.metadata, get_model_metadata_pb2.GetModelMetadataRequest),
    }
    model = {"GetModelStatus": (api.status, get_model_status_pb2.GetModelStatusRequest)}
    return tuple(
        grpc.method_handlers_generic_handler(
            f"{_PACKAGE}.{name}",
            {
                method: grpc.stream_unary_rpc_method_handler(
                    _handler(service, calls, method, answer, request)
                )
                for method, (answer, request) in methods.items()
            },
        )
        for name, methods in (("PredictionService", prediction), ("ModelService", model))
    )


def _handler(
    service: Service, calls: _Calls, method: str, answer: Callable[[Any], Awaitable[Any]], message: Any
) -> Callable[[AsyncIterator[bytes], grpc.aio.ServicerContext], Awaitable[bytes]]:
    """Bytes to bytes around `answer`; every mistake becomes one status with one line."""
    endpoint = f"grpc_{method}"

    def ended(_: Any) -> None:
        calls.open -= 1

    async def handle(messages: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> bytes:
        started = time.perf_counter()
        code, reason = grpc.StatusCode.CANCELLED, ""
        calls.open += 1
        context.add_done_callback(ended)
        try:
            body = await calls.read(messages)
            with service.admitted(len(body)):
                response = await service.in_time(answer(_parse(message, body)))
                code = grpc.StatusCode.OK
                return response.SerializeToString()
        except RequestError as error:
            code, reason = grpc.StatusCode[error.code], str(error)
        except Exception:
            logger.exception("%s failed", method)
            code, reason = grpc.StatusCode.INTERNAL, "Internal error; see the server's log"
        finally:
            service.metrics.observe(endpoint, code.name, time.perf_counter() - started)
        await context.abort(code, reason)
        raise AssertionError  # abort raises

    return handle


def _parse(message: Any, body: bytes) -> Any:
    try:
        return message.FromString(body)
    except DecodeError as error:
        raise RequestError(f"not a {message.DESCRIPTOR.full_name}: {error}") from error


def _add_health(server: grpc.aio.Server) -> Any:
    """Answers `grpc.health.v1`; what reads no message there by itself calls it UNKNOWN, with a traceback."""
    from grpc_health.v1 import health
    from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

    servicer = health.aio.HealthServicer()

    def reading(answer: Callable[[Any, grpc.aio.ServicerContext], Awaitable[Any]]) -> Callable[..., Any]:
        async def handle(body: bytes, context: grpc.aio.ServicerContext) -> Any:
            try:
                request = _parse(HealthCheckRequest, body)
            except RequestError as error:
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            return await answer(request, context)

        return handle

    write = HealthCheckResponse.SerializeToString
    methods = {
        "Check": grpc.unary_unary_rpc_method_handler(reading(servicer.Check), response_serializer=write),
        "Watch": grpc.unary_stream_rpc_method_handler(reading(servicer.Watch), response_serializer=write),
    }
    handler = grpc.method_handlers_generic_handler(health.SERVICE_NAME, methods)
    server.add_generic_rpc_handlers((handler,))
    return servicer


def _sockets(port: int) -> Iterator[socket.socket]:
    """This process's connections at a port, each a copy that is closed when the next one comes."""
    for number in map(int, os.listdir("/proc/self/fd")):
        try:
            if not stat.S_ISSOCK(os.fstat(number).st_mode):
                continue
            copy = os.dup(number)
        except OSError:  # gone meanwhile
            continue
        with socket.socket(fileno=copy) as connection:
            try:
                connection.getpeername()  # a listening one has no peer
                internet = connection.family in (socket.AF_INET, socket.AF_INET6)
                here = internet and connection.getsockname()[1] == port
            except OSError:
                continue
            if here:
                yield connection


def _unsent(connection: socket.socket) -> int:
    """Bytes that were written and did not yet arrive."""
    try:
        return int(struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, b"\0" * 4))[0])
    except OSError:
        return 0
