"""The answers of TF Serving's gRPC methods: a request message in, a response message out.

PredictionService: Predict, Classify, Regress, MultiInference, GetModelMetadata. ModelService: GetModelStatus.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import grpc
import numpy as np

from pipeline.serving import examples
from pipeline.serving.errors import RequestError
from pipeline.serving.model import LoadedModel
from pipeline.serving.service import Service, aside
from pipeline.serving.signatures import DEFAULT_SIGNATURE, ModelSignature
from pipeline.serving.tensors import read_tensor, write_tensor

_METADATA_FIELD = "signature_def"
_METHODS = {examples.CLASSIFY: "tensorflow/serving/classify", examples.REGRESS: "tensorflow/serving/regress"}


class Api:
    """The methods: a request message in, a response message out."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def predict(self, request: Any) -> Any:
        """Tensors in, tensors out; `output_filter` picks some."""
        from tensorflow_serving.apis import predict_pb2

        model = self._find(request)
        signature = model.signature(request.model_spec.signature_name)
        _check_filter(request.output_filter, signature)
        inputs = await aside(request.ByteSize(), lambda: self._inputs(request.inputs, signature))
        outputs = await self._service.predict(model, signature, inputs)
        response = predict_pb2.PredictResponse()
        _name(response.model_spec, request, model, signature.name)
        chosen = list(request.output_filter or outputs)

        def write() -> None:
            for name in chosen:
                write_tensor(response.outputs[name], outputs[name], signature.outputs[name].dtype)

        await aside(sum(outputs[name].nbytes for name in chosen), write)
        return response

    async def classify(self, request: Any) -> Any:
        """tf.Examples in, classes out."""
        from tensorflow_serving.apis import classification_pb2

        response = classification_pb2.ClassificationResponse()
        rows = await self._examples(request.input)
        await self._classify(self._find(request), request, rows, response.result, response.model_spec)
        return response

    async def regress(self, request: Any) -> Any:
        """tf.Examples in, numbers out."""
        from tensorflow_serving.apis import regression_pb2

        response = regression_pb2.RegressionResponse()
        rows = await self._examples(request.input)
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
        rows = await self._examples(request.input)
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
        self, model: LoadedModel, request: Any, rows: np.ndarray, method: str, spec: Any
    ) -> Mapping[str, np.ndarray]:
        """Answers examples with the signature that `request` names, and says so in `spec`."""
        signature = model.signature(request.model_spec.signature_name)
        examples.check_signature(signature, method)
        _name(spec, request, model, signature.name)
        return await self._service.predict(model, signature, {examples.INPUTS: rows})

    async def _classify(
        self, model: LoadedModel, request: Any, rows: np.ndarray, result: Any, spec: Any
    ) -> None:
        for row in examples.classes_of(await self._infer(model, request, rows, examples.CLASSIFY, spec)):
            classes = result.classifications.add().classes
            for label, score in row:
                classes.add(label=label, score=score)

    async def _regress(
        self, model: LoadedModel, request: Any, rows: np.ndarray, result: Any, spec: Any
    ) -> None:
        for value in examples.values_of(await self._infer(model, request, rows, examples.REGRESS, spec)):
            result.regressions.add(value=value)

    async def _examples(self, given: Any) -> np.ndarray:
        """The serialized tf.Examples of an Input message; what is common to all is merged into each."""
        kind = given.WhichOneof("kind")
        rows = getattr(given, kind).examples if kind else ()
        if not rows:
            raise RequestError("Input is empty")
        self._service.check_shape("examples", (len(rows),), batched=True)
        # Fields of a serialized message add up, and of two values of a key the last one counts.
        context = given.example_list_with_context.context.SerializeToString()
        serialized = (context + row.SerializeToString() for row in rows)
        most = self._service.limits.max_body_bytes
        return await aside(given.ByteSize(), lambda: examples.as_array(serialized, most))

    def _inputs(self, tensors: Any, signature: ModelSignature) -> dict[str, np.ndarray]:
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


def _check_filter(names: Sequence[str], signature: ModelSignature) -> None:
    """Refuses outputs that the signature has not, and those that are named twice."""
    seen: set[str] = set()
    for name in names:
        if name not in signature.outputs:
            raise RequestError(
                f"output tensor alias not found in signature: {name} Outputs expected to be in the set "
                f"{{{','.join(sorted(signature.outputs))}}}."
            )
        if name in seen:
            raise RequestError(f"duplicate output tensor alias: {name}")
        seen.add(name)


def _which(request: Any) -> tuple[str, int | None, str | None]:
    """Model name, version and label of a request's ModelSpec."""
    if not request.HasField("model_spec"):
        raise RequestError("Missing ModelSpec")
    spec = request.model_spec
    choice = spec.WhichOneof("version_choice")
    version = spec.version.value if choice == "version" else None
    return spec.name, version, spec.version_label if choice == "version_label" else None


def _name(spec: Any, request: Any, model: LoadedModel, signature: str) -> None:
    """Says which version and signature answered."""
    spec.name = request.model_spec.name
    spec.version.value = model.version
    spec.signature_name = signature or DEFAULT_SIGNATURE
