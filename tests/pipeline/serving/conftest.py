"""A SavedModel of arithmetic on text lengths, so that every answer can be worked out by hand."""

import asyncio
import shutil
import socket
import threading
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import httpx
import pytest
import tensorflow as tf

from pipeline.serving.app import App
from pipeline.serving.limits import RequestLimits
from pipeline.serving.listener import Listener
from pipeline.serving.model_store import ModelStore
from pipeline.serving.rpc import GrpcServer
from pipeline.serving.service import Service
from tests.pipeline.serving.answers import split_answers


def _spec(name, dtype, *shape):
    return tf.TensorSpec(shape, dtype, name=name)


class Arithmetic(tf.Module):
    """Scores a pair by the difference of lengths, in tenths, plus an offset that tells versions apart."""

    def __init__(self, offset: float) -> None:
        super().__init__()
        self.offset = tf.Variable(offset, dtype=tf.float32)

    def _score(self, text_a, text_b):
        lengths = [
            tf.cast(tf.strings.length(text, unit="UTF8_CHAR"), tf.float32) for text in (text_a, text_b)
        ]
        return tf.abs(lengths[0] - lengths[1]) / 10.0 + self.offset

    @tf.function(input_signature=[_spec("text_a", tf.string, None), _spec("text_b", tf.string, None)])
    def score(self, text_a, text_b):
        return {"score": self._score(text_a, text_b)}

    @tf.function(input_signature=[_spec("text", tf.string, None)])
    def embed(self, text):
        length = tf.cast(tf.strings.length(text), tf.float32)
        return {"embedding": tf.stack([length, tf.zeros_like(length) + self.offset], axis=1)}

    @tf.function(input_signature=[_spec("examples", tf.string, None)])
    def examples(self, examples):
        features = {name: tf.io.FixedLenFeature([], tf.string) for name in ("text_a", "text_b")}
        parsed = tf.io.parse_example(examples, features)
        return {"score": self._score(parsed["text_a"], parsed["text_b"])}

    @tf.function(input_signature=[_spec("inputs", tf.string, None)])
    def regress(self, inputs):
        return {"outputs": self.examples(inputs)["score"]}

    @tf.function(input_signature=[_spec("inputs", tf.string, None)])
    def classify(self, inputs):
        score = self.examples(inputs)["score"]
        names = tf.tile([["far", "near"]], [tf.size(score), 1])
        return {"classes": names, "scores": tf.stack([score, -score], axis=1)}

    @tf.function(input_signature=[_spec("vector", tf.float32, None, 3)])
    def elbo(self, vector):
        total = tf.reduce_sum(vector, axis=1)
        return {"elbo": -total, "anomaly": total > 1.0}

    @tf.function(input_signature=[_spec("seed", tf.int64), _spec("count", tf.int32)])
    def sample(self, seed, count):
        tf.debugging.assert_less_equal(count, 64, message="count must be at most 64")
        return {"vector": tf.zeros([count, 3]) + tf.cast(seed, tf.float32), "seed": seed}

    @tf.function(input_signature=[_spec("text", tf.string, None)])
    def echo(self, text):
        return {"text": text, "text_bytes": text, "length": tf.strings.length(text)}

    @tf.function(input_signature=[_spec("vector", tf.float32, None)])
    def inverse(self, vector):
        return {"inverse": 1.0 / vector}

    @tf.function(input_signature=[_spec("flag", tf.bool, None), _spec("count", tf.uint8, None)])
    def types(self, flag, count):
        half = tf.cast(count, tf.float16) / 10
        return {"flag": flag, "count": count, "half": half, "brain": tf.cast(half, tf.bfloat16)}

    def save(self, path: Path) -> None:
        signatures = {
            "serving_default": self.score,
            "embed": self.embed,
            "serve_examples": self.examples,
            "regress": self.regress,
            "classify": self.classify,
            "score_vector": self.elbo,
            "sample": self.sample,
            "echo": self.echo,
            "inverse": self.inverse,
            "types": self.types,
        }
        tf.saved_model.save(self, str(path), signatures=signatures)


