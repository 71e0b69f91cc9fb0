"""TensorProto messages from and to arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pipeline.serving.errors import RequestError
from pipeline.serving.signatures import TensorSpec

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
    if tensor.dtype != tf.as_dtype(spec.dtype).as_datatype_enum:
        raise RequestError(f"Input '{name}' must be {spec.dtype}, but got: {_type_name(tensor.dtype)}")
    shape = tuple(dim.size for dim in tensor.tensor_shape.dim)
    if tensor.tensor_shape.unknown_rank or any(size < 0 for size in shape):
        raise RequestError(f"Input '{name}': TensorProto must be fully defined")
    if not spec.accepts(shape):
        raise RequestError(f"Input '{name}' must have shape {spec.describe_shape()}, but got: {list(shape)}")
    check_shape(name, shape, spec.batched)
    try:
        return np.asarray(tf.make_ndarray(tensor)).reshape(shape)
    # numpy's and TensorFlow's ways to say that the values are not as many as the shape wants.
    except (TypeError, ValueError, IndexError, OverflowError) as error:
        raise RequestError(f"Input '{name}': not a valid TensorProto: {error}") from error


def write_tensor(tensor: Any, array: np.ndarray, dtype: str) -> None:
    """Fills a TensorProto by its typed fields, as TF Serving does; many clients read those themselves."""
    import tensorflow as tf

    kind = tf.as_dtype(dtype)
    field = _FIELDS.get(dtype)
    if field is None:  # narrow floats, which such a field would hold as integers
        tensor.CopyFrom(tf.make_tensor_proto(array, kind, array.shape))
        return
    tensor.dtype = kind.as_datatype_enum
    for size in array.shape:
        tensor.tensor_shape.dim.add(size=size)
    getattr(tensor, field).extend(array.ravel().tolist())


def _type_name(number: int) -> str:
    import tensorflow as tf

    try:
        return str(tf.as_dtype(number).name)
    except TypeError:
        return f"type {number}"
