"""The signatures of a model: the tensors that they take and give, and checks of inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from pipeline.serving.errors import RequestError

DEFAULT_SIGNATURE = "serving_default"


@dataclass(frozen=True)
class TensorSpec:
    """Name, type and shape of a tensor; `None` is a free dimension, a shape of `None` a free rank."""

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None

    def accepts(self, shape: tuple[int, ...]) -> bool:
        """True where a tensor of `shape` fits."""
        if self.shape is None:
            return True
        return len(shape) == len(self.shape) and all(
            want is None or want == got for want, got in zip(self.shape, shape, strict=True)
        )

    @cached_property
    def batched(self) -> bool:
        """True where the first dimension is free, which in all our signatures is the batch."""
        return bool(self.shape) and self.shape is not None and self.shape[0] is None

    def describe_shape(self) -> str:
        """The shape for an error message: `[?, 784]`."""
        return "[...]" if self.shape is None else _shape_text(self.shape)


@dataclass(frozen=True)
class ModelSignature:
    """One entry point of a model: the tensors it takes and gives, by name."""

    name: str
    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]

    @cached_property
    def batched(self) -> bool:
        """True where all tensors have rows: then the rows of several requests can be answered in one call."""
        return all(spec.batched for spec in (*self.inputs.values(), *self.outputs.values()))


def as_objects(values: Sequence[Any]) -> np.ndarray:
    """Values as an array of objects, [values]: numpy's own strings would be cut at their last NUL."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def signature_of(name: str, function: Any) -> ModelSignature:
    """The specs of a loaded signature function."""
    _, inputs = function.structured_input_signature
    return ModelSignature(
        name=name,
        inputs={key: _spec(key, value) for key, value in sorted(inputs.items())},
        outputs={key: _spec(key, value) for key, value in sorted(function.structured_outputs.items())},
    )


def _spec(name: str, spec: Any) -> TensorSpec:
    shape = None if spec.shape.rank is None else tuple(spec.shape.as_list())
    return TensorSpec(name=name, dtype=spec.dtype.name, shape=shape)


def check_names(signature: ModelSignature, inputs: Mapping[str, np.ndarray]) -> None:
    """Exactly the signature's inputs, and the batched ones equally long."""
    if inputs.keys() != signature.inputs.keys():
        takes, got = ", ".join(sorted(signature.inputs)), ", ".join(sorted(inputs)) or "nothing"
        raise RequestError(f"Signature '{signature.name}' takes {takes}, but got: {got}")
    lengths = {
        name: np.shape(inputs[name])[0]
        for name, spec in signature.inputs.items()
        if spec.batched and np.ndim(inputs[name]) > 0
    }
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name}: {length}" for name, length in lengths.items())
        raise RequestError(f"Inputs must be equally long, but have lengths {listed}")


def checked(spec: TensorSpec, array: np.ndarray) -> np.ndarray:
    """`array` in the type of `spec`, if it fits: numbers never become strings, nor floats integers."""
    if not spec.accepts(array.shape):
        shape = _shape_text(array.shape)
        raise RequestError(f"Input '{spec.name}' must have shape {spec.describe_shape()}, but got: {shape}")
    if spec.dtype == "string":
        if array.dtype.kind in "OSU" or array.size == 0:
            return array.astype(object)
    elif array.dtype.name == spec.dtype or array.size == 0:
        return array.astype(spec.dtype)
    # Python's numbers arrive as int64 and float64 and may be narrowed; bools are not numbers.
    elif array.dtype.kind in "iuf" and np.can_cast(array.dtype, spec.dtype, "same_kind"):
        narrowed = array.astype(spec.dtype)
        if narrowed.dtype.kind not in "iu" or np.array_equal(narrowed, array):
            return narrowed
    raise RequestError(f"Input '{spec.name}' must be {spec.dtype}, but got: {array.dtype.name}")


def _shape_text(shape: tuple[int | None, ...]) -> str:
    return "[" + ", ".join("?" if size is None else str(size) for size in shape) + "]"
