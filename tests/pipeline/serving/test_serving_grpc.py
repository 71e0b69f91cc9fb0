"""gRPC through the generated stubs of tensorflow-serving-api, against arithmetic that is known."""

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    predict_pb2,
    regression_pb2,
)
from tensorflow_serving.apis.model_service_pb2_grpc import ModelServiceStub
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

from tests.pipeline.serving.messages import example, given, predict_request

CODES = grpc.StatusCode
INVALID = CODES.INVALID_ARGUMENT


@pytest.fixture
def server(make_grpc, shared_store):
    return make_grpc(shared_store)


@pytest.fixture
def stub(server):
    return PredictionServiceStub(server.channel)


def refused(call, request, code, message):
    """The call fails with this status and one line."""
    with pytest.raises(grpc.RpcError) as failure:
        call(request, timeout=20)
    assert failure.value.code() is code, failure.value.details()
    assert message in failure.value.details()
    assert failure.value.details().isprintable()


def test_predict_and_what_it_says_of_itself(stub):
    answer = stub.Predict(predict_request(text_a=["abcd", "é"], text_b=["ab", ""]), timeout=20)
    assert answer.model_spec.name == "twin"
    assert answer.model_spec.version.value == 7
    assert answer.model_spec.signature_name == "serving_default"
    scores = tf.make_ndarray(answer.outputs["score"])
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, [1.2, 1.1])


def test_every_type_goes_both_ways(stub):
    types = predict_request("types", flag=[True, False], count=np.array([3, 255], np.uint8))
    outputs = stub.Predict(types, timeout=20).outputs
    assert tf.make_ndarray(outputs["flag"]).tolist() == [True, False]
    assert tf.make_ndarray(outputs["count"]).tolist() == [3, 255]
    np.testing.assert_allclose(tf.make_ndarray(outputs["half"]), [0.3, 25.5], rtol=1e-2)
    echo = stub.Predict(predict_request("echo", text=[b"\xff\x00", b""]), timeout=20).outputs
    assert tf.make_ndarray(echo["text"]).tolist() == [b"\xff\x00", b""]
    scalar = predict_request("sample", seed=np.int64(3), count=np.int32(2))
    vector = tf.make_ndarray(stub.Predict(scalar, timeout=20).outputs["vector"])
    assert vector.tolist() == [[3, 3, 3]] * 2
    empty = predict_request(text_a=np.array([], object), text_b=np.array([], object))
    assert tf.make_ndarray(stub.Predict(empty, timeout=20).outputs["score"]).shape == (0,)


def test_output_filter(stub):
    request = predict_request("echo", text=["a"])
    request.output_filter.append("length")
    assert list(stub.Predict(request, timeout=20).outputs) == ["length"]
    request.output_filter.append("nope")
    refused(stub.Predict, request, INVALID, "not found in signature: nope")


def test_regress_and_classify(stub):
    asked = regression_pb2.RegressionRequest(input=given(example("abcd", "ab"), example("", "")))
    asked.model_spec.name, asked.model_spec.signature_name = "twin", "regress"
    answer = stub.Regress(asked, timeout=20)
    assert [r.value for r in answer.result.regressions] == pytest.approx([1.2, 1.0])
    assert (answer.model_spec.version.value, answer.model_spec.signature_name) == (7, "regress")

    asked = classification_pb2.ClassificationRequest(  # type: ignore[assignment]
        input=given(example("abcd"), example("a"), context=example("context", "ab"))
    )
    asked.model_spec.name, asked.model_spec.signature_name = "twin", "classify"
    rows = stub.Classify(asked, timeout=20).result.classifications
    read = [[(c.label, round(c.score, 4)) for c in row.classes] for row in rows]
    assert read == [[("far", 1.2), ("near", -1.2)], [("far", 1.1), ("near", -1.1)]]


