import asyncio
import json

import pytest

from pipeline.serving.encoding import encode_response
from pipeline.serving.errors import RequestError
from tests.pipeline.serving.fuzzing import PAIR, fuzz_bodies

PREDICT = "/v1/models/twin:predict"


def check_error(answer, status, message=""):
    """An error is one object with one line in it."""
    assert answer.status_code == status, answer.text
    document = answer.json()
    assert list(document) == ["error"]
    assert message in document["error"]
    assert document["error"].isprintable()
    assert 0 < len(document["error"]) <= 500


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "JSON Parse error: The document is empty"),
        (b"{", "JSON Parse error"),
        (b'{"instances": ["\xff"]}', "JSON Parse error: not UTF-8 at offset: 16"),
        ('{"instances": []}'.encode("utf-16"), "JSON Parse error: not UTF-8"),
        (b"[1, 2]", "JSON Value: [1, 2] Is not object"),
        (b'"instances"', "Is not object"),
        (b"{}", "Missing 'inputs' or 'instances' key"),
        (b'{"inputs": {}, "instances": []}', "expecting only one of 'inputs' or 'instances'"),
        (b'{"instances": [], "instances": []}', "an object has the same key twice"),
        (b'{"instances": ["a"], "signature": "embed"}', "Unknown key 'signature'"),
        (b"[" * 100_000, "JSON Parse error: nested too deeply"),
        (b'{"instances": ' + b"[" * 500 + b"]" * 500 + b"}", "instances is a plain list"),
        (b'{"instances": ' + b"9" * 5000 + b"}", "JSON Parse error"),
        # Hours, where each quotation mark begins a search of its own for the end of the string.
        (b'{"Inf": "' + b'\\"' * 1_000_000, "JSON Parse error: Unterminated string"),
    ],
)
def test_malformed_bodies(client, body, message):
    check_error(client.predict(content=body), 400, message)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"instances": []}, "No values in 'instances' array"),
        ({"instances": {}}, "Expecting 'instances' to be a list/array"),
        ({"instances": "abc"}, "Expecting 'instances' to be a list/array"),
        ({"instances": ["a"]}, "instances is a plain list, but expecting list of objects"),
        ({"instances": [PAIR, "a"]}, "Expecting object but got String at item 1"),
        ({"instances": [{"text_a": "a"}]}, "keys must be equal to: text_a,text_b"),
        ({"instances": [PAIR, {**PAIR, "id": 1}]}, "Failed to process element: 1"),
        ({"instances": [{**PAIR, "text_a": 1}]}, "JSON Value: 1 Type: Number is not of expected"),
        ({"instances": [{**PAIR, "text_a": None}]}, "Type: Null"),
        ({"instances": [{**PAIR, "text_a": ["a"]}]}, "'text_a' must have shape [?], but got: [1, 1]"),
        ({"instances": [PAIR, {**PAIR, "text_a": ["a"]}]}, 'JSON Value: ["a"] Type: Array'),
        ({"instances": [{**PAIR, "text_a": {"b64": "*"}}]}, "Unable to base64 decode"),
        ({"instances": [{**PAIR, "text_a": {"b64": 1}}]}, "Type: Object"),
        ({"instances": [{**PAIR, "text_a": "\ud800"}]}, "half of a surrogate pair"),
        ({"inputs": ["a"]}, "inputs is a plain value/list, but expecting an object"),
        ({"inputs": None}, "inputs is a plain value/list"),
        ({"inputs": {"text_a": ["a"]}}, "Missing named input: text_b in 'inputs' object."),
        ({"inputs": {"text_a": ["a"], "text_b": ["b"], "c": []}}, "Unknown named input: c"),
        ({"inputs": {"text_a": ["a", "b"], "text_b": ["b"]}}, "lengths text_a: 2, text_b: 1"),
        ({"inputs": {"text_a": "a", "text_b": "b"}}, "Input 'text_a' must have shape [?], but got: []"),
        ({"inputs": {"text_a": [["a"], ["b", "c"]], "text_b": []}}, "lists at level 1 differ in length"),
        ({"instances": [PAIR], "signature_name": "nope"}, 'Serving signature name: "nope" not found'),
        ({"instances": [PAIR], "signature_name": "\ud800"}, "half of a surrogate pair"),
        ({"instances": [PAIR], "signature_name": 7}, "'signature_name' key must be a string value."),
        ({"instances": ["a", {"text": "b"}], "signature_name": "embed"}, "Expecting value/list but got"),
        ({"instances": ["!"], "signature_name": "serve_examples"}, "Could not parse example input"),
        ({"instances": [{"b64": "gICA"}], "signature_name": "serve_examples"}, "Could not parse example"),
        ({"instances": [[1, 2]], "signature_name": "score_vector"}, "shape [?, 3], but got: [1, 2]"),
        ({"instances": [[1, 2, 3], [1, 2]], "signature_name": "score_vector"}, "differ in length"),
        ({"instances": [[1, "2", 3]], "signature_name": "score_vector"}, 'JSON Value: "2" Type: String'),
        ({"instances": [[1, True, 3]], "signature_name": "score_vector"}, "JSON Value: true Type: True"),
        ({"instances": [[1, 1e39, 3]], "signature_name": "score_vector"}, "1e+39 to float32 without loss"),
        ({"inputs": {"seed": 1.0, "count": 1}, "signature_name": "sample"}, "not of expected type: int64"),
        ({"inputs": {"seed": 2**63, "count": 1}, "signature_name": "sample"}, "does not fit type: int64"),
        ({"inputs": {"seed": 1, "count": 1000}, "signature_name": "sample"}, "count must be at most 64"),
        ({"inputs": {"seed": [1], "count": 1}, "signature_name": "sample"}, "shape [], but got: [1]"),
        ({"instances": [{"seed": 1, "count": 1}], "signature_name": "sample"}, "shape [], but got: [1]"),
    ],
)  # fmt: skip
def test_bodies_that_do_not_fit(client, body, message):
    check_error(client.predict(content=json.dumps(body).encode()), 400, message)


