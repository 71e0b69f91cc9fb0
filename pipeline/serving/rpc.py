"""TF Serving's gRPC protocol for one model, in the same event loop as REST: bytes in, bytes out.

What is answered is in pipeline/serving/prediction.py; the configuration cannot be reloaded by request, that
is UNIMPLEMENTED. The messages are those of tensorflow-serving-api. They are parsed here and not by gRPC,
which answers bytes that are no message with INTERNAL, as if the server were at fault.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
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


async def start_grpc(service: Service, host: str, port: int) -> tuple[grpc.aio.Server, int]:
    """Listens and answers; returns the server, to be stopped by the caller, and its port.

    An IPv6 `host` comes in brackets.

    Raises:
        ServingError: the port cannot be had.
    """
    limits = service.limits
    server = grpc.aio.server(
        options=(
            ("grpc.max_receive_message_length", limits.max_body_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),  # two servers on one port would share its clients
            # A peer that went without a word is found out; one that only keeps a connection is let go.
            ("grpc.keepalive_time_ms", _PING_MILLISECONDS),
            ("grpc.keepalive_timeout_ms", _PING_MILLISECONDS),
            ("grpc.max_connection_idle_ms", _IDLE_MILLISECONDS),
        ),
        # Their messages are in memory; some room is left for questions about status.
        maximum_concurrent_rpcs=2 * limits.max_waiting,
    )
    server.add_generic_rpc_handlers(_handlers(service))
    address = f"{host}:{port}"
    try:
        bound = server.add_insecure_port(address)
    except RuntimeError:
        bound = 0
    if not bound:
        raise ServingError(f"cannot listen on {address}: choose another with --grpc-port")
    await server.start()
    return server, bound


def _handlers(service: Service) -> tuple[grpc.GenericRpcHandler, ...]:
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
                method: grpc.unary_unary_rpc_method_handler(_handler(service, method, answer, request))
                for method, (answer, request) in methods.items()
            },
        )
        for name, methods in (("PredictionService", prediction), ("ModelService", model))
    )


def _handler(
    service: Service, method: str, answer: Callable[[Any], Awaitable[Any]], message: Any
) -> Callable[[bytes, grpc.aio.ServicerContext], Awaitable[bytes]]:
    """Bytes to bytes around `answer`; every mistake becomes one status with one line."""

    async def handle(body: bytes, context: grpc.aio.ServicerContext) -> bytes:
        started = time.perf_counter()
        code, said = grpc.StatusCode.CANCELLED, ""
        try:
            response = await service.in_time(answer(_parse(message, body)))
            code = grpc.StatusCode.OK
            return response.SerializeToString()
        except RequestError as error:
            code, said = grpc.StatusCode[error.code], str(error)
        except Exception:
            logger.exception("%s failed", method)
            code, said = grpc.StatusCode.INTERNAL, "Internal error; see the server's log"
        finally:
            service.metrics.observe(f"grpc_{method}", code.name, time.perf_counter() - started)
        await context.abort(code, said)
        raise AssertionError  # abort raises

    return handle


def _parse(message: Any, body: bytes) -> Any:
    try:
        return message.FromString(body)
    except DecodeError as error:
        raise RequestError(f"not a {message.DESCRIPTOR.full_name}: {error}") from error
