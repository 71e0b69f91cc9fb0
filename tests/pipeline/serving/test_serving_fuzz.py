"""Nonsense by the thousand, over REST, gRPC and bare sockets: the server lives and stays polite."""

import json
import random
import shutil
import socket
from http.client import HTTPConnection

import grpc
import httpx
import pytest
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    regression_pb2,
)

from tests.pipeline.serving.fuzzing import fuzz_bodies, mutate
from tests.pipeline.serving.messages import example, given, predict_request
from tests.pipeline.serving.processes import running_server

METHODS = ("Predict", "Classify", "Regress", "MultiInference", "GetModelMetadata", "SessionRun")
SEGMENTS = ["", "v1", "models", "twin", "versions", "1", "0", "-1", "9" * 19, "9" * 30, "labels", "stable"]
SEGMENTS += ["metadata", "..", "%2e%2e", "%00", "%ff", "%F0%9F%98%80", "twin:predict", ":", "a" * 5000]
GOOD_CODES = {200, 400, 404, 405, 413, 414, 415}
GOOD_STATUS = {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "OUT_OF_RANGE", "UNIMPLEMENTED"}


def messages() -> list[bytes]:
    """A valid request of each kind."""
    regress = regression_pb2.RegressionRequest(input=given(example("abcd", "ab")))
    classify = classification_pb2.ClassificationRequest(
        input=given(example("abcd"), context=example("", "ab"))
    )
    multi = inference_pb2.MultiInferenceRequest(input=given(example("abcd", "ab")))
    task = multi.tasks.add(method_name="tensorflow/serving/regress")
    metadata = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    status = get_model_status_pb2.GetModelStatusRequest()
    for request, signature in (
        (regress, "regress"),
        (classify, "classify"),
        (task, "regress"),
        (metadata, ""),
        (status, ""),
    ):
        request.model_spec.name, request.model_spec.signature_name = "twin", signature
    found = [
        predict_request(text_a=["abcd", "é"], text_b=["ab", ""]),
        predict_request("score_vector", vector=[[0.5, 1.0, 2.0]]),
        predict_request("sample", seed=3, count=2),
        regress,
        classify,
        multi,
        metadata,
        status,
    ]
    return [message.SerializeToString() for message in found]


def ask_grpc(rng, channel, valid) -> str:
    body = rng.choice(valid)
    if rng.random() < 0.8:
        body = mutate(rng, body)
    service = (
        "ModelService/GetModelStatus" if rng.random() < 0.1 else f"PredictionService/{rng.choice(METHODS)}"
    )
    try:
        channel.unary_unary(f"/tensorflow.serving.{service}")(body, timeout=30)
    except grpc.RpcError as error:
        return error.code().name if error.details().isprintable() else "UNPRINTABLE"
    return "OK"


def ask_path(rng, connection) -> int:
    """By Python's own client, which sends whatever path it is given."""
    path = "/" + "/".join(rng.choice(SEGMENTS) for _ in range(rng.randrange(1, 8)))
    verb = rng.choice(["", ":predict", ":classify", ":regress", ":"])
    body = rng.choice([b"", b"{}", b'{"examples": [{}], "signature_name": "regress"}'])
    connection.request(rng.choice(["GET", "POST", "PUT", "DELETE", "OPTIONS"]), path + verb, body)
    answer = connection.getresponse()
    said = answer.read()
    assert answer.status == 200 or list(json.loads(said)) == ["error"]
    return answer.status


def ask_socket(rng, where) -> int:
    """Bytes that are hardly HTTP; 400 where the server says nothing."""
    head = b"POST /v1/models/twin:predict HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close"
    with socket.create_connection(where) as connection:
        connection.settimeout(20)
        connection.sendall(mutate(rng, head + b"\r\n\r\n{}"))
        connection.shutdown(socket.SHUT_WR)
        try:
            answer = connection.recv(4096)
        except ConnectionResetError:
            return 400
    return int(answer.split()[1]) if answer else 400


def memory_mb(process) -> float:
    with open(f"/proc/{process.pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) / 1024


@pytest.mark.parametrize("count", [500, pytest.param(100_000, marks=pytest.mark.slow)])
def test_nonsense(saved_models, tmp_path, count):
    base_dir = tmp_path / "served"
    base_dir.mkdir()
    shutil.copytree(saved_models[1], base_dir / "1")
    before = sorted(path.name for path in tmp_path.rglob("*"))
    rng = random.Random(7)  # noqa: S311 - repeatable, not secret
    with (
        running_server(base_dir) as (process, url, rpc),
        grpc.insecure_channel(rpc) as channel,
        httpx.Client(base_url=url.partition("/v1")[0], timeout=30) as client,
    ):
        where = (client.base_url.host, client.base_url.port)
        paths = HTTPConnection(*where, timeout=30)
        valid, codes, statuses, memory = messages(), [], [], []
        for number, body in enumerate(fuzz_bodies(count)):
            match number % 4:
                case 0:
                    statuses.append(ask_grpc(rng, channel, valid))
                case 1:
                    codes.append(ask_path(rng, paths))
                case 2 if number % 40 == 2:
                    codes.append(ask_socket(rng, where))
                case 3 if number % 20 == 3:  # one of the many who do nothing wrong
                    long = "a" * rng.randrange(100)
                    pair = {"instances": [{"text_a": long, "text_b": "ab"}]}
                    valid_answer = client.post("/v1/models/twin:predict", json=pair).json()
                    assert valid_answer == {"predictions": [pytest.approx(abs(len(long) - 2) / 10 + 1)]}
                case _:
                    codes.append(client.post("/v1/models/twin:predict", content=body).status_code)
            if number in (count // 2, count - 1):
                memory.append(memory_mb(process))
        assert set(codes) <= GOOD_CODES
        assert codes.count(200) > len(codes) // 50
        assert set(statuses) <= GOOD_STATUS
        assert {"OK", "INVALID_ARGUMENT"} <= set(statuses)
        # Whatever was learned on the way, such as a shape's kernels, was learned in the first half.
        assert memory[1] < memory[0] * 1.05 + 10
        pair = {"instances": [{"text_a": "abcd", "text_b": "ab"}]}
        alive = client.post("/v1/models/twin:predict", content=json.dumps(pair))
        assert alive.json() == {"predictions": [1.2]}
        paths.close()
        page = client.get("/metrics").text
        assert 'code="50' not in page
        assert 'code="INTERNAL"' not in page
    assert sorted(path.name for path in tmp_path.rglob("*")) == before
