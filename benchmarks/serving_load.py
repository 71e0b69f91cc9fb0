"""How the server does under many clients, and whether anything is lost when it stops.

    kembar run configs/sts.toml
    python benchmarks/serving_load.py [runs/sts/serving/sts] [--stops 20]

One pair of sentences is asked again and again by 1, 8 and 64 clients over REST, then over gRPC, from a
process of their own, beside the same signature called in this process by one thread. REST's clients are bare
sockets and gRPC's hand on bytes, so that they need as little of the processors as they can. Then the server
is sent SIGTERM, so many times, under 64 clients of each kind at once: an answer that was not given is lost,
whoever is refused is not. Every result is one line.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import selectors
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT)]

PAIR = {"text_a": "A man is playing a guitar.", "text_b": "Someone plays the guitar."}
CLIENTS = (1, 8, 64)
SECONDS, WARM_UP = 5.0, 1.0
SERVER = """
import sys
from pipeline.serving.server import serve
serve(sys.argv[1], "model", port=0, grpc_port=0)
"""
METHOD = "/tensorflow.serving.PredictionService/Predict"


def rest_request() -> bytes:
    """One pair, as it goes over the wire."""
    body = json.dumps({"instances": [PAIR]}).encode()
    head = "POST /v1/models/model:predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def grpc_request() -> bytes:
    """The same as a message."""
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.name = "model"
    for name, text in PAIR.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto([text]))
    return request.SerializeToString()


def report(way: str, clients: int, seconds: list[float], span: float) -> None:
    """Prints rate and latencies."""
    seconds.sort()
    median, late = seconds[len(seconds) // 2], seconds[int(len(seconds) * 0.99)]
    rate, times = len(seconds) / span, f"p50 {median * 1e3:.2f} ms, p99 {late * 1e3:.2f} ms"
    print(f"{way}, {clients} clients: {rate:,.0f} requests/s, {times}", flush=True)


def load_rest(address: str, clients: int) -> None:
    """Asks by bare sockets in one thread."""
    request, selector, sent, seconds = rest_request(), selectors.DefaultSelector(), {}, []
    host, port = address.rsplit(":", 1)
    for _ in range(clients):
        connection = socket.create_connection((host, int(port)))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(connection, selectors.EVENT_READ)
        sent[connection] = time.perf_counter()
        connection.sendall(request)
    begin = time.perf_counter()
    while (now := time.perf_counter()) < begin + WARM_UP + SECONDS:
        for key, _ in selector.select(1):
            connection = cast(socket.socket, key.fileobj)
            answer, now = connection.recv(65_536), time.perf_counter()
            if answer.startswith(b"HTTP/") and b" 200 " not in answer[:16]:
                raise ValueError(answer)
            if not answer.endswith(b"}"):  # head and body may come apart
                continue
            if now > begin + WARM_UP:
                seconds.append(now - sent[connection])
            sent[connection] = now
            connection.sendall(request)
    report("REST", clients, seconds, SECONDS)


def load_grpc(address: str, clients: int) -> None:
    """Asks by so many channels in one event loop."""
    import grpc

    request = grpc_request()
    seconds: list[float] = []

    async def ask(number: int, begin: float) -> None:
        async with grpc.aio.insecure_channel(address, options=[("client", number)]) as channel:
            call = channel.unary_unary(METHOD)
            while (sent := time.perf_counter()) < begin + WARM_UP + SECONDS:
                await call(request, timeout=30)
                if sent > begin + WARM_UP:
                    seconds.append(time.perf_counter() - sent)

    async def together() -> None:
        begin = time.perf_counter()
        await asyncio.gather(*(ask(number, begin) for number in range(clients)))

    asyncio.run(together())
    report("gRPC", clients, seconds, SECONDS)


@contextmanager
def running(base: Path) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """A server on `base`: its process, and its REST and its gRPC address."""
    command = [sys.executable, "-c", SERVER, str(base)]
    environment = {**os.environ, "PYTHONPATH": os.environ.get("SERVER_ROOT", str(ROOT))}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            words = process.stdout.readline().replace(",", "").split()  # type: ignore[union-attr]
            yield process, words[5].split("/")[2], words[8]
        finally:
            process.terminate()


def in_process(base: Path) -> None:
    """Calls the signature here."""
    import numpy as np

    from pipeline.serving.model import LoadedModel

    [folder] = [path for path in base.iterdir() if path.name.isdecimal()][-1:]
    model, seconds = LoadedModel.load(folder), []
    inputs = {name: np.array([text.encode()], object) for name, text in PAIR.items()}
    for number in range(2_200):
        began = time.perf_counter()
        model.predict("", inputs)
        if number >= 200:
            seconds.append(time.perf_counter() - began)
    report("in the process", 1, seconds, sum(seconds))


def stop_under_load(base: Path, clients: int = 64) -> Counter[str]:
    """What became of the requests of clients of both kinds when the server was sent SIGTERM."""
    import grpc

    request, message, became = rest_request(), grpc_request(), Counter[str]()

    async def over_rest(address: str) -> None:
        host, port = address.rsplit(":", 1)
        while True:
            try:
                reader, writer = await asyncio.open_connection(host, int(port))
            except ConnectionRefusedError:
                became["REST refused"] += 1
                return
            try:
                kept = True
                while kept:
                    writer.write(request)
                    head = (await reader.readuntil(b"\r\n\r\n")).lower()
                    await reader.readexactly(int(head.split(b"content-length: ")[1].split()[0]))
                    became[f"REST {head.split()[1].decode()}"] += 1
                    kept = b"connection: close" not in head
            except (ConnectionError, asyncio.IncompleteReadError):
                became["REST lost"] += 1
            writer.close()

    async def over_grpc(address: str, number: int) -> None:
        async with grpc.aio.insecure_channel(address, options=[("client", number)]) as channel:
            call = channel.unary_unary(METHOD)
            while True:
                try:
                    await call(message, timeout=30)
                    became["gRPC OK"] += 1
                except grpc.aio.AioRpcError as error:
                    became[f"gRPC {error.code().name}"] += 1
                    return

    async def scenario(process: subprocess.Popen[str], rest: str, rpc: str) -> None:
        tasks = [asyncio.create_task(over_rest(rest)) for _ in range(clients)]
        tasks += [asyncio.create_task(over_grpc(rpc, number)) for number in range(clients)]
        await asyncio.sleep(1.0)
        process.send_signal(signal.SIGTERM)
        await asyncio.gather(*tasks)

    with running(base) as (process, rest, rpc):
        asyncio.run(scenario(process, rest, rpc))
        became[f"exit code {process.wait(60)}"] += 1
    return became


def main() -> None:
    """All figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("serving", nargs="?", type=Path, default=Path("runs/sts/serving/sts"))
    parser.add_argument("--stops", type=int, default=20)
    parser.add_argument("--only-stops", action="store_true", help="no loads")
    parser.add_argument("--load", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.load:
        way, address, clients = options.load
        {"rest": load_rest, "grpc": load_grpc}[way](address, int(clients))
        return
    if not options.only_stops:
        in_process(options.serving)
        with running(options.serving) as (_, rest, rpc):
            for way, address in (("rest", rest), ("grpc", rpc)):
                for clients in map(str, CLIENTS):
                    subprocess.run([sys.executable, __file__, "--load", way, address, clients], check=True)
    stops, seconds = Counter[str](), []
    for _ in range(options.stops):
        began = time.monotonic()
        stops += stop_under_load(options.serving)
        seconds.append(time.monotonic() - began)
    if seconds:
        print(
            f"{options.stops} stops, {statistics.median(seconds):.1f} s each: {dict(sorted(stops.items()))}"
        )


if __name__ == "__main__":
    main()