def test_row_format_needs_batched_outputs(shared_store):
    outputs = shared_store.current.predict("sample", {"seed": 1, "count": 2})
    with pytest.raises(RequestError, match="Tensor name: seed has no shape information"):
        encode_response(outputs, row_format=True)
    outputs = {"a": outputs["vector"], "b": outputs["vector"][:1]}
    with pytest.raises(RequestError, match="Tensor name: b has inconsistent batch size: 1 expecting: 2"):
        encode_response(outputs, row_format=True)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v1/models/other:predict", 404),
        ("GET", "/v1/models/other", 404),
        ("GET", "/v1/models/other/metadata", 404),
        ("POST", "/v1/models/twin/versions/6:predict", 404),
        ("GET", "/v1/models/twin/versions/6", 404),
        ("GET", "/v1/models/twin/versions/6/metadata", 404),
        ("GET", "/v1/models/twin/versions/99999999999999999999", 400),
        ("GET", "/v1/models/twin/versions/" + "9" * 5000, 400),
        ("GET", "/v1/models/twin/versions/x", 400),
        ("GET", "/v1/models/twin/", 400),
        ("GET", "/v1/models", 400),
        ("POST", "/v1/models/twin:explain", 400),
        ("GET", "/", 404),
        ("GET", "/etc/passwd", 404),
        ("POST", "/v1/models/..%2F..%2Fetc%2Fpasswd:predict", 404),
        ("GET", "/v1/models/..%2Fserved", 404),
        ("GET", "/v1/models/%2E%2E", 404),
        ("GET", "/v1/models/%00", 404),
        ("GET", "/v1/models/twin/versions/..%2F7", 400),
        ("GET", "/v1/models/twin/versions/%D9%A7", 400),
        ("GET", "/v1/models/%0Atwin", 404),
        ("GET", PREDICT, 400),
        ("PUT", PREDICT, 400),
        ("DELETE", "/v1/models/twin", 400),
        ("POST", "/healthz", 405),
        ("POST", "/v1/models/twin:classify", 400),
        ("POST", "/v1/models/twin/versions/6:regress", 404),
        ("GET", "/v1/models/twin/labels/stable", 400),
        ("POST", "/v1/models/twin/labels/stable:predict", 400),
        ("GET", "/v1/models/twin/labels/..%2F..%2Fetc%2Fpasswd", 400),
        ("GET", "/v1/models/twin/labels/%00/metadata", 400),
    ],
)
def test_paths_and_methods(client, method, path, status):
    answer = client.request(method, path, content=b'{"instances": []}' if method == "POST" else None)
    check_error(answer, status)
    if status == 405:
        assert answer.headers["allow"]


def test_body_limit(shared_store, make_client):
    client = make_client(shared_store, max_body_bytes=1000)
    body = json.dumps({"instances": [PAIR]}).encode()
    assert client.predict(content=body.ljust(1000)).status_code == 200
    check_error(client.predict(content=body.ljust(1001)), 413, "larger than 1000 bytes")

    async def chunks():  # without a Content-Length
        for _ in range(20):
            yield b" " * 100

    check_error(client.predict(content=chunks()), 413, "larger than 1000 bytes")
    head = b"POST /v1/models/twin:predict HTTP/1.1\r\nContent-Length: %s\r\n\r\n"
    for length, status in ((b"9" * 18, 413), (b"1001", 413), (b"9" * 5000, 400)):
        [(code, text)] = client.send(head % length + b"{")
        assert (code, list(json.loads(text))) == (status, ["error"])


def test_batch_limit(shared_store, make_client):
    client = make_client(shared_store, max_batch=2)
    assert client.predict({"instances": [PAIR] * 2}).json() == {"predictions": [1.2, 1.2]}
    check_error(client.predict({"instances": [PAIR] * 3}), 400, "'instances' holds 3 rows, but at most 2")
    body = {"inputs": ["a"] * 3, "signature_name": "embed"}
    check_error(client.predict(body), 400, "'text' holds 3 rows, but at most 2")


def test_text_limit(shared_store, make_client):
    client = make_client(shared_store, max_text_bytes=10)
    assert client.predict({"instances": [{**PAIR, "text_a": "é" * 5}]}).status_code == 200
    long = client.predict({"instances": [PAIR, {**PAIR, "text_a": "é" * 5 + "a"}]})
    check_error(long, 400, "'text_a' holds a string of more than 10 bytes")


def test_compressed_bodies_are_refused(client):
    check_error(client.predict(content=b"\x1f\x8b", headers={"content-encoding": "gzip"}), 415)


def test_500_random_bodies_never_break_the_server(client):
    async def run():
        codes = []
        async with client.session() as session:
            for body in fuzz_bodies(500):
                answer = await session.post(PREDICT, content=body)
                codes.append(answer.status_code)
                if answer.status_code != 200:
                    check_error(answer, 400)
                else:
                    assert answer.json().keys() <= {"predictions", "outputs"}, body
            alive = await session.post(PREDICT, json={"instances": [PAIR]})
        return codes, alive

    codes, alive = asyncio.run(run())
    assert set(codes) == {200, 400}
    assert codes.count(400) > 300
    assert codes.count(200) > 25
    assert alive.json() == {"predictions": [1.2]}
