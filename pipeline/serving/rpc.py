"""TF Serving's gRPC protocol for one model, in the same event loop as REST.

PredictionService: Predict, Classify, Regress, MultiInference, GetModelMetadata. ModelService: GetModelStatus;
the configuration cannot be reloaded by request, that is UNIMPLEMENTED.

The messages are those of tensorflow-serving-api. They are parsed here and not by gRPC, which answers bytes
that are no message with INTERNAL, as if the server were at fault.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc
import numpy as np
from google.protobuf.message import DecodeError

from pipeline.serving import examples
from pipeline.serving.errors import RequestError, ServingError
from pipeline.serving.model import DEFAULT_SIGNATURE, LoadedModel, Signature
from pipeline.serving.service import Service
from pipeline.serving.tensors import read_tensor, write_tensor

logger = logging.getLogger(__name__)

_PACKAGE = "tensorflow.serving"
_METADATA_FIELD = "signature_def"
_METHODS = {
    examples.CLASSIFY: "tensorflow/serving/classify",
    examples.REGRESS: "tensorflow/serving/regress",
}
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

    api = _Api(service)
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


class _Api:
    """The methods: a request message in, a response message out."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def predict(self, request: Any) -> Any:
        """Tensors in, tensors out; `output_filter` picks some."""
        from tensorflow_serving.apis import predict_pb2

        model = self._find(request)
        signature = model.signature(request.model_spec.signature_name)
        unknown = set(request.output_filter) - signature.outputs.keys()
        if unknown:
            raise RequestError(f"output tensor alias not found in signature: {min(unknown)}")
        inputs = self._inputs(request.inputs, signature)
        outputs = await self._service.predict(model, signature, inputs)
        response = predict_pb2.PredictResponse()
        _name(response.model_spec, request, model, signature.name)
        for name in request.output_filter or outputs:
            write_tensor(response.outputs[name], outputs[name], signature.outputs[name].dtype)
        return response

    async def classify(self, request: Any) -> Any:
        """tf.Examples in, classes out."""
        from tensorflow_serving.apis import classification_pb2

        response = classification_pb2.ClassificationResponse()
        rows = self._examples(request.input)
        await self._classify(self._find(request), request, rows, response.result, response.model_spec)
        return response

    async def regress(self, request: Any) -> Any:
        """tf.Examples in, numbers out."""
        from tensorflow_serving.apis import regression_pb2

        response = regression_pb2.RegressionResponse()
        rows = self._examples(request.input)
        await self._regress(self._find(request), request, rows, response.result, response.model_spec)
        return response

    async def multi_inference(self, request: Any) -> Any:
        """Several of both on the same examples, by one version of the model."""
        from tensorflow_serving.apis import inference_pb2

        if not request.tasks:
            raise RequestError("Inference request must have at least one task")
        specs = [task.model_spec for task in request.tasks]
        if len({spec.name for spec in specs}) > 1:
            raise RequestError("All ModelSpecs in a MultiInferenceRequest must access the same model name")
        if len({spec.signature_name for spec in specs}) < len(specs):
            raise RequestError("Duplicate evaluation of signature in a MultiInferenceRequest")
        rows = self._examples(request.input)
        model = self._find(request.tasks[0])
        response = inference_pb2.MultiInferenceResponse()
        for task in request.tasks:
            result = response.results.add()
            if task.method_name == _METHODS[examples.CLASSIFY]:
                await self._classify(model, task, rows, result.classification_result, result.model_spec)
            elif task.method_name == _METHODS[examples.REGRESS]:
                await self._regress(model, task, rows, result.regression_result, result.model_spec)
            else:
                raise RequestError(f"Unsupported signature method_name: {task.method_name}", 501)
        return response

    async def metadata(self, request: Any) -> Any:
        """The signatures as the SavedModel declares them."""
        from tensorflow_serving.apis import get_model_metadata_pb2

        if not request.metadata_field:
            raise RequestError("GetModelMetadataRequest must specify at least one metadata_field")
        for wanted in request.metadata_field:
            if wanted != _METADATA_FIELD:
                raise RequestError(f"Metadata field {wanted} is not supported")
        model = self._find(request)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for name, proto in model.signature_protos.items():
            signatures.signature_def[name].CopyFrom(proto)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name = self._service.name
        response.model_spec.version.value = model.version
        response.metadata[_METADATA_FIELD].Pack(signatures)
        return response

    async def status(self, request: Any) -> Any:
        """The states of all versions, or of the one asked for."""
        from tensorflow_serving.apis import get_model_status_pb2

        response = get_model_status_pb2.GetModelStatusResponse()
        for status in self._service.statuses(*_which(request)):
            entry = response.model_version_status.add(
                version=status.version,
                state=get_model_status_pb2.ModelVersionStatus.State.Value(status.state),
            )
            if status.error:
                entry.status.error_code = grpc.StatusCode.INTERNAL.value[0]
                entry.status.error_message = status.error
        return response

    def _find(self, request: Any) -> LoadedModel:
        return self._service.find(*_which(request))

    async def _infer(
        self, model: LoadedModel, asked: Any, rows: np.ndarray, method: str, spec: Any
    ) -> Mapping[str, np.ndarray]:
        """Answers examples with the signature that `asked` names, and says so in `spec`."""
        signature = model.signature(asked.model_spec.signature_name)
        examples.check_signature(signature, method)
        _name(spec, asked, model, signature.name)
        return await self._service.predict(model, signature, {examples.INPUTS: rows})

    async def _classify(
        self, model: LoadedModel, asked: Any, rows: np.ndarray, result: Any, spec: Any
    ) -> None:
        for row in examples.classes_of(await self._infer(model, asked, rows, examples.CLASSIFY, spec)):
            classes = result.classifications.add().classes
            for label, score in row:
                classes.add(label=label, score=score)

    async def _regress(
        self, model: LoadedModel, asked: Any, rows: np.ndarray, result: Any, spec: Any
    ) -> None:
        for value in examples.values_of(await self._infer(model, asked, rows, examples.REGRESS, spec)):
            result.regressions.add(value=value)

    def _examples(self, given: Any) -> np.ndarray:
        """The serialized tf.Examples of an Input message; what is common to all is merged into each."""
        kind = given.WhichOneof("kind")
        rows = getattr(given, kind).examples if kind else ()
        if not rows:
            raise RequestError("Input is empty")
        self._service.check_shape("examples", (len(rows),), batched=True)
        if kind == "example_list_with_context":
            # Fields of a serialized message add up, and of two values of a key the last one counts.
            context = given.example_list_with_context.context.SerializeToString()
            return examples.as_array([context + row.SerializeToString() for row in rows])
        return examples.as_array([row.SerializeToString() for row in rows])

    def _inputs(self, tensors: Any, signature: Signature) -> dict[str, np.ndarray]:
        """TensorProtos to arrays; shapes first, because a small message can claim a large one."""
        if tensors.keys() != signature.inputs.keys():
            extra, missing = set(tensors) - signature.inputs.keys(), signature.inputs.keys() - set(tensors)
            raise RequestError(
                f"input size does not match signature: {len(tensors)}!={len(signature.inputs)} "
                f"len({{{','.join(sorted(tensors))}}}) != len({{{','.join(signature.inputs)}}}). "
                f"Sent extra: {{{','.join(sorted(extra))}}}. "
                f"Missing but required: {{{','.join(sorted(missing))}}}."
            )
        return {
            name: read_tensor(tensors[name], signature.inputs[name], self._service.check_shape)
            for name in signature.inputs
        }


def _which(request: Any) -> tuple[str, int | None, str | None]:
    if not request.HasField("model_spec"):
        raise RequestError("Missing ModelSpec")
    return _spec(request.model_spec)


def _spec(spec: Any) -> tuple[str, int | None, str | None]:
    """Model name, version and label of a ModelSpec."""
    choice = spec.WhichOneof("version_choice")
    version = spec.version.value if choice == "version" else None
    return spec.name, version, spec.version_label if choice == "version_label" else None


def _name(spec: Any, request: Any, model: LoadedModel, signature: str) -> None:
    """Says which version and signature answered."""
    spec.name = request.model_spec.name
    spec.version.value = model.version
    spec.signature_name = signature or DEFAULT_SIGNATURE
