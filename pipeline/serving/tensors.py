"""TensorProto messages from and to arrays."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from pipeline.serving.encoding import VALUES_IN_A_PIECE
from pipeline.serving.errors import RequestError
from pipeline.serving.signatures import TensorSpec, as_objects

_FIELDS = {
    "float32": "float_val",
    "float64": "double_val",
    "int64": "int64_val",
    "uint64": "uint64_val",
    "uint32": "uint32_val",
    "bool": "bool_val",
    "string": "string_val",
    **dict.fromkeys(("int8", "int16", "int32", "uint8", "uint16"), "int_val"),
}


def read_tensor(
    tensor: Any, spec: TensorSpec, check_shape: Callable[[str, tuple[int, ...], bool], None]
) -> np.ndarray:
    """The values of a TensorProto that fits `spec`.

    The shape is looked at first, because a small message can claim a large one: `check_shape` gets name,
    shape and whether it is batched, and raises where that is too much.

    Raises:
        RequestError: it does not fit, or is no valid tensor.
    """
    import tensorflow as tf

    name = spec.name
    if tensor.dtype != _number(spec.dtype):
        raise RequestError(f"Input '{name}' must be {spec.dtype}, but got: {_type_name(tensor.dtype)}")
    shape = tuple(dim.size for dim in tensor.tensor_shape.dim)
    if tensor.tensor_shape.unknown_rank or any(size < 0 for size in shape):
        raise RequestError(f"Input '{name}': TensorProto must be fully defined")
    if not spec.accepts(shape):
        raise RequestError(f"Input '{name}' must have shape {spec.describe_shape()}, but got: {list(shape)}")
    check_shape(name, shape, spec.batched)
    try:
        if spec.dtype == "string":
            return _strings(tensor, math.prod(shape)).reshape(shape)
        return np.asarray(tf.make_ndarray(tensor)).reshape(shape)
    # numpy's and TensorFlow's ways to say that the values are not as many as the shape wants.
    except (TypeError, ValueError, IndexError, OverflowError) as error:
        raise RequestError(f"Input '{name}': not a valid TensorProto: {error}") from error


def _strings(tensor: Any, count: int) -> np.ndarray:
    """The strings of a message; what is missing is as the last one, as in TensorFlow."""
    if not tensor.tensor_content and len(tensor.string_val) > count:
        raise ValueError(f"{len(tensor.string_val)} values are more than its shape has room for")
    values = _split(tensor.tensor_content, count) if tensor.tensor_content else list(tensor.string_val)
    if len(values) < count:
        values += [values[-1] if values else b""] * (count - len(values))
    return as_objects(values)


def _split(content: bytes, count: int) -> list[bytes]:
    """Strings as C++ packs them into `tensor_content`: the length of each as a varint, then all of them."""
    lengths, at = [], 0
    for _ in range(count):
        length = shift = 0
        while True:
            if at >= len(content) or shift > 28:
                raise ValueError("tensor_content ends within the lengths of its strings")
            byte = content[at]
            length |= (byte & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if byte < 0x80:
                break
        lengths.append(length)
    if at + sum(lengths) != len(content):
        raise ValueError("tensor_content does not hold the strings whose lengths it begins with")
    ends = list(accumulate(lengths, initial=at))
    return [content[start:end] for start, end in pairwise(ends)]


def write_tensor(tensor: Any, array: np.ndarray, dtype: str) -> None:
    """Fills a TensorProto by its typed fields, as TF Serving does; many clients read those themselves."""
    import tensorflow as tf

    field = _FIELDS.get(dtype)
    if field is None:  # narrow floats, which such a field would hold as integers
        tensor.CopyFrom(tf.make_tensor_proto(array, tf.as_dtype(dtype), array.shape))
        return
    tensor.dtype = _number(dtype)
    for size in array.shape:
        tensor.tensor_shape.dim.add(size=size)
    flat = array.ravel()
    for start in range(0, len(flat), VALUES_IN_A_PIECE):  # between two, other threads have their turn
        getattr(tensor, field).extend(flat[start : start + VALUES_IN_A_PIECE].tolist())


@cache
def _number(dtype: str) -> int:
    """The DataType of a type's name."""
    import tensorflow as tf

    return int(tf.as_dtype(dtype).as_datatype_enum)


def _type_name(number: int) -> str:
    import tensorflow as tf

    try:
        return str(tf.as_dtype(number).name)
    except TypeError:
        return f"type {number}"
