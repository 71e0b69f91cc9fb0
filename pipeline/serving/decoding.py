"""From JSON bodies to arrays, by the rules of TF Serving's `json_tensor.cc`.

Where TF Serving is silent, this server refuses: unknown keys beside `instances`, `inputs` and
`signature_name`, unknown names in column format, a key given twice, and bytes that are no UTF-8. What passes
here passes there too. As in TF Serving, the bare words NaN, Inf and Infinity are numbers, and what stands
behind the end of the object is not read.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from pipeline.serving.errors import RequestError
from pipeline.serving.model import LoadedModel
from pipeline.serving.signatures import ModelSignature, TensorSpec

_KNOWN_KEYS = {"signature_name", "instances", "inputs"}
_INTEGERS = {"int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"}
_FLOATS = {"float16", "float32", "float64"}
_JSON_TYPES = {dict: "Object", list: "Array", str: "String", type(None): "Null"}

_BLANKS = " \t\n\r"
# Words that RapidJSON reads and Python does not; strings are passed over, without a second try at any letter:
# one that has no end would take a time that grows as its square.
_WORDS = re.compile(r'"(?:[^"\\]++|\\.)*+"?|-?Inf(?:inity)?|-NaN', re.DOTALL)
_SPELLED = {"Inf": "Infinity", "-Inf": "-Infinity", "-NaN": "NaN"}
# What absl takes for padding, and the blanks that it passes over.
_PADDING, _BLANK_BYTES = "=.", re.compile(r"[ \t\n\v\f\r]")


class Word(float):
    """A number that was written as a word. An infinite one that was not is 1e400: too big for a double."""


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
    document = parse_document(body)
    unknown = document.keys() - _KNOWN_KEYS
    if unknown:
        raise RequestError(f"Unknown key '{min(unknown)}'; expecting signature_name and instances or inputs")
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise RequestError("'signature_name' key must be a string value.")
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
        if signature.inputs[key].batched and len(array) > max_batch:
            raise _too_many(key, len(array), max_batch)
    return PredictRequest(signature.name, inputs, row_format="instances" in document)


def parse_document(body: bytes) -> dict[str, Any]:
    """The JSON object that a body is.

    Raises:
        RequestError: it is none.
    """
    if not body:
        raise RequestError("JSON Parse error: The document is empty")
    try:
        text = body.decode("utf-8-sig")
        document = _first_value(text)
        if "\\ud" in text or "\\uD" in text:  # a half of a surrogate pair is no text
            json.dumps(document, ensure_ascii=False).encode()
    except UnicodeDecodeError as error:
        raise RequestError(f"JSON Parse error: not UTF-8 at offset: {error.start}") from error
    except UnicodeEncodeError as error:
        raise RequestError("JSON Parse error: a string holds half of a surrogate pair") from error
    except RecursionError as error:
        raise RequestError("JSON Parse error: nested too deeply") from error
    except ValueError as error:  # also an integer of more digits than Python reads
        raise RequestError(f"JSON Parse error: {error}") from error
    if not isinstance(document, dict):
        raise RequestError(f"JSON Value: {_excerpt(document)} Is not object")
    return document


def _first_value(text: str) -> Any:
    """The value that a text begins with."""
    start = len(text) - len(text.lstrip(_BLANKS))
    try:
        return _DECODER.raw_decode(text, start)[0]
    except json.JSONDecodeError:
        if "Inf" not in text and "-NaN" not in text:
            raise
        words = _WORDS.sub(lambda word: _SPELLED.get(word[0], word[0]), text)
        return _DECODER.raw_decode(words, start)[0]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object as a dict, unless a key comes twice and one of its values would be lost without a word."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise RequestError("JSON Parse error: an object has the same key twice")
    return members


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=Word)


def _from_instances(instances: Any, signature: ModelSignature, max_batch: int) -> dict[str, list[Any]]:
    """Rows to columns."""
    if not isinstance(instances, list):
        raise RequestError("Expecting 'instances' to be a list/array")
    if not instances:
        raise RequestError("No values in 'instances' array")
    if len(instances) > max_batch:
        raise _too_many("instances", len(instances), max_batch)
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
                f"Failed to process element: {position} of 'instances' list. JSON object: {_excerpt(row)} "
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
        array = np.empty(len(flat), dtype=object)
        array[:] = [_to_bytes(item, spec) for item in flat]
        return array
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
            f"Input '{spec.name}': Cannot convert JSON value: {_excerpt(float(wide[too_large][0]))} "
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


def from_base64(text: str) -> bytes:
    """Decode base64 by absl's rules: blanks do not count, and padding is complete or left out.

    Raises:
        ValueError: it is no base64.
    """
    letters = _BLANK_BYTES.sub("", text)
    bare = letters.rstrip(_PADDING)
    missing = -len(bare) % 4
    if missing == 3 or len(letters) - len(bare) not in (0, missing):
        raise binascii.Error("Incorrect padding")
    return base64.b64decode(bare + "=" * missing, validate=True)


def _too_many(name: str, rows: int, max_batch: int) -> RequestError:
    return RequestError(f"'{name}' holds {rows} rows, but at most {max_batch} are answered at once")


def is_base64(value: Any) -> bool:
    """True where a JSON value is TF Serving's object for bytes."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def _is_map(value: Any) -> bool:
    return isinstance(value, dict) and not is_base64(value)


def _type_error(value: Any, spec: TensorSpec) -> RequestError:
    return RequestError(
        f"Input '{spec.name}': JSON Value: {_excerpt(value)} Type: {_json_type(value)} "
        f"is not of expected type: {spec.dtype}"
    )


def _json_type(value: Any) -> str:
    return str(value) if isinstance(value, bool) else _JSON_TYPES.get(type(value), "Number")


def _excerpt(value: Any) -> str:
    """The value as JSON, cut short."""
    try:
        text = json.dumps(value)
    except RecursionError:
        return "(nested deeply)"
    return text if len(text) <= 100 else text[:97] + "..."
