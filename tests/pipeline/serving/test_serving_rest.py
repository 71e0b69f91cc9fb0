import asyncio
import base64
import json
import math
import threading
import time
from pathlib import Path

import pytest
import tensorflow as tf

from pipeline.serving.model import LoadedModel
from pipeline.serving.model_store import ModelStore
from pipeline.serving.signatures import ModelSignature, TensorSpec

PREDICT = "/v1/models/twin:predict"
PAIR = {"text_a": "abcd", "text_b": "ab"}


def test_status_of_all_versions_and_of_one(client):
    available = {
        "model_version_status": [
            {"version": "7", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
        ]
    }
    for path in ("/v1/models/twin", "/v1/models/twin/versions/7", "/v1/models/twin/versions/007"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()) == (200, available)
        assert answer.headers["content-type"] == "application/json"


def test_status_shows_why_a_version_failed(base_dir, push, make_client):
    push(1)
    (base_dir / "2").mkdir()
    (base_dir / "2" / "saved_model.pb").write_bytes(b"\xff")
    store = ModelStore(base_dir)
    store.refresh()
    failed, served = make_client(store).get("/v1/models/twin").json()["model_version_status"]
    assert (served["version"], served["state"]) == ("1", "AVAILABLE")
    assert (failed["version"], failed["state"], failed["status"]["error_code"]) == ("2", "END", "INTERNAL")
    assert "cannot be loaded" in failed["status"]["error_message"]


def test_metadata_is_printed_as_tf_serving_does(client):
    answer = client.get("/v1/models/twin/metadata").json()
    assert answer["model_spec"] == {"name": "twin", "signature_name": "", "version": "7"}
    signatures = answer["metadata"]["signature_def"]["signature_def"]
    assert {"serving_default", "embed", "sample"} <= signatures.keys()
    default = signatures["serving_default"]
    assert default["method_name"] == "tensorflow/serving/predict"
    assert default["inputs"]["text_a"] == {
        "name": "serving_default_text_a:0",
        "dtype": "DT_STRING",
        "tensor_shape": {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False},
    }
    assert default["outputs"]["score"]["dtype"] == "DT_FLOAT"
    assert client.get("/v1/models/twin/versions/7/metadata").json() == answer


def test_row_format(client):
    answer = client.predict({"instances": [PAIR, {"text_a": "", "text_b": ""}]})
    assert (answer.status_code, answer.json()) == (200, {"predictions": [1.2, 1.0]})
    assert answer.headers["content-type"] == "application/json"
    # The shortest digits of the float32, not those of its double.
    assert b"1.2," in answer.content


def test_row_format_with_bare_values_and_named_ones(client):
    expected = {"predictions": [[1.0, 1.0], [2.0, 1.0]]}
    for instances in (["a", "bc"], [{"text": "a"}, {"text": "bc"}], [{"b64": "YQ=="}, "bc"]):
        assert client.predict({"signature_name": "embed", "instances": instances}).json() == expected


def test_column_format(client):
    body = {"inputs": {"text_a": ["abcd", "é"], "text_b": ["ab", "e"]}}
    assert client.predict(body).json() == {"outputs": [1.2, 1.0]}
    body = {"signature_name": "embed", "inputs": ["a"]}
    assert client.predict(body).json() == {"outputs": [[1.0, 1.0]]}
    body = {"signature_name": "embed", "inputs": {"text": []}}
    assert client.predict(body).json() == {"outputs": []}


def test_several_outputs_are_objects(client):
    body = {"signature_name": "score_vector", "instances": [[0.5, 1, 0], [0, 0, 0.25]]}
    assert client.predict(body).json() == {
        "predictions": [{"anomaly": True, "elbo": -1.5}, {"anomaly": False, "elbo": -0.25}]
    }
    body = {"signature_name": "score_vector", "inputs": [[0.5, 1, 0], [0, 0, 0.25]]}
    assert client.predict(body).json() == {"outputs": {"anomaly": [True, False], "elbo": [-1.5, -0.25]}}


def test_scalar_inputs_and_outputs_in_column_format(client):
    body = {"signature_name": "sample", "inputs": {"seed": 3, "count": 2}}
    assert client.predict(body).json() == {"outputs": {"seed": 3, "vector": [[3.0] * 3] * 2}}


def test_strings_and_bytes(client):
    not_utf8 = base64.b64encode(b"\xff\0").decode()
    body = {"signature_name": "echo", "instances": ["é", {"b64": not_utf8}]}
    assert client.predict(body).json() == {
        "predictions": [
            {"length": 2, "text": "é", "text_bytes": {"b64": "w6k="}},
            {"length": 2, "text": "\ufffd\0", "text_bytes": {"b64": not_utf8}},
        ]
    }


def test_serialized_examples(client):
    values = {name: tf.train.BytesList(value=[text.encode()]) for name, text in PAIR.items()}
    features = {name: tf.train.Feature(bytes_list=value) for name, value in values.items()}
    example = tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()
    body = {"signature_name": "serve_examples", "instances": [{"b64": base64.b64encode(example).decode()}]}
    assert client.predict(body).json() == {"predictions": [1.2]}


def test_narrow_types(client):
    body = {"signature_name": "types", "instances": [{"flag": True, "count": 2}]}
    (answer,) = client.predict(body).json()["predictions"]
    assert answer == {"brain": pytest.approx(0.2, rel=0.01), "count": 2, "flag": True, "half": 0.2}


def test_not_finite_floats_are_the_words_of_tf_serving(client):
    answer = client.predict({"signature_name": "inverse", "instances": [0.0, -0.0, 3.0]})
    assert answer.text == '{"predictions":[Infinity,-Infinity,0.33333334]}'
    answer = client.predict(content=b'{"signature_name": "inverse", "instances": [NaN, Infinity]}')
    nothing, zero = json.loads(answer.content)["predictions"]
    assert math.isnan(nothing)
    assert zero == 0.0


def test_version_in_the_path(client):
    answer = client.predict({"instances": [PAIR]}, path="/v1/models/twin/versions/7:predict")
    assert answer.json() == {"predictions": [1.2]}


def test_ready_only_with_a_model(base_dir, push, make_client):
    store = ModelStore(base_dir)
    client = make_client(store)
    assert client.get("/healthz").status_code == 503
    assert client.predict({"instances": [PAIR]}).status_code == 503
    assert client.get("/v1/models/twin").status_code == 404
    push(3)
    store.refresh()
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "model": "twin", "version": "3"})


