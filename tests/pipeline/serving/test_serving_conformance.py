"""TF Serving's protocol, point by point, each with the line of its source that says so.

Lines are those of github.com/tensorflow/serving at 9d981c5c (30 July 2026): `json` is util/json_tensor.cc,
`rest` model_servers/http_rest_api_util.cc, `handler` model_servers/http_rest_api_handler.cc, `http`
model_servers/http_server.cc, `predict` servables/tensorflow/predict_util.cc, `status`
model_servers/get_model_status_impl.cc, `metadata` servables/tensorflow/get_model_metadata_impl.cc, `core`
model_servers/server_core.cc, `evhttp` util/net_http/server/internal/evhttp_request.cc. `tensor` is
core/framework/tensor.cc of TensorFlow 2.21. What differs is in docs/serving.md.
"""

import json

import grpc
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.pipeline.serving.messages import predict_request

MODEL = "/v1/models/twin"
PAIR = '{"text_a": "abcd", "text_b": "ab"}'


def pairs(more: str = "") -> str:
    return f'{{"instances": [{PAIR}]{more}}}'


def echo(text: str) -> str:
    return f'{{"signature_name": "echo", "inputs": {text}}}'


def vector(text: str) -> str:
    return f'{{"signature_name": "score_vector", "instances": [[{text}]]}}'


def inverse(text: str) -> str:
    return f'{{"signature_name": "inverse", "instances": [{text}]}}'


BODIES = [
    # source, body, status, the answer or what the error says
    ("json:474", "", 400, "JSON Parse error: The document is empty"),
    ("json:481 a byte order mark is passed over", "\ufeff" + pairs(), 200, {"predictions": [1.2]}),
    ("json:485 what is behind the end is not read", pairs() + " }{ nonsense", 200, {"predictions": [1.2]}),
    ("json:485 blanks before the beginning", " \t\r\n" + pairs(), 200, {"predictions": [1.2]}),
    ("json:484 NaN and Inf are numbers", inverse("Infinity, -Infinity"), 200, {"predictions": [0.0, -0.0]}),
    ("json:484 in short too", inverse("Inf, -Inf, 4"), 200, {"predictions": [0.0, -0.0, 0.25]}),
    ("json:484 but no words in strings", echo('["Inf, -Inf", "-NaN"]'), 200, None),
    ("json:484 and in no other spelling", inverse("inf"), 400, "JSON Parse error"),
    ("json:486 a number beyond every double", inverse("1e400"), 400, "Number too big to be stored in double"),
    ("json:486 however long", inverse("9" * 400), 400, "a value does not fit type: float32"),
    ("json:486 in a string it is none", echo('["1e400"]'), 200, None),
    ("json:486 half of a surrogate pair", echo('["\\ud800"]'), 400, "half of a surrogate pair"),
    ("json:486 a whole one", echo('["\\ud83d\\ude00"]'), 200, None),
    ("json:486 in a key", '{"\\udfff": 1}', 400, "half of a surrogate pair"),
    ("json:486 a comma too many", '{"instances": [1,]}', 400, "JSON Parse error"),
    ("json:498", "[1]", 400, "Is not object"),
    ("json:510", pairs(', "signature_name": 1'), 400, "'signature_name' key must be a string value."),
    ("handler:237", pairs(', "signature_name": "no"'), 400, 'Serving signature name: "no" not found'),
    ("handler:234 no name is the default", pairs(', "signature_name": ""'), 200, {"predictions": [1.2]}),
    ("json:679", pairs(', "inputs": []'), 400, "expecting only one of 'inputs' or 'instances'"),
    ("json:684", '{"instances": {}}', 400, "Expecting 'instances' to be a"),
    ("json:688", '{"instances": []}', 400, "No values in 'instances' array"),
    ("json:704", "{}", 400, "Missing 'inputs' or 'instances' key"),
    ("json:527", '{"instances": ["a"]}', 400, "instances is a plain list, but expecting list of objects"),
    ("json:553", f'{{"instances": [{PAIR}, 1]}}', 400, "at item 1 of input list"),
    ("json:569", '{"instances": [{"text_a": "a"}]}', 400, "keys must be equal to: text_a,text_b"),
    ("json:576", '{"signature_name": "embed", "instances": ["a", {"text": "a"}]}', 400, "Expecting value"),
    ("json:619", '{"inputs": ["a"]}', 400, "inputs is a plain value/list, but expecting an object"),
    ("json:635", '{"inputs": {"text_a": ["a"]}}', 400, "Missing named input: text_b in 'inputs' object."),
    ("json:294 floats of whole numbers", vector("1, 2, 3"), 200, None),
    ("json:295 rounded", inverse("16777217"), 200, {"predictions": [5.9604645e-08]}),
    ("json:295 beyond 64 bits too", inverse("1" + "0" * 30), 200, {"predictions": [1e-30]}),
    ("json:294 a bool is no number", vector("1, true, 3"), 400, "Type: True is not of expected type"),
    ("json:294 nor is null", vector("1, null, 3"), 400, "Type: Null is not of expected type"),
    ("json:312 a number is no string", echo("[1]"), 400, "Type: Number is not of expected type: string"),
    ("json:317", '{"signature_name": "sample", "inputs": {"seed": 1.0, "count": 1}}', 400, "type: int64"),
    ("json:322", '{"signature_name": "types", "instances": [{"flag": 1, "count": 1}]}', 400, "type: bool"),
    ("json:423 lists of one size", vector("1, 2"), 400, "must have shape [?, 3]"),
    ("json:366 b64 is one key alone", echo('[{"b64": "YQ==", "x": 1}]'), 400, "Type: Object"),
    ("json:383 padding may be left out", echo('[{"b64": "YQ"}, {"b64": "YWI"}]'), 200, None),
    ("json:383 or be dots", echo('[{"b64": "YQ.."}]'), 200, None),
    ("json:383 blanks are passed over", echo('[{"b64": " YQ \\n= ="}]'), 200, None),
    ("json:383 but not half of it", echo('[{"b64": "YQ="}]'), 400, "Unable to base64 decode"),
    ("json:383 one letter is no byte", echo('[{"b64": "Y"}]'), 400, "Unable to base64 decode"),
    ("json:383 nor are those of URLs", echo('[{"b64": "_-=="}]'), 400, "Unable to base64 decode"),
    ("json:986", '{"signature_name": "sample", "instances": [1]}', 400, "instances is a plain list"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "body", "status", "expected"), BODIES, ids=[row[0] for row in BODIES])
