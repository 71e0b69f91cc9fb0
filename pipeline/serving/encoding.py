"""From arrays to JSON bodies, by the rules of TF Serving's `json_tensor.cc`.

As in TF Serving, floats that are not finite are the bare words NaN, Infinity and -Infinity: Python's `json`
reads them, strict JSON parsers do not.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pipeline.serving.errors import RequestError

# TF Serving knows by this ending that a string is bytes.
_BYTES_SUFFIX = "_bytes"


def encode_response(outputs: Mapping[str, np.ndarray], row_format: bool) -> bytes:
    """The body of an answer: `predictions` row by row or `outputs` by name, bare where there is one output.

    Raises:
        RequestError: row format was asked for, but the outputs have no batch in common.
    """
    if row_format:
        _check_rows(outputs)
    values = {name: _to_json(name, array) for name, array in outputs.items()}
    document: dict[str, Any]
    if len(values) == 1:
        (only,) = values.values()
        document = {"predictions" if row_format else "outputs": only}
    elif row_format:
        rows = zip(*values.values(), strict=True)
        document = {"predictions": [dict(zip(values, row, strict=True)) for row in rows]}
    else:
        document = {"outputs": values}
    return json.dumps(document, ensure_ascii=False).encode()


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


def _to_json(name: str, array: np.ndarray) -> Any:
    """Nested lists of what JSON has."""
    kind = array.dtype.kind
    if kind in "biu" or array.dtype == np.float64:
        return array.tolist()
    if kind in "OS":
        return _map_leaves(array, _base64 if name.endswith(_BYTES_SUFFIX) else _text)
    # ml_dtypes' bfloat16 calls itself a void; every narrow float fits float32.
    if kind == "f" or array.dtype.name == "bfloat16":
        # 0.2 as float32 is 0.20000000298 as a double; TF Serving writes the shortest text that reads back.
        return _map_leaves(array if kind == "f" else array.astype(np.float32), _shortest)
    raise RequestError(f"Failed to write JSON value for tensor type: {array.dtype.name}", 501)


def _map_leaves(array: np.ndarray, convert: Callable[[Any], Any]) -> Any:
    converted = np.empty(array.size, dtype=object)
    converted[:] = [convert(item) for item in array.ravel()]
    return converted.reshape(array.shape).tolist()


def _shortest(value: Any) -> float:
    return float(str(value))


def _text(value: bytes) -> str:
    # TF Serving copies the bytes, even if the body is no UTF-8 then; the replacement character keeps it JSON.
    return value.decode("utf-8", "replace")


def _base64(value: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(value).decode("ascii")}
