"""The real server in a process of its own: sockets, signals."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from http.client import HTTPConnection

import grpc
import httpx
import pytest
import tensorflow as tf
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

from pipeline.serving.errors import ServingError
from pipeline.serving.server import serve
from tests.pipeline.serving.messages import predict_request
from tests.pipeline.serving.processes import ROOT, running_server

PAIR = '{"instances": [{"text_a": "abcd", "text_b": "ab"}]}'


@pytest.fixture
def server(base_dir, push):
    """A server on version 1."""
    push(1)
    with running_server(base_dir) as started:
        yield started


class GrpcCaller(threading.Thread):
    """The same over gRPC."""

    def __init__(self, address: str, ended: threading.Event) -> None:
        super().__init__()
        self._address = address
        self._ended = ended
        self.scores: list[float] = []
        self.failures: list[str] = []

    def run(self) -> None:
        request = predict_request(text_a=["a"] * 8, text_b=["b"] * 8)
        with grpc.insecure_channel(self._address) as channel:
            stub = PredictionServiceStub(channel)
            while not self._ended.is_set():
                try:
                    answer = stub.Predict(request, timeout=20)
                except grpc.RpcError as error:
                    self.failures.append(repr(error))
                    continue
                scores = tf.make_ndarray(answer.outputs["score"]).tolist()
                if len(scores) != 8 or set(scores) != {float(answer.model_spec.version.value)}:
                    self.failures.append(str(answer))
                self.scores.append(scores[0])


class Caller(threading.Thread):
    """Asks again and again and keeps every answer; the score tells which version gave it."""

    def __init__(self, url: str, ended: threading.Event) -> None:
        super().__init__()
        self._url = url
        self._ended = ended
        self.scores: list[float] = []
        self.failures: list[str] = []

    def run(self) -> None:
        body = {"instances": [{"text_a": "a", "text_b": "b"}] * 8}
        with httpx.Client(timeout=20) as http:
            while not self._ended.is_set():
                try:
                    answer = http.post(self._url + ":predict", json=body)
                    scores = answer.json()["predictions"]
                except (httpx.HTTPError, ValueError, KeyError) as error:
                    self.failures.append(repr(error))
                    continue
                if len(scores) != 8 or len(set(scores)) != 1:
                    self.failures.append(answer.text)
                self.scores.append(scores[0])


def wait_until(reached, seconds: float = 20) -> None:
    """Fails if `reached()` does not come true in time."""
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def states(url: str) -> dict[str, str]:
    return {entry["version"]: entry["state"] for entry in httpx.get(url).json()["model_version_status"]}


def test_swap_under_load_loses_no_request(server, push, base_dir):
    process, url, rpc = server
    oversized = httpx.post(url + ":predict", content=b" " * (9 * 1024 * 1024), timeout=20)
    assert oversized.status_code == 413
    assert oversized.json() == {"error": "the body is larger than 8388608 bytes; send fewer rows a request"}

    ended = threading.Event()
    callers: list[Caller | GrpcCaller] = [*(Caller(url, ended) for _ in range(3)), GrpcCaller(rpc, ended)]
    for caller in callers:
        caller.start()
    try:
        wait_until(lambda: all(len(caller.scores) > 5 for caller in callers))
        # Version 2 takes over, a broken version 3 does not, and 2 stays when its directory goes.
        second = push(2, offset=2)
        wait_until(lambda: all(2.0 in caller.scores for caller in callers))
        broken = base_dir / ".broken"
        broken.mkdir()
        (broken / "saved_model.pb").write_bytes(b"\xff")
        broken.rename(base_dir / "3")
        wait_until(lambda: states(url).get("3") == "END")
        shutil.rmtree(base_dir / "1")
        shutil.rmtree(second)
        wait_until(lambda: "1" not in states(url))
        seen = [len(caller.scores) for caller in callers]
        wait_until(lambda: all(len(caller.scores) > n for caller, n in zip(callers, seen, strict=True)))
        assert states(url) == {"3": "END", "2": "AVAILABLE"}
    finally:
        ended.set()
        for caller in callers:
            caller.join()
    assert [failure for caller in callers for failure in caller.failures] == []
    for caller in callers:
        assert set(caller.scores) == {1.0, 2.0}
        # Each caller saw one change, and only forwards.
        assert caller.scores == sorted(caller.scores)
    metrics = httpx.get(url.replace("/v1/models/twin", "/metrics")).text
    answered = sum(len(caller.scores) for caller in callers[:3])
    assert f'kembar_requests_total{{code="200",endpoint="predict"}} {answered:.1f}\n' in metrics
    count = len(callers[3].scores)
    assert f'kembar_requests_total{{code="OK",endpoint="grpc_Predict"}} {count:.1f}\n' in metrics
    assert "kembar_served_version 2.0\n" in metrics

    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 0
    assert process.stdout.read() == ""


# A server that is still loading when its signal comes.
LOADING = """
import signal, sys
from pipeline.serving import server
def load(base_dir, name):
    print("loading", flush=True)
    while True:
        signal.pause()