def test_bodies(client, source, body, status, expected):
    answer = client.predict(content=body.encode())
    document = json.loads(answer.content)
    assert answer.status_code == status, document
    if status != 200:
        assert list(document) == ["error"]
        assert expected in document["error"]
    elif expected is not None:
        assert document == expected


PATHS = [
    # source, method, path, status, what the answer holds
    ("rest:32 any case", "POST", "/V1/Models/twin:PREDICT", 200, "predictions"),
    ("rest:34 of a status too", "GET", "/v1/MODELS/twin/Versions/7/MetaData", 200, "signature_def"),
    ("rest:32 but the model's name", "POST", "/v1/models/TWIN:predict", 404, "Servable not found"),
    ("rest:32 a version of 64 bits", "POST", f"{MODEL}/versions/9223372036854775808:predict", 400, "Failed"),
    ("rest:32 with zeros before it", "POST", f"{MODEL}/versions/00000000000000000000007:predict", 200, "1.2"),
    ("rest:32 an unknown verb", "POST", f"{MODEL}:explain", 400, "Malformed request: POST"),
    ("rest:32 no verb", "POST", MODEL, 400, "Malformed request"),
    ("rest:34 a verb", "GET", f"{MODEL}:predict", 400, "Malformed request: GET /v1/models/twin:predict"),
    ("handler:97 any other method", "PUT", f"{MODEL}:predict", 400, "Malformed request: PUT"),
    ("handler:97 and DELETE", "DELETE", MODEL, 400, "Malformed request: DELETE"),
    ("handler:97 and PATCH", "PATCH", MODEL, 400, "Malformed request: PATCH"),
    ("handler:188 no name", "GET", "/v1/models", 400, "Missing model name in request."),
    ("rest:70 names are decoded", "GET", "/v1/models/%74win", 200, "AVAILABLE"),
    ("rest:70 once", "GET", "/v1/models/%2574win", 404, "Could not find any versions of model %74win"),
    ("evhttp:105 a query is a part of the path", "POST", f"{MODEL}:predict?a=b", 400, "Malformed request"),
    ("rest:34 no slash at the end", "GET", f"{MODEL}/", 400, "Malformed request"),
    ("status:89", "GET", f"{MODEL}/versions/6", 404, "Could not find version 6 of model twin"),
    ("status:99", "GET", "/v1/models/other", 404, "Could not find any versions of model other"),
    ("http:141 other paths", "GET", "/v2/models/twin", 404, "error"),
    ("http:175", "OPTIONS", f"{MODEL}:predict", 400, "Origin header is missing in CORS preflight"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("source", "method", "path", "status", "holds"), PATHS, ids=[row[0] for row in PATHS]
)
def test_paths(client, source, method, path, status, holds):
    body = pairs().encode() if method == "POST" else None
    answer = client.request(method, path, content=body)
    assert answer.status_code == status, answer.text
    assert holds in answer.text
    assert answer.headers["content-type"] == "application/json"  # rest:37


def test_scripts_of_other_sites_ask_if_they_may(shared_store):
    """http:170 and http:183."""
    from pipeline.serving.limits import RequestLimits
    from pipeline.serving.service import Service
    from tests.pipeline.serving.conftest import AppClient

    open_client = AppClient(Service(shared_store, "twin", RequestLimits()), cors=True)
    for method, path in (("OPTIONS", f"{MODEL}:predict"), ("POST", f"{MODEL}:nonsense"), ("GET", MODEL)):
        answer = open_client.request(method, path, headers={"Origin": "https://a.example"})
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.headers["access-control-allow-methods"] == "POST, GET"
        assert answer.headers["access-control-allow-headers"] == "Content-Type"
    shut = AppClient(Service(shared_store, "twin", RequestLimits()))
    answer = shut.request("OPTIONS", f"{MODEL}:predict", headers={"Origin": "https://a.example"})
    assert (answer.status_code, answer.content) == (200, b"")
    assert "access-control-allow-origin" not in answer.headers


@pytest.fixture
def ask(make_grpc, shared_store):
    """Predict over gRPC: the answer, or the status and what it says."""
    server = make_grpc(shared_store)
    call = server.channel.unary_unary("/tensorflow.serving.PredictionService/Predict")

    def predict(request):
        from tensorflow_serving.apis import predict_pb2

        try:
            return predict_pb2.PredictResponse.FromString(call(request.SerializeToString(), timeout=20))
        except grpc.RpcError as error:
            return error.code().name, error.details()

    predict.server = server  # type: ignore[attr-defined]
    return predict


def test_outputs_are_named_once(ask):
    request = predict_request("echo", text=["a"])
    request.output_filter.extend(["length", "text"])
    assert sorted(ask(request).outputs) == ["length", "text"]
    request.output_filter.append("length")
    assert ask(request) == ("INVALID_ARGUMENT", "duplicate output tensor alias: length")  # predict:148
    request.output_filter[:] = ["nothing"]
    code, text = ask(request)  # predict:140
    assert code == "INVALID_ARGUMENT"
    assert text.startswith(
        "output tensor alias not found in signature: nothing Outputs expected to be in the"
    )


@pytest.mark.parametrize(
    ("content", "shape", "expected"),
    [
        (b"\x01\x00\x02abc", [3], [b"a", b"", b"bc"]),
        (b"\xac\x02" + b"x" * 300, [1], [b"x" * 300]),
        (b"\x01\x01a", [2], None),
        (b"\x01ab", [1], None),
        (b"\x80", [1], None),
        (b"\xff" * 9, [1], None),
    ],
)
def test_strings_in_tensor_content(ask, content, shape, expected):
    """tensor: Helper<tstring>::Decode, the lengths as varints and then the bytes."""
    request = predict_request("echo", text=[b""])
    text = request.inputs["text"]
    text.Clear()
    text.dtype, text.tensor_content = tf.string.as_datatype_enum, content
    for size in shape:
        text.tensor_shape.dim.add(size=size)
    answer = ask(request)
    if expected is None:
        assert answer[0] == "INVALID_ARGUMENT"
    else:
        assert list(answer.outputs["text"].string_val) == expected


def test_missing_values_are_as_the_last_one(ask):
    """tensor: FromProtoField fills up with the last value, or with nothing at all."""
    request = predict_request("echo", text=["a", "b"])
    del request.inputs["text"].string_val[1:]
    assert list(ask(request).outputs["text"].string_val) == [b"a", b"a"]
    del request.inputs["text"].string_val[:]
    assert list(ask(request).outputs["text"].string_val) == [b"", b""]


def test_a_small_message_takes_no_large_memory(ask):
    request = predict_request("score_vector", vector=[[1.0, 2.0, 3.0]])
    request.inputs["vector"].tensor_shape.dim[0].size = 4097
    assert ask(request)[0] == "INVALID_ARGUMENT"


def test_a_model_has_a_name(ask):
    request = predict_request(text_a=["a"], text_b=["b"])
    request.model_spec.name = ""
    assert ask(request) == ("INVALID_ARGUMENT", "ModelSpec has no name specified.")  # core:844


def test_messages_that_are_no_utf8_are_the_clients_mistake(ask, client):
    """TensorFlow quotes what it was sent, and cannot raise a message that is no UTF-8."""
    code, text = ask(predict_request("serve_examples", examples=[b"\x80\x80\x80"]))
    assert code == "INVALID_ARGUMENT"
    assert text.isprintable()
    body = {"signature_name": "serve_examples", "instances": [{"b64": "gICA"}]}
    assert client.predict(body).status_code == 400
    body = b'{"signature_name": "regress", "examples": [{"\\ud800": "x"}]}'  # type: ignore[assignment]
    assert client.request("POST", f"{MODEL}:regress", content=body).status_code == 400


def test_health_says_serving_until_the_end_begins(ask):
    stub = health_pb2_grpc.HealthStub(ask.server.channel)
    for service in ("", "twin", "tensorflow.serving.PredictionService"):
        answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=20)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.RpcError) as error:
        stub.Check(health_pb2.HealthCheckRequest(service="other"), timeout=20)
    assert error.value.code() == grpc.StatusCode.NOT_FOUND
