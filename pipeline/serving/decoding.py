"""From JSON bodies to arrays, by the rules of TF Serving's `json_tensor.cc`.

Where TF Serving is silent, this server refuses: unknown keys beside `instances`, `inputs` and
`signature_name`, and unknown names in column format. What passes here passes there too.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from pipeline.serving.errors import RequestError, check_rows
from pipeline.serving.json_body import Word, excerpt, from_base64, is_base64, parse_call
from pipeline.serving.model import LoadedModel
from pipeline.serving.signatures import ModelSignature, TensorSpec, as_objects

_KNOWN_KEYS = {"signature_name", "instances", "inputs"}
_INTEGERS = {"int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"}
_FLOATS = {"float16", "float32", "float64"}
_JSON_TYPES = {dict: "Object", list: "Array", str: "String", type(None): "Null"}


@dataclass(frozen=True)
class PredictRequest:
    """A decoded body: the signature, an array per input, and whether the answer goes out row by row."""

    signature: str
    inputs: dict[str, np.ndarray]
    row_format: bool


def decode_request(body: bytes, model: LoadedModel, max_batch: int) -> PredictRequest:
    """Reads the body of a predict call; `max_batch` bounds the rows of each batched input.

    Raises:
        RequestError: it is no such body, or does not fit the signature it names.
    """
    document, name = parse_call(body, _KNOWN_KEYS, "signature_name and instances or inputs")
    signature = model.signature(name)
    if "instances" in document and "inputs" in document:
        raise RequestError(
            "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist"
        )
    if "instances" in document:
        values = _from_instances(document["instances"], signature, max_batch)
    elif "inputs" in document:
        values = _from_columns(document["inputs"], signature)
    else:
        raise RequestError("Missing 'inputs' or 'instances' key")
    inputs = {key: _to_array(value, signature.inputs[key]) for key, value in values.items()}
    for key, array in inputs.items():
        if signature.inputs[key].batched:
            check_rows(key, len(array), max_batch)
    return PredictRequest(signature.name, inputs, row_format="instances" in document)


def _from_instances(instances: Any, signature: ModelSignature, max_batch: int) -> dict[str, list[Any]]:
    """Rows to columns."""
    if not isinstance(instances, list):
        raise RequestError("Expecting 'instances' to be a list/array")
    if not instances:
        raise RequestError("No values in 'instances' array")
    check_rows("instances", len(instances), max_batch)
    names = list(signature.inputs)
    named = _is_map(instances[0])
    if not named and len(names) != 1:
        raise RequestError(
            f"instances is a plain list, but expecting list of objects with keys {', '.join(names)}"
        )
    for position, row in enumerate(instances):
        if _is_map(row) != named:
            expected = "object" if named else "value/list"
            raise RequestError(
                f"Expecting {expected} but got {_json_type(row)} at item {position} of input list"
            )
        if named and row.keys() != signature.inputs.keys():
            raise RequestError(
                f"Failed to process element: {position} of 'instances' list. JSON object: {excerpt(row)} "
                f"keys must be equal to: {','.join(names)}"
            )
    if not named:
        return {names[0]: instances}
    return {name: [row[name] for row in instances] for name in names}


def _from_columns(columns: Any, signature: ModelSignature) -> dict[str, Any]:
    names = list(signature.inputs)
    if not _is_map(columns):
        if len(names) != 1:
            raise RequestError(
                f"inputs is a plain value/list, but expecting an object with keys {', '.join(names)}"
            )
        return {names[0]: columns}
    for name in names:
        if name not in columns:
            raise RequestError(f"Missing named input: {name} in 'inputs' object.")
    extra = columns.keys() - signature.inputs.keys()
    if extra:
        raise RequestError(
            f"Unknown named input: {min(extra)} in 'inputs' object; expecting {', '.join(names)}"
        )
    return {name: columns[name] for name in names}


def _to_array(value: Any, spec: TensorSpec) -> np.ndarray:
    """Nested lists to a dense array of the declared type and shape."""
    shape: list[int] = []
    flat: list[Any] = [value]
    # Level by level, so that the checks run at the speed of C; the spec bounds how deep a list may be.
    while flat and isinstance(flat[0], list):
        size = len(flat[0])
        if not all(isinstance(item, list) and len(item) == size for item in flat):
            raise RequestError(
                f"Input '{spec.name}': lists at level {len(shape)} differ in length, or are no lists"
            )
        shape.append(size)
        flat = list(chain.from_iterable(flat))
        if spec.shape is not None and len(shape) > len(spec.shape):
            break
    if not spec.accepts(tuple(shape)):
        raise RequestError(f"Input '{spec.name}' must have shape {spec.describe_shape()}, but got: {shape}")
    return _leaves(flat, spec).reshape(shape)


def _leaves(flat: list[Any], spec: TensorSpec) -> np.ndarray:
    """Values of one type, none of them bent to fit it."""
    if spec.dtype == "string":
        return as_objects([_to_bytes(item, spec) for item in flat])
    if spec.dtype == "bool":
        allowed: set[type] = {bool}
    elif spec.dtype in _INTEGERS:
        allowed = {int}
    elif spec.dtype in _FLOATS:
        allowed = {int, float, Word}
    else:
        raise RequestError(
            f"Input '{spec.name}': conversion of JSON to type {spec.dtype} is not implemented", 501
        )
    if not set(map(type, flat)) <= allowed:
        raise _type_error(next(item for item in flat if type(item) not in allowed), spec)
    if spec.dtype in _FLOATS:
        return _floats(flat, spec)
    try:
        # Out of range is an error here (numpy 2), never a wrap-around.
        return np.array(flat, dtype=spec.dtype)
    except OverflowError as error:
        raise RequestError(f"Input '{spec.name}': a value does not fit type: {spec.dtype}") from error


def _floats(flat: list[int | float], spec: TensorSpec) -> np.ndarray:
    dtype = np.dtype(spec.dtype)
    try:
        wide = np.array(flat, dtype=np.float64)
    except OverflowError:
        raise RequestError(f"Input '{spec.name}': a value does not fit type: {spec.dtype}") from None
    infinite = np.isinf(wide)
    if infinite.any() and any(type(flat[at]) is float for at in np.flatnonzero(infinite)):
        raise RequestError("JSON Parse error: Number too big to be stored in double.")
    too_large = np.isfinite(wide) & (np.abs(wide) > np.finfo(dtype).max)
    if too_large.any():
        raise RequestError(
            f"Input '{spec.name}': Cannot convert JSON value: {excerpt(float(wide[too_large][0]))} "
            f"to {spec.dtype} without loss of precision."
        )
    return wide.astype(dtype)


def _to_bytes(item: Any, spec: TensorSpec) -> bytes:
    if isinstance(item, str):
        try:
            return item.encode()
        except UnicodeEncodeError as error:
            raise RequestError(f"Input '{spec.name}': a string holds half of a surrogate pair") from error
    if not is_base64(item):
        raise _type_error(item, spec)
    try:
        return from_base64(item["b64"])
    except ValueError as error:
        raise RequestError(f"Input '{spec.name}': Unable to base64 decode: {error}") from error


def _is_map(value: Any) -> bool:
    return isinstance(value, dict) and not is_base64(value)


def _type_error(value: Any, spec: TensorSpec) -> RequestError:
    return RequestError(
        f"Input '{spec.name}': JSON Value: {excerpt(value)} Type: {_json_type(value)} "
        f"is not of expected type: {spec.dtype}"
    )


def _json_type(value: Any) -> str:
    return str(value) if isinstance(value, bool) else _JSON_TYPES.get(type(value), "Number")
