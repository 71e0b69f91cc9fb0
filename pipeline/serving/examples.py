"""Classify and Regress: tf.Examples in, classes or numbers out, by the rules of TF Serving.

A signature is for Classify if it takes `inputs`, serialized examples, and gives `classes`, `scores` or both;
for Regress if it gives `outputs`. As TF Serving does by default, the method name that the SavedModel
carries is not looked at: TensorFlow 2 writes the same one for all signatures.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from pipeline.serving.errors import RequestError, check_rows
from pipeline.serving.json_body import Word, from_base64, is_base64, parse_call
from pipeline.serving.signatures import ModelSignature, as_objects

INPUTS, OUTPUTS, CLASSES, SCORES = "inputs", "outputs", "classes", "scores"
CLASSIFY, REGRESS = "classify", "regress"
_KNOWN_KEYS = {"signature_name", "context", "examples"}
_LARGEST_INTEGER = 2**63 - 1


def check_signature(signature: ModelSignature, method: str) -> None:
    """Refuses a signature that is not for `method`, one of CLASSIFY and REGRESS."""
    if list(signature.inputs) != [INPUTS] or signature.inputs[INPUTS].dtype != "string":
        noun = "classification" if method == CLASSIFY else "regression"
        raise RequestError(
            f"No {noun} inputs found in SignatureDef: signature '{signature.name}' takes "
            f"{', '.join(signature.inputs)}, not '{INPUTS}'; name another with signature_name",
            code="INVALID_ARGUMENT" if method == CLASSIFY else "FAILED_PRECONDITION",
        )
    given = set(signature.outputs)
    if method == CLASSIFY and not (given <= {CLASSES, SCORES}):
        raise RequestError(
            "Expected classification signature outputs to contain at least one of "
            f'"{CLASSES}" or "{SCORES}". Signature \'{signature.name}\' gives {", ".join(sorted(given))}'
        )
    if method == REGRESS and given != {OUTPUTS}:
        raise RequestError(
            f"No regression outputs found in SignatureDef: signature '{signature.name}' gives "
            f"{', '.join(sorted(given))}, not '{OUTPUTS}'",
            code="FAILED_PRECONDITION",
        )


def decode_examples(body: bytes, max_batch: int, most: int) -> tuple[str, np.ndarray]:
    """The JSON body of a classify or regress call, of up to `max_batch` rows and `most` bytes in examples.

    Returns:
        The signature's name, empty for the default, and serialized examples, bytes [batch].
    Raises:
        RequestError: it is no such body.
    """
    document, name = parse_call(body, _KNOWN_KEYS, "signature_name, context and examples")
    rows = document.get("examples")
    if not isinstance(rows, list) or not rows:
        raise RequestError("Expecting 'examples' value to be a non-empty list/array")
    check_rows("examples", len(rows), max_batch)
    context = document.get("context", {})
    for position, row in enumerate([context, *rows]):
        if not isinstance(row, dict):
            which = f"element {position - 1} of 'examples'" if position else "'context'"
            raise RequestError(f"Expecting {which} to be an object")
    return name, as_array((_serialize({**context, **row}) for row in rows), most)


def as_array(examples: Iterable[bytes], most: float = math.inf) -> np.ndarray:
    """Serialized examples as the array that a signature takes, [batch].

    Raises:
        RequestError: they are more than `most` bytes, as what is common to all is in each of them.
    """
    rows, size = [], 0
    for example in examples:
        rows.append(example)
        size += len(example)
        if size > most:
            raise RequestError(
                f"the examples are more than {most} bytes, each with the context; send fewer rows a request"
            )
    return as_objects(rows)


def _serialize(row: dict[str, Any]) -> bytes:
    import tensorflow as tf

    features = {name: _feature(name, value) for name, value in row.items()}
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def _feature(name: str, value: Any) -> Any:
    """A value or a list of values of one kind; whole numbers become integers, as in TF Serving."""
    import tensorflow as tf

    values = value if isinstance(value, list) else [value]
    # An integer that no integer of TensorFlow's holds is a float, as in RapidJSON.
    values = [_as_float(item) if type(item) is int and abs(item) >= 2**64 else item for item in values]
    kinds = {type(item) for item in values}
    if not kinds:
        return tf.train.Feature()
    if kinds <= {str, dict}:
        if not all(isinstance(item, str) or is_base64(item) for item in values):
            raise RequestError(f"Example feature '{name}' is neither text nor base64")
        try:
            texts = [item.encode() if isinstance(item, str) else from_base64(item["b64"]) for item in values]
        except ValueError:
            raise RequestError(f"Example feature '{name}' is neither text nor base64") from None
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=texts))
    if kinds <= {int, bool} and all(-_LARGEST_INTEGER - 1 <= item <= _LARGEST_INTEGER for item in values):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=list(map(int, values))))
    if kinds <= {float, Word} and all(abs(item) < 3.4e38 for item in values if type(item) is float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    raise RequestError(f"Example feature '{name}' must hold numbers of one kind, or texts")


def _as_float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return 1e308 if value > 0 else -1e308  # refused as too large


def classes_of(outputs: Mapping[str, np.ndarray]) -> list[list[tuple[str, float]]]:
    """Return the answer of Classify: for each row its classes, each a label and a score; [batch, classes]."""
    parts = {name: outputs[name] for name in (CLASSES, SCORES) if name in outputs}
    shapes = {array.shape for array in parts.values()}
    if len(shapes) != 1 or len(next(iter(shapes))) != 2:
        raise RequestError(f"Expected Tensors '{CLASSES}' and '{SCORES}' of one shape [batch, num_classes]")
    [shape] = shapes
    labels = parts[CLASSES] if CLASSES in parts else np.full(shape, b"", dtype=object)
    scores = parts[SCORES] if SCORES in parts else np.zeros(shape, np.float32)
    return [
        [(_text(label), float(str(score))) for label, score in zip(*row, strict=True)]
        for row in zip(labels, scores, strict=True)
    ]


def values_of(outputs: Mapping[str, np.ndarray]) -> list[float]:
    """Return the answer of Regress: one number a row, from [batch] or [batch, 1]."""
    array = outputs[OUTPUTS]
    if array.ndim not in (1, 2) or (array.ndim == 2 and array.shape[1] != 1):
        raise RequestError(
            f"Expected output Tensor shape to be [batch_size] or [batch_size, 1], got {array.shape}"
        )
    return [float(str(value)) for value in array.ravel()]


def encode_results(results: list[Any]) -> bytes:
    """The JSON body of an answer."""
    return json.dumps({"results": results}, ensure_ascii=False, separators=(",", ":")).encode()


def _text(label: Any) -> str:
    return label.decode("utf-8", "replace") if isinstance(label, bytes) else str(label)