def test_multi_inference(stub):
    request = inference_pb2.MultiInferenceRequest(input=given(example("abcd", "ab")))
    for method in ("classify", "regress"):
        task = request.tasks.add(method_name=f"tensorflow/serving/{method}")
        task.model_spec.name, task.model_spec.signature_name = "twin", method
    first, second = stub.MultiInference(request, timeout=20).results
    assert [c.label for c in first.classification_result.classifications[0].classes] == ["far", "near"]
    assert second.regression_result.regressions[0].value == pytest.approx(1.2)
    assert first.model_spec.version.value == second.model_spec.version.value == 7
    request.tasks[1].method_name = "tensorflow/serving/predict"
    refused(stub.MultiInference, request, CODES.UNIMPLEMENTED, "Unsupported signature method_name")
    request.tasks[1].model_spec.signature_name = "classify"
    refused(stub.MultiInference, request, INVALID, "Duplicate evaluation")
    request.tasks[1].model_spec.name = "other"
    refused(stub.MultiInference, request, INVALID, "same model name")
    empty = inference_pb2.MultiInferenceRequest()
    refused(stub.MultiInference, empty, INVALID, "at least one task")


def test_metadata_and_status(server, stub):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "twin"
    answer = stub.GetModelMetadata(request, timeout=20)
    assert (answer.model_spec.name, answer.model_spec.version.value) == ("twin", 7)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(signatures)
    default = signatures.signature_def["serving_default"]
    assert default.inputs["text_a"].name == "serving_default_text_a:0"
    assert default.method_name == "tensorflow/serving/predict"
    request.metadata_field[0] = "assets"
    refused(stub.GetModelMetadata, request, INVALID, "Metadata field assets is not supported")
    del request.metadata_field[:]
    refused(stub.GetModelMetadata, request, INVALID, "at least one metadata_field")

    models = ModelServiceStub(server.channel)
    asked = get_model_status_pb2.GetModelStatusRequest()
    asked.model_spec.name = "twin"
    [status] = models.GetModelStatus(asked, timeout=20).model_version_status
    assert (status.version, status.state, status.status.error_code) == (7, status.AVAILABLE, 0)
    asked.model_spec.version.value = 8
    refused(models.GetModelStatus, asked, CODES.NOT_FOUND, "Could not find version 8 of model twin")
    asked.model_spec.name = "other"
    refused(models.GetModelStatus, asked, CODES.NOT_FOUND, "Could not find any versions of model other")


def tensor(text: str) -> predict_pb2.PredictRequest:
    """A request whose only input is a TensorProto in text format."""
    request = predict_request("embed")
    text_format.Parse(text, request.inputs["text"])
    return request


HUGE = "dim { size: 4611686018427387904 }"


@pytest.mark.parametrize(
    ("request_", "code", "message"),
    [
        (predict_request(name="other"), CODES.NOT_FOUND, "Servable not found for request: Latest(other)"),
        (predict_request(version=6), CODES.NOT_FOUND, "Servable not found for request: Specific(twin, 6)"),
        (predict_request(version=-1), CODES.NOT_FOUND, "Servable not found"),
        (predict_pb2.PredictRequest(), INVALID, "Missing ModelSpec"),
        (predict_request("nope"), CODES.FAILED_PRECONDITION, '"nope" not found in signature def'),
        (
            predict_request(text_a=["a"]),
            INVALID,
            "input size does not match signature: 1!=2 len({text_a}) != len({text_a,text_b}). "
            "Sent extra: {}. Missing but required: {text_b}.",
        ),
        (predict_request(text_a=["a"], text_b=["a", "b"]), INVALID, "equally long"),
        (predict_request("embed", text=[1.0]), INVALID, "must be string, but got: float32"),
        (predict_request("embed", text=[["a"]]), INVALID, "must have shape [?], but got: [1, 1]"),
        (predict_request("score_vector", vector=np.zeros((1, 2), np.float32)), INVALID, "[?, 3]"),
        (predict_request("embed", text=["a"] * 5000), INVALID, "at most 4096 are answered"),
        (predict_request("serve_examples", examples=["!"]), INVALID, "Could not parse example"),
        (predict_request("sample", seed=np.int64(1), count=np.int32(65)), INVALID, "at most 64"),
        (tensor("dtype: DT_STRING"), INVALID, "must have shape [?], but got: []"),
        (tensor("dtype: 77"), INVALID, "but got: type 77"),
        (tensor("dtype: DT_STRING tensor_shape { unknown_rank: true }"), INVALID, "fully defined"),
        (tensor("dtype: DT_STRING tensor_shape { dim { size: -1 } }"), INVALID, "fully defined"),
        (tensor(f"dtype: DT_STRING tensor_shape {{ {HUGE} }}"), INVALID, "at most 4096"),
        (
            tensor('dtype: DT_STRING tensor_shape { dim { size: 1 } } string_val: "a" string_val: "b"'),
            INVALID,
            "not a valid TensorProto",
        ),
        (
            tensor(f'dtype: DT_STRING tensor_shape {{ dim {{ size: 4096 }} }} string_val: "{"a" * 3000}"'),
            INVALID,
            "'text' holds strings of more than 8388608 bytes together",
        ),
    ],
)  # fmt: skip
def test_refused_predictions(stub, request_, code, message):
    refused(stub.Predict, request_, code, message)


