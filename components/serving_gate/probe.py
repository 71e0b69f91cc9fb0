"""Loads an exported model as TF Serving does and answers requests, importing nothing of this project.

Run as a script, in a process of its own: `python -I probe.py MODEL REQUESTS ANSWERS`. A model that
needs our code, crashes or hangs shows it here and not in production.

What is linked here is what TF Serving links: the ops of TensorFlow itself and of tensorflow-text.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import math
import os
import resource
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework import op_def_registry

WARMUP = "assets.extra/tf_serving_warmup_requests"
# Registered in every TensorFlow process, but their kernels call back into Python, which TF Serving lacks.
PYTHON_OPS = frozenset({"PyFunc", "PyFuncStateless", "EagerPyFunc"})
# The end of an error says what is wrong; TensorFlow begins with where, and goes on from here with hints.
_SHOWN, _WHERE = 300, " [[{{"
# Address space, not memory, that threads and malloc reserve beyond what a model needs.
_RESERVED, _RESERVED_BY_CORE = 2 << 30, 64 << 20
_LATENCY_SECONDS, _FEWEST, _MOST = 1.0, 10, 500


class Model:
    """A SavedModel in a session, as TF Serving's C++ loader makes one of the tag `serve`.

    Raises:
      tf.errors.OpError, OSError, ValueError: it cannot be loaded.
    """

    def __init__(self, path: str) -> None:
        foreign_ops(path)  # for what it registers
        self._session = tf.compat.v1.Session(graph=tf.Graph())
        with self._session.graph.as_default():
            meta = tf.compat.v1.saved_model.loader.load(self._session, ["serve"], path)
        self.signatures = {
            name: definition
            for name, definition in meta.signature_def.items()
            if not name.startswith("__saved_model")
        }
        self._calls: dict[str, Any] = {}

    def describe(self) -> dict[str, Any]:
        """Signature name to `{"inputs": {name: [dtype, shape]}, "outputs": ...}`; an unknown size is -1."""
        return {
            name: {
                "inputs": {key: _spec(info) for key, info in definition.inputs.items()},
                "outputs": {key: _spec(info) for key, info in definition.outputs.items()},
            }
            for name, definition in self.signatures.items()
        }

    def ask(self, signature: str, inputs: dict[str, Any]) -> dict[str, np.ndarray]:
        """Answers arrays or plain lists by name.

        Raises:
          ValueError: no such signature, or other inputs than it has.
          tf.errors.OpError: the graph refuses them.
        """
        if signature not in self.signatures:
            raise ValueError(f"no such signature; the model has {', '.join(sorted(self.signatures))}")
        definition = self.signatures[signature]
        unknown = sorted(set(inputs) ^ set(definition.inputs))
        if unknown:
            raise ValueError(f"inputs differ from the signature's: {', '.join(unknown)}")
        takes, gives = sorted(definition.inputs.items()), sorted(definition.outputs.items())
        if signature not in self._calls:
            fetched, fed = ([info.name for _, info in infos] for infos in (gives, takes))
            self._calls[signature] = self._session.make_callable(fetched, feed_list=fed)
        arrays = [np.array(inputs[name], tf.as_dtype(info.dtype).as_numpy_dtype) for name, info in takes]
        answer = self._calls[signature](*arrays)
        return {name: value for (name, _), value in zip(gives, answer, strict=True)}

    def close(self) -> None:
        """Frees its memory."""
        self._session.close()


def foreign_ops(path: str) -> list[str]:
    """The ops of the graph that TF Serving could not run, one sentence each; empty when all is well.

    tensorflow-text is imported if the graph has ops that are not TensorFlow's own.
    """
    ops = _ops(path)
    if _unknown(ops) and importlib.util.find_spec("tensorflow_text") is not None:
        importlib.import_module("tensorflow_text")  # registers its ops
    neither = "is neither TensorFlow's nor tensorflow-text's: TF Serving does not link it"
    faults = dict.fromkeys(_unknown(ops), neither)
    faults |= dict.fromkeys(PYTHON_OPS, "needs Python, which TF Serving lacks")
    return [f"op {op} ({node}) {faults[op]}" for op, node in sorted(ops.items()) if op in faults]


def _ops(path: str) -> dict[str, str]:
    """Every op of the graph and its functions, with a node that has it."""
    model = saved_model_pb2.SavedModel()
    model.ParseFromString(Path(path, "saved_model.pb").read_bytes())
    ops = {}
    for meta in model.meta_graphs:
        library = meta.graph_def.library.function
        groups = [("the graph", meta.graph_def.node)]
        groups += [(function.signature.name, function.node_def) for function in library]
        functions = {function.signature.name for function in library}
        for owner, nodes in groups:
            ops.update({node.op: f"{owner}: {node.name}" for node in nodes if node.op not in functions})
    return ops


def _unknown(ops: Iterable[str]) -> set[str]:
    return {op for op in ops if op_def_registry.get(op) is None}


def warm_up(model: Model, path: str) -> int:
    """Sends the model its own warm-up requests, as TF Serving does; how many there were.

    Raises:
      ValueError: there are none, or one was refused.
    """
    from tensorflow_serving.apis import prediction_log_pb2

    file = os.path.join(path, WARMUP)
    count = 0
    if os.path.isfile(file):
        for record in tf.data.TFRecordDataset(file).as_numpy_iterator():
            name, inputs = _recorded_request(prediction_log_pb2.PredictionLog.FromString(record))
            try:
                model.ask(name, inputs)
            except (tf.errors.OpError, TypeError, ValueError) as error:
                raise ValueError(f"warm-up request {count + 1}, {name!r}: {_end(error)}") from None
            count += 1
    if not count:
        raise ValueError(f"no warm-up requests in {WARMUP}: the first client would wait for the graph")
    return count


def _recorded_request(log: Any) -> tuple[str, dict[str, Any]]:
    """The signature of a recorded request, and its inputs."""
    kind = log.WhichOneof("log_type")
    request = getattr(log, kind).request
    name = request.model_spec.signature_name or "serving_default"
    if kind == "predict_log":
        return name, {key: tf.make_ndarray(value) for key, value in request.inputs.items()}
    return name, {"inputs": [row.SerializeToString() for row in request.input.example_list.examples]}


def main(model: str, requests: str, answers: str) -> None:
    """Asks the model all that the file `requests` holds and writes what came out to the file `answers`.

    The file has `requests`, a list of `{"signature": name, "inputs": {name: list}}` in which bytes are
    `{"b64": text}`; `timed`, another such request or null, with the rows that latency is measured with;
    `batch_rows`; and `memory_limit_mb`, null for none.
    """
    _die_first()
    job = json.loads(Path(requests).read_text())
    report: dict[str, Any] = {"foreign_ops": foreign_ops(model)}
    _forget_peak()
    before = _peak_mb()
    if job["memory_limit_mb"] is not None:
        _limit_address_space(job["memory_limit_mb"])
    if not report["foreign_ops"]:
        report |= _examine(model, job)
    report["memory_mb"] = _peak_mb() - before
    Path(answers).write_text(json.dumps(report, allow_nan=False))


def _examine(path: str, job: dict[str, Any]) -> dict[str, Any]:
    started = time.monotonic()
    model = Model(path)
    report: dict[str, Any] = {"load_seconds": time.monotonic() - started, "signatures": model.describe()}
    try:
        report["warmup_requests"] = warm_up(model, path)
    except ValueError as error:
        report["warmup_error"] = str(error)
    report["answers"] = [_answer(model, request) for request in job["requests"]]
    timed = job["timed"]
    if timed is not None and timed["signature"] in model.signatures:
        rows = {name: _decode(value) for name, value in timed["inputs"].items()}
        try:
            report["latency_ms"] = dict(_latency(model, timed["signature"], rows, job["batch_rows"]))
        except (tf.errors.OpError, TypeError, ValueError) as error:
            report["timing_error"] = f"signature {timed['signature']!r}: {_end(error)}"
    return report


def _answer(model: Model, request: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {"signature": request["signature"]}
    try:
        outputs = model.ask(request["signature"], {k: _decode(v) for k, v in request["inputs"].items()})
        answer["outputs"] = {name: describe(value) for name, value in outputs.items()}
    except (tf.errors.OpError, TypeError, ValueError) as error:
        answer["error"] = _end(error)
    return answer


def _latency(
    model: Model, signature: str, rows: dict[str, list], batch_rows: int
) -> Iterator[tuple[str, dict[str, float]]]:
    """Milliseconds of single rows in turn, and of batches of `batch_rows`, each after a warm-up."""
    count = len(next(iter(rows.values())))
    singles = [{name: [values[row]] for name, values in rows.items()} for row in range(count)]
    batch = {name: (values * (batch_rows // count + 1))[:batch_rows] for name, values in rows.items()}
    for kind, requests in (("single", singles), ("batch", [batch])):
        model.ask(signature, requests[0])
        seconds: list[float] = []
        end = time.perf_counter() + _LATENCY_SECONDS
        while len(seconds) < _FEWEST or (len(seconds) < _MOST and time.perf_counter() < end):
            request = requests[len(seconds) % len(requests)]
            started = time.perf_counter()
            model.ask(signature, request)
            seconds.append(time.perf_counter() - started)
        p50, p99 = np.percentile(seconds, [50, 99]) * 1_000
        yield kind, {"p50": float(p50), "p99": float(p99), "requests": len(seconds)}


def describe(value: np.ndarray) -> dict[str, Any]:
    """Shape, type, whether all numbers are finite, and the values: bytes as UTF-8, None for NaN and such."""
    numeric = np.issubdtype(value.dtype, np.number)
    plain = value.astype(np.float64) if numeric else value
    return {
        "dtype": value.dtype.name,
        "shape": list(value.shape),
        "numeric": bool(numeric),
        "finite": bool(np.isfinite(value).all()) if numeric else True,
        "values": _plain(plain.tolist()),
    }


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None  # JSON has no such numbers; `finite` says that there are some
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value


def _decode(value: Any) -> Any:
    if isinstance(value, dict):
        return base64.b64decode(value["b64"])
    return [_decode(item) for item in value] if isinstance(value, list) else value


def _spec(info: Any) -> list[Any]:
    shape = None if info.tensor_shape.unknown_rank else [int(part.size) for part in info.tensor_shape.dim]
    return [tf.as_dtype(info.dtype).name, shape]


def _end(error: Exception) -> str:
    message = error.message if isinstance(error, tf.errors.OpError) else str(error)
    return " ".join(message.split()).split(_WHERE)[0][-_SHOWN:]


def _die_first() -> None:
    """Let the kernel end this process where memory runs out, not the one that waits for it."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _limit_address_space(megabytes: float) -> None:
    """Beyond its limit the model is refused memory; the limit itself is judged by what was used."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    reserved = _RESERVED + _RESERVED_BY_CORE * (os.cpu_count() or 1)
    limit = used + int(megabytes * (1 << 20)) + reserved
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _forget_peak() -> None:
    """Linux forgets the process's peak when told so; elsewhere that of the import stays in."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak_mb() -> float:
    # Not getrusage: its peak is inherited from the process that started this one.
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


if __name__ == "__main__":
    main(*sys.argv[1:])