@pytest.fixture(scope="session")
def saved_models(tmp_path_factory) -> dict[int, Path]:
    """The same model with offset 1 and 2; copy them, never change them."""
    root = tmp_path_factory.mktemp("saved_models")
    paths = {offset: root / f"offset-{offset}" for offset in (1, 2)}
    for offset, path in paths.items():
        Arithmetic(offset).save(path)
    return paths


@pytest.fixture
def base_dir(tmp_path) -> Path:
    """An empty model directory."""
    path = tmp_path / "served"
    path.mkdir()
    return path


@pytest.fixture
def push(base_dir, saved_models):
    """Pushes a version by one rename, as the pusher does."""

    def push_version(version: int, offset: int = 1) -> Path:
        staged = shutil.copytree(saved_models[offset], base_dir.parent / f"staged-{version}")
        return staged.rename(base_dir / str(version))

    return push_version


class AppClient:
    """Calls an application over a socket of this process, as any client does."""

    def __init__(self, service: Service, cors: bool = False) -> None:
        self._service = service
        self._cors = cors

    @asynccontextmanager
    async def session(self):
        """A client of a listener that lives as long."""
        listening = socket.create_server(("127.0.0.1", 0))
        listener = Listener(listening, App(self._service, self._cors), self._service.limits)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        try:
            async with httpx.AsyncClient(base_url=url, timeout=20) as client:
                yield client
        finally:
            await listener.drain(0, 5)

    def request(self, method: str, path: str, **kwargs) -> httpx.Response:
        async def call():
            async with self.session() as session:
                return await session.request(method, path, **kwargs)

        return asyncio.run(call())

    def send(self, *requests: bytes) -> list[tuple[int, bytes]]:
        """Sends bytes on one connection; the status and body of each answer until it is closed."""

        async def call():
            async with self.session() as session:
                reader, writer = await asyncio.open_connection(session.base_url.host, session.base_url.port)
                for request in requests:
                    writer.write(request)
                writer.write_eof()
                answers = await reader.read()
                writer.close()
                return answers

        return list(split_answers(asyncio.run(call())))

    def get(self, path: str) -> httpx.Response:
        return self.request("GET", path)

    def predict(self, json=None, path="/v1/models/twin:predict", **kwargs) -> httpx.Response:
        return self.request("POST", path, json=json, **kwargs)


@pytest.fixture
def make_client():
    """A client of an application over a store."""

    def make(store: ModelStore, **limits) -> AppClient:
        return AppClient(Service(store, "twin", RequestLimits(**limits)))

    return make


class GrpcService:
    """A gRPC server over a store in a thread of this process, and a channel to it."""

    def __init__(self, store: ModelStore, **limits) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.service = Service(store, "twin", RequestLimits(**limits))
        self._server = self._do(GrpcServer.start(self.service, "127.0.0.1", 0))
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self._server.port}")

    def _do(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def close(self) -> None:
        self.channel.close()
        self._do(self._server.drain(0, 5))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)
        self._loop.close()
        self.service.close()


@pytest.fixture
def make_grpc():
    """Starts gRPC servers and ends them."""
    servers: list[GrpcService] = []

    def make(store: ModelStore, **limits) -> GrpcService:
        servers.append(GrpcService(store, **limits))
        return servers[-1]

    yield make
    for server in servers:
        server.close()


@pytest.fixture(scope="session")
def shared_store(saved_models, tmp_path_factory) -> ModelStore:
    """Version 7, loaded once for all tests that only ask."""
    base = tmp_path_factory.mktemp("shared")
    shutil.copytree(saved_models[1], base / "7")
    store = ModelStore(base)
    assert store.refresh()
    return store


@pytest.fixture
def client(shared_store, make_client) -> AppClient:
    return make_client(shared_store)
