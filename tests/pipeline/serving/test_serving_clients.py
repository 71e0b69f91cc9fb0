"""Clients that are not ours, unchanged, against the real server; and clients that misbehave."""

import json
import shutil
import socket
import subprocess
import sys
import time
from http.client import HTTPConnection

import grpc
import httpx
import pytest

from pipeline.serving.server import _bind
from tests.pipeline.serving.messages import example, given, predict_request
from tests.pipeline.serving.processes import running_server

PAIRS = {"text_a": ["abcd", "é"], "text_b": ["ab", ""]}

# Its messages have the names of tensorflow-serving-api's, so each of the two needs a process of its own.
OVMS = """
import json, sys
import ovmsclient
http, rpc = sys.argv[1:]
for make, address in ((ovmsclient.make_http_client, http), (ovmsclient.make_grpc_client, rpc)):
    client = make(address)
    # Over REST it looks for metadata in another spelling than TF Serving's.
    metadata = make is ovmsclient.make_grpc_client and client.get_model_metadata("twin")
    answers = [
        client.get_model_status("twin"),
        metadata,
        client.predict({"text_a": [b"abcd", b"a"], "text_b": [b"ab", b""]}, "twin").tolist(),
        client.predict({"text_a": [b"abcd"], "text_b": [b"ab"]}, "twin", 1).tolist(),
    ]
    print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def server(saved_models, tmp_path_factory):
    base_dir = tmp_path_factory.mktemp("clients") / "served"
    base_dir.mkdir()
    shutil.copytree(saved_models[1], base_dir / "1")
    with running_server(base_dir, "0", header_timeout=1.0) as (_, url, rpc):
        yield url, rpc


def test_generated_stubs(server):
    from tensorflow_serving.apis import regression_pb2
    from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

    with grpc.insecure_channel(server[1]) as channel:
        stub = PredictionServiceStub(channel)
        scores = stub.Predict(predict_request(**PAIRS), timeout=20).outputs["score"].float_val
        assert list(scores) == pytest.approx([1.2, 1.1])
        request = regression_pb2.RegressionRequest(input=given(example("abcd", "ab")))
        request.model_spec.name, request.model_spec.signature_name = "twin", "regress"
        assert stub.Regress(request, timeout=20).result.regressions[0].value == pytest.approx(1.2)


def test_ovmsclient(server):
    url, rpc = server
    done = subprocess.run(
        [sys.executable, "-c", OVMS, httpx.URL(url).netloc.decode(), rpc],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    for status, metadata, newest, numbered in map(json.loads, done.stdout.splitlines()):
        assert status == {"1": {"state": "AVAILABLE", "error_code": 0, "error_message": ""}}
        assert not metadata or metadata["outputs"] == {"score": {"shape": [-1], "dtype": "DT_FLOAT"}}
        assert newest == pytest.approx([1.2, 1.1])
        assert numbered == pytest.approx([1.2])


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl(server):
    def curl(*arguments):
        done = subprocess.run(["curl", "-s", *arguments], check=True, capture_output=True, timeout=20)
        return json.loads(done.stdout)

    url = server[0]
    assert curl("-d", json.dumps({"inputs": PAIRS}), f"{url}:predict") == {"outputs": [1.2, 1.1]}
    examples = {"signature_name": "regress", "examples": [{"text_a": "abcd", "text_b": "ab"}]}
    assert curl("-d", json.dumps(examples), f"{url}/versions/1:regress") == {"results": [1.2]}
    assert curl(url)["model_version_status"][0]["version"] == "1"
    # As curl sends longer bodies: it waits for the server's word.
    long = json.dumps({"signature_name": "embed", "instances": ["x" * 500] * 10})
    answer = curl("-H", "Expect: 100-continue", "-d", long, f"{url}:predict")
    assert answer == {"predictions": [[500.0, 1.0]] * 10}


def address(url: str) -> tuple[str, int]:
    parsed = httpx.URL(url)
    return parsed.host, parsed.port or 80


def closed_within(connection: socket.socket, seconds: float) -> bool:
    connection.settimeout(seconds)
    try:
        while connection.recv(4096):  # why
            pass
        return True
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False


def test_connections_that_ask_nothing_are_closed(server):
    url, rpc = server
    where = address(url)
    silent, slow, cut = (socket.create_connection(where) for _ in range(3))
    with silent, slow, cut:
        slow.sendall(b"POST /v1/models/twin:predict HTTP/1.1\r\n")
        cut.sendall(b"POST /v1/models/twin:predict HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{")
        cut.close()  # in the middle of its body
        assert closed_within(silent, 20)
        for _ in range(200):  # a byte now and then keeps nobody waiting for ever
            time.sleep(0.1)
            try:
                slow.sendall(b"x")
            except OSError:
                break
        assert closed_within(slow, 20)
    alive = HTTPConnection(*where, timeout=20)
    alive.connect()
    kept = alive.sock
    for _ in range(2):  # an idle connection that has been served is kept, beyond that time
        alive.request("POST", "/v1/models/twin:predict", json.dumps({"inputs": PAIRS}))
        assert json.load(alive.getresponse()) == {"outputs": [1.2, 1.1]}
        with socket.create_connection(where) as later:  # its time is over behind that of `alive`
            assert closed_within(later, 20)
    assert alive.sock is kept
    alive.close()
    host, port = rpc.rsplit(":", 1)
    with socket.create_connection((host, int(port))) as garbage:
        garbage.sendall(b"\xff" * 100)
        assert closed_within(garbage, 20) or garbage.recv(4096)
    assert httpx.post(url + ":predict", json={"inputs": PAIRS}).json() == {"outputs": [1.2, 1.1]}


def test_an_answer_does_not_wait_for_acknowledgements():
    """With Nagle's algorithm the second write of an answer waits 40 ms for the client."""
    with _bind("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
