"""From arrays to JSON bodies, by the rules of TF Serving's `json_tensor.cc`.

As in TF Serving, floats are the shortest text that reads back as the same number, and those that are not
finite are the bare words NaN, Infinity and -Infinity: Python's `json` reads them, strict JSON parsers do not.
Large answers are written piece by piece, and between two pieces other threads have their turn.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import orjson

from pipeline.serving.errors import RequestError
from pipeline.serving.signatures import as_objects

# TF Serving knows by this ending that a string is bytes.
_BYTES_SUFFIX = "_bytes"
# A piece of so many values takes about a millisecond.
VALUES_IN_A_PIECE = 16_384


def encode_response(outputs: Mapping[str, np.ndarray], row_format: bool) -> bytes:
    """The body of an answer: `predictions` row by row or `outputs` by name, bare where there is one output.

    Raises:
        RequestError: row format was asked for, but the outputs have no batch in common.
    """
    arrays = {name: _writable(array) for name, array in outputs.items()}
    if row_format:
        _check_rows(arrays)
        if len(arrays) == 1:
            [(name, array)] = arrays.items()
            return b'{"predictions":' + _column(name, array) + b"}"
        return b'{"predictions":[' + b",".join(_rows(arrays)) + b"]}"
    if len(arrays) == 1:
        [(name, array)] = arrays.items()
        return b'{"outputs":' + _column(name, array) + b"}"
    columns = (orjson.dumps(name) + b":" + _column(name, array) for name, array in arrays.items())
    return b'{"outputs":{' + b",".join(columns) + b"}}"


def _check_rows(outputs: Mapping[str, np.ndarray]) -> None:
    """Row format needs a common batch dimension."""
    batch = None
    for name, array in outputs.items():
        if array.ndim == 0:
            raise RequestError(
                f"Tensor name: {name} has no shape information; ask in column format ('inputs')"
            )
        if batch is not None and len(array) != batch:
            raise RequestError(
                f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {batch}"
            )
        batch = len(array)


def _writable(array: np.ndarray) -> np.ndarray:
    """The array in a type that JSON has a text for."""
    kind = array.dtype.kind
    # ml_dtypes' bfloat16 calls itself a void.
    if kind == "V" and array.dtype.name == "bfloat16":
        array = array.astype(np.float32)
    elif kind not in "biufOS":
        raise RequestError(f"Failed to write JSON value for tensor type: {array.dtype.name}")
    # orjson reads memory in the order of the rows only.
    return array if array.flags.c_contiguous else array.copy()


def _rows(outputs: Mapping[str, np.ndarray]) -> Iterator[bytes]:
    """Pieces of the list of rows, to be joined by commas."""
    [rows] = {len(array) for array in outputs.values()}
    step = max(1, VALUES_IN_A_PIECE * rows // max(1, sum(array.size for array in outputs.values())))
    for start in range(0, rows, step):
        parts = {name: array[start : start + step] for name, array in outputs.items()}
        if len(parts) == 1:
            [(name, part)] = parts.items()
            yield _dump(part, name)[1:-1]
        else:
            columns = [_column_of_rows(name, part) for name, part in parts.items()]
            yield b",".join(b"{" + b",".join(row) + b"}" for row in zip(*columns, strict=True))


def _column_of_rows(name: str, part: np.ndarray) -> list[bytes]:
    """`"name":value` of each row."""
    key = orjson.dumps(name) + b":"
    if part.ndim == 1 and part.dtype.kind != "O" and part.dtype.kind != "S":
        return [key + value for value in _dump(part, name)[1:-1].split(b",")] if len(part) else []
    return [key + _dump(row, name) for row in part]


def _column(name: str, array: Any) -> bytes:
    """An array, in one piece or in many."""
    if not isinstance(array, np.ndarray) or array.ndim == 0 or array.size <= VALUES_IN_A_PIECE:
        return _dump(array, name)
    return b"[" + b",".join(_rows({name: array})) + b"]"


def _dump(array: Any, name: str) -> bytes:
    """The JSON of an array, or of one of its values."""
    convert: Callable[[Any], Any] = _base64 if name.endswith(_BYTES_SUFFIX) else _text
    if isinstance(array, bytes):  # numpy would cut it at its last NUL
        return orjson.dumps(convert(array))
    array = np.asarray(array)
    if array.dtype.kind in "OS":
        return orjson.dumps(_map_leaves(array, convert))
    if array.dtype.kind == "f" and (array.itemsize < 4 or not np.isfinite(array).all()):
        # The float32 0.2 is 0.20000000298 as a double; this is the shortest text that reads back.
        leaves = _map_leaves(array, lambda value: float(str(value)))
        return json.dumps(leaves, separators=(",", ":")).encode()
    if array.ndim == 0:  # which orjson would write as a double
        return orjson.dumps(array.reshape(1), option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]
    return orjson.dumps(array, option=orjson.OPT_SERIALIZE_NUMPY)


def _map_leaves(array: np.ndarray, convert: Callable[[Any], Any]) -> Any:
    return as_objects([convert(item) for item in array.ravel()]).reshape(array.shape).tolist()


def _text(value: bytes) -> str:
    # TF Serving copies the bytes, even if the body is no UTF-8 then; the replacement character keeps it JSON.
    return value.decode("utf-8", "replace")


def _base64(value: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(value).decode("ascii")}