def test_refused_examples(stub):
    asked = regression_pb2.RegressionRequest()
    asked.model_spec.name = "twin"
    refused(stub.Regress, asked, INVALID, "Input is empty")
    asked.input.CopyFrom(given(example("a", "b")))
    refused(stub.Regress, asked, CODES.FAILED_PRECONDITION, "takes text_a, text_b, not 'inputs'")
    asked.model_spec.signature_name = "classify"
    refused(stub.Regress, asked, CODES.FAILED_PRECONDITION, "No regression outputs found")
    asked.model_spec.signature_name = "regress"
    asked.input.CopyFrom(given(example("a")))
    refused(stub.Regress, asked, INVALID, "text_b")
    asked.input.CopyFrom(given(*[example("a")] * 4096, context=example("a" * 3000)))
    refused(stub.Regress, asked, INVALID, "the examples are more than 8388608 bytes")
    asked = classification_pb2.ClassificationRequest(input=given(example("a", "b")))  # type: ignore[assignment]
    asked.model_spec.name, asked.model_spec.signature_name = "twin", "regress"
    refused(stub.Classify, asked, INVALID, "Expected classification signature outputs")


def test_bytes_that_are_no_message(server):
    raw = server.channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    refused(raw, b"\xff\xff\xff", INVALID, "not a tensorflow.serving.PredictRequest")
    for unknown in ("PredictionService/Explain", "ModelService/HandleReloadConfigRequest"):
        call = server.channel.unary_unary(f"/tensorflow.serving.{unknown}")
        refused(call, b"", CODES.UNIMPLEMENTED, "")
    for method in ("Check", "Watch"):
        call = server.channel.unary_stream(f"/grpc.health.v1.Health/{method}")
        refused(lambda *given, call=call, **more: list(call(*given, **more)), b"\xff", INVALID, "not a grpc.")
    watched = server.channel.unary_stream("/grpc.health.v1.Health/Watch")(b"", timeout=20)
    assert next(watched) == b"\x08\x01"  # SERVING
    watched.cancel()
    page = server.service.metrics.render()
    assert b'kembar_requests_total{code="INVALID_ARGUMENT",endpoint="grpc_Predict"} 1.0\n' in page


def test_message_and_text_limits(make_grpc, shared_store):
    limited = make_grpc(shared_store, max_body_bytes=2_000, max_text_bytes=100)
    stub = PredictionServiceStub(limited.channel)
    refused(
        stub.Predict,
        predict_request("embed", text=["a" * 101]),
        INVALID,
        "more than 100 bytes",
    )
    refused(
        stub.Predict,
        predict_request("embed", text=["a" * 3_000]),
        CODES.RESOURCE_EXHAUSTED,
        "larger than max",
    )
    assert stub.Predict(predict_request("embed", text=["a" * 100]), timeout=20).outputs
