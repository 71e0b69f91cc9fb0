"""Loads an exported model and answers requests, importing TensorFlow and nothing of this project.

tensorflow-text is imported for a model that holds its ops, as TF Serving has them.

Run as a script, in a process of its own: `python -I probe.py MODEL REQUESTS ANSWERS`. A model that
needs our code, crashes or hangs shows it here and not in production.
"""

from __future__ import annotations

import base64
import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

# The end of an error says what is wrong; TensorFlow begins with where.
_SHOWN = 300


def main(model: str, requests: str, answers: str) -> None:
    """Answers every request of the file `requests` and writes what came out to the file `answers`.

    A request is `{"signature": name, "inputs": {name: list}}`; bytes are `{"b64": text}`.
    """
    started = time.monotonic()
    signatures = load(model).signatures
    load_seconds = time.monotonic() - started
    found = []
    for request in json.loads(Path(requests).read_text()):
        answer: dict[str, Any] = {"signature": request["signature"]}
        if request["signature"] not in signatures:
            answer["error"] = f"no such signature; the model has {', '.join(sorted(signatures))}"
        else:
            started = time.monotonic()
            try:
                outputs = ask(signatures[request["signature"]], request["inputs"])
                answer["outputs"] = {name: describe(value) for name, value in outputs.items()}
            except (tf.errors.OpError, TypeError, ValueError) as error:
                answer["error"] = " ".join(str(error).split())[-_SHOWN:]
            answer["seconds"] = time.monotonic() - started
        found.append(answer)
    Path(answers).write_text(json.dumps({"load_seconds": load_seconds, "answers": found}))


def load(model: str) -> Any:
    """The SavedModel; the one library of ops that TF Serving links too is imported if it asks for it."""
    try:
        return tf.saved_model.load(model)
    except (tf.errors.OpError, OSError, ValueError, RuntimeError) as error:
        if "Op type not registered" not in str(error):
            raise
    importlib.import_module("tensorflow_text")
    return tf.saved_model.load(model)


def ask(signature: Any, inputs: dict[str, list]) -> dict[str, np.ndarray]:
    """Calls one signature with plain lists."""
    specs = signature.structured_input_signature[1]
    unknown = sorted(set(inputs) ^ set(specs))
    if unknown:
        raise ValueError(f"inputs differ from the signature's: {', '.join(unknown)}")
    tensors = {name: tf.constant(_decode(value), dtype=specs[name].dtype) for name, value in inputs.items()}
    return {name: value.numpy() for name, value in signature(**tensors).items()}


def describe(value: np.ndarray) -> dict[str, Any]:
    """Shape, type, whether all numbers are finite, and the values."""
    numeric = np.issubdtype(value.dtype, np.number)
    return {
        "dtype": value.dtype.name,
        "shape": list(value.shape),
        "finite": bool(np.isfinite(value).all()) if numeric else True,
        "values": value.astype(np.float64).tolist() if numeric else None,
    }


def _decode(value: Any) -> Any:
    if isinstance(value, dict):
        return base64.b64decode(value["b64"])
    return [_decode(item) for item in value] if isinstance(value, list) else value


if __name__ == "__main__":
    main(*sys.argv[1:])