server._load = load
server.serve(sys.argv[1], "twin", port=0, grpc_port=0)
print("returned", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_a_server_that_is_still_loading(base_dir, number):
    with subprocess.Popen(
        [sys.executable, "-c", LOADING, str(base_dir)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout.readline() == "loading\n"
        process.send_signal(number)
        assert process.communicate(timeout=20)[0] == "returned\n"
    assert process.returncode == 0


def test_what_was_accepted_is_answered_when_the_server_stops(server):
    process, url, rpc = server
    callers: list[Leaver | GrpcLeaver] = [
        *(Leaver(url) for _ in range(8)),
        *(GrpcLeaver(rpc) for _ in range(8)),
    ]
    for caller in callers:
        caller.start()
    wait_until(lambda: all(caller.answers > 3 for caller in callers))
    process.send_signal(signal.SIGTERM)
    for caller in callers:
        caller.join(30)
    assert [caller.last for caller in callers] == ["refused"] * 8 + ["UNAVAILABLE"] * 8
    assert process.wait(timeout=20) == 0


class Leaver(threading.Thread):
    """Asks on one connection after the other until it is refused one."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self._url = httpx.URL(url)
        self.answers = 0
        self.last = ""

    def run(self) -> None:
        try:
            while True:
                connection = HTTPConnection(self._url.host, self._url.port, timeout=20)
                kept = True
                while kept:
                    connection.request("POST", f"{self._url.path}:predict", PAIR)
                    answer = connection.getresponse()
                    kept = answer.headers["Connection"] != "close"
                    assert json.loads(answer.read()) == {"predictions": [1.2]}
                    self.answers += 1
                connection.close()
        except ConnectionRefusedError:
            self.last = "refused"
        except Exception as error:  # noqa: BLE001 - the test shows it
            self.last = repr(error)


class GrpcLeaver(threading.Thread):
    """Asks until it is not answered."""

    def __init__(self, address: str) -> None:
        super().__init__(daemon=True)
        self._address = address
        self.answers = 0
        self.last = ""

    def run(self) -> None:
        request = predict_request(text_a=["abcd"], text_b=["ab"])
        with grpc.insecure_channel(self._address) as channel:
            try:
                while True:
                    PredictionServiceStub(channel).Predict(request, timeout=20)
                    self.answers += 1
            except grpc.RpcError as error:
                self.last = error.code().name


def test_tensorflow_is_imported_only_with_a_model():
    program = "import sys, pipeline.serving.server; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


def test_serve_says_what_is_missing(base_dir, push):
    with pytest.raises(ServingError, match="nothing to serve: no version there; push one with `kembar run`"):
        serve(base_dir, "twin", port=0)
    (base_dir / "1").mkdir()
    (base_dir / "1" / "saved_model.pb").touch()
    with pytest.raises(ServingError, match=r"nothing to serve: version 1: .*cannot be loaded"):
        serve(base_dir, "twin", port=0)
    with pytest.raises(ServingError, match="give --port a number from 0 to 65535"):
        serve(base_dir, "twin", port=70_000)
    with pytest.raises(ServingError, match="choose another with --host"):
        serve(base_dir, "twin", host="192.0.2.1", port=0)  # of nobody
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(ServingError, match="choose another with --grpc-port"),
    ):
        serve(base_dir, "twin", port=0, grpc_port=taken.getsockname()[1])