def test_metrics_count_requests_and_time(client):
    client.predict({"instances": [PAIR]})
    client.predict({"instances": [PAIR]})
    client.predict({"instances": []})
    client.get("/nowhere")
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answer.text.splitlines()
    assert 'kembar_requests_total{code="200",endpoint="predict"} 2.0' in lines
    assert 'kembar_requests_total{code="400",endpoint="predict"} 1.0' in lines
    assert 'kembar_requests_total{code="404",endpoint="none"} 1.0' in lines
    assert 'kembar_request_seconds_bucket{endpoint="predict",le="+Inf"} 3.0' in lines
    assert 'kembar_request_seconds_count{endpoint="predict"} 3.0' in lines
    assert "kembar_served_version 7.0" in lines
    assert "kembar_requests_pending 0.0" in lines
    (total,) = (line for line in lines if line.startswith('kembar_request_seconds_sum{endpoint="predict"}'))
    assert 0 < float(total.split()[-1]) < 10


class Gate:
    """A model whose only signature answers when it is let through."""

    def __init__(self) -> None:
        self.opened = threading.Event()

    def __call__(self, text):
        assert self.opened.wait(20)
        return {"text": text}

    def store(self, base_dir: Path) -> ModelStore:
        text = {"text": TensorSpec("text", "string", (None,))}
        signatures = {"serving_default": ModelSignature("serving_default", text, text)}

        def load(path):
            return LoadedModel(path, 1, signatures, {}, {}, {"serving_default": self}, None)

        (base_dir / "1").mkdir()
        (base_dir / "1" / "saved_model.pb").touch()
        store = ModelStore(base_dir, load)
        store.refresh()
        return store


async def until(reached) -> None:
    """Fails if `reached()` does not come true in time."""
    deadline = time.monotonic() + 10
    while not await reached():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def test_timeout_is_504_and_the_server_goes_on(base_dir, make_client):
    gate = Gate()
    client = make_client(gate.store(base_dir), timeout=0.2, workers=1)

    async def scenario():
        async with client.session() as session:
            answer = await session.post(PREDICT, json={"instances": ["a"]})
            assert (answer.status_code, answer.json()) == (504, {"error": "not answered within 0.2 s"})
            gate.opened.set()

            # The worker may need a moment to finish what nobody waits for any more.
            async def answered():
                return (await session.post(PREDICT, json={"instances": ["b"]})).status_code == 200

            await until(answered)
            assert "kembar_requests_pending 0.0" in (await session.get("/metrics")).text

    asyncio.run(scenario())


def test_full_queue_is_503(base_dir, make_client):
    gate = Gate()
    client = make_client(gate.store(base_dir), workers=1, max_waiting=1)

    async def scenario():
        async with client.session() as session:
            asked = [asyncio.create_task(session.post(PREDICT, json={"instances": ["a"]})) for _ in range(2)]

            async def full():
                return "kembar_requests_pending 2.0" in (await session.get("/metrics")).text

            await until(full)
            refused = await session.post(PREDICT, json={"instances": ["a"]})
            assert (refused.status_code, refused.json()) == (
                503,
                {"error": "too many requests are waiting; try again later"},
            )
            assert refused.headers["retry-after"] == "1"
            gate.opened.set()
            assert [(await each).status_code for each in asked] == [200, 200]

    asyncio.run(scenario())


def test_our_own_mistakes_are_500_without_details(base_dir, make_client, caplog):
    gate = Gate()
    store = gate.store(base_dir)
    store.current._functions["serving_default"] = lambda text: 1 / 0  # type: ignore[index]
    answer = make_client(store).predict({"instances": ["a"]})
    assert (answer.status_code, answer.json()) == (500, {"error": "Internal error; see the server's log"})
