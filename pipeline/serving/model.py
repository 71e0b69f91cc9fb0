"""One SavedModel in memory: what its signatures take and give, and `predict` on numpy arrays."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.serving.errors import RequestError, ServingError, one_line

DEFAULT_SIGNATURE = "serving_default"
SAVED_MODEL_FILE = "saved_model.pb"

# TensorFlow's errors as TF Serving answers them over REST and gRPC; anything else is 500, INTERNAL.
_STATUS = {
    "InvalidArgumentError": (400, "INVALID_ARGUMENT"),
    "FailedPreconditionError": (400, "FAILED_PRECONDITION"),
    "OutOfRangeError": (400, "OUT_OF_RANGE"),
    "ResourceExhaustedError": (429, "RESOURCE_EXHAUSTED"),
    "UnimplementedError": (501, "UNIMPLEMENTED"),
    "UnavailableError": (503, "UNAVAILABLE"),
    "DeadlineExceededError": (504, "DEADLINE_EXCEEDED"),
}

_ROWS_IN_A_CALL = 256

# Packages whose custom ops a graph may hold: TF Serving links them, here they are imported when missed.
_OP_LIBRARIES = ("tensorflow_text",)


@dataclass(frozen=True)
class TensorSpec:
    """Name, type and shape of a tensor; `None` is a free dimension, a shape of `None` a free rank."""

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None

    def accepts(self, shape: tuple[int, ...]) -> bool:
        """Whether a tensor of `shape` fits."""
        if self.shape is None:
            return True
        return len(shape) == len(self.shape) and all(
            want is None or want == got for want, got in zip(self.shape, shape, strict=True)
        )

    @property
    def batched(self) -> bool:
        """Whether the first dimension is free, which in all our signatures is the batch."""
        return bool(self.shape) and self.shape is not None and self.shape[0] is None

    def describe_shape(self) -> str:
        """The shape for an error message: `[?, 784]`."""
        return "[...]" if self.shape is None else _shape_text(self.shape)


@dataclass(frozen=True)
class Signature:
    """One entry point of a model: the tensors it takes and gives, by name."""

    name: str
    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]

    @property
    def batched(self) -> bool:
        """Whether all tensors have rows, so that the rows of several requests can be answered in one call."""
        return all(spec.batched for spec in (*self.inputs.values(), *self.outputs.values()))


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A SavedModel ready to answer; safe to call from many threads, and freed with its last reference.

    Attributes:
        path: the version directory it came from.
        version: the number in that directory's name, 0 where it is not a number.
        signatures: the entry points by name.
        signature_def: the SavedModel's own signature_def by name, as TF Serving's metadata prints it.
        signature_protos: the same as SignatureDef messages.
    """

    path: Path
    version: int
    signatures: Mapping[str, Signature]
    signature_def: Mapping[str, Any]
    signature_protos: Mapping[str, Any] = field(repr=False)
    _functions: Mapping[str, Any] = field(repr=False)
    # A signature's function does not keep the variables alive that it reads; the loaded object does.
    _owner: Any = field(repr=False)

    @classmethod
    def load(cls, path: str | Path) -> LoadedModel:
        """Reads the SavedModel in `path`.

        Raises:
            ServingError: there is none, it cannot be read or it has no signature.
        """
        folder = Path(path)
        if not (folder / SAVED_MODEL_FILE).is_file():
            raise ServingError(f"{folder}: no {SAVED_MODEL_FILE}; is this a version directory?")
        try:
            owner = _load_with_ops(folder)
            protos = _read_signature_def(folder)
        # The loader raises whatever it trips over in a damaged file: a dozen types, none of them documented.
        except Exception as error:
            raise ServingError(one_line(f"{folder}: cannot be loaded: {error}")) from error
        functions = dict(owner.signatures)
        if not functions:
            raise ServingError(f"{folder}: the model has no signature; export it with signatures=...")
        return cls(
            path=folder,
            version=int(folder.name) if folder.name.isdecimal() else 0,
            signatures={name: _signature(name, function) for name, function in functions.items()},
            signature_def={name: _as_json(proto) for name, proto in protos.items()},
            signature_protos=protos,
            _functions=functions,
            _owner=owner,
        )

    def signature(self, name: str = DEFAULT_SIGNATURE) -> Signature:
        """The signature called `name`, which an empty name means the default one."""
        found = self.signatures.get(name or DEFAULT_SIGNATURE)
        if found is None:
            known = ", ".join(sorted(self.signatures))
            raise RequestError(
                f'Serving signature name: "{name}" not found in signature def; known: {known}',
                code="FAILED_PRECONDITION",
            )
        return found

    def predict(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs one signature.

        Args:
            signature: its name; empty for `serving_default`.
            inputs: an array per input; strings as `str` or `bytes` (arrays of objects or of either type).

        Returns:
            An array per output; strings as arrays of `bytes` objects.

        Raises:
            RequestError: unknown signature, other inputs than it takes, wrong shapes or types, or values that
                the graph refuses.
        """
        entry = self.signature(signature)
        return self.run(entry, self.check(entry, inputs))

    def check(self, signature: Signature, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The inputs in the types that the signature takes.

        Raises:
            RequestError: other inputs than it takes, or wrong shapes or types.
        """
        _check_names(signature, inputs)
        return {name: _checked(spec, np.asarray(inputs[name])) for name, spec in signature.inputs.items()}

    def run(self, signature: Signature, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs a signature on inputs that were checked.

        Many rows go in several calls, texts of like length together: the graph pads texts to the longest of
        a call, and what it makes of them should stay in the caches.

        Raises:
            RequestError: values that the graph refuses.
        """
        rows = len(next(iter(arrays.values()))) if signature.batched else 0
        if rows <= _ROWS_IN_A_CALL:
            return self._call(signature, arrays)
        order = np.argsort(_lengths(arrays, rows), kind="stable")
        parts = [order[at : at + _ROWS_IN_A_CALL] for at in range(0, rows, _ROWS_IN_A_CALL)]
        answers = [
            self._call(signature, {name: array[part] for name, array in arrays.items()}) for part in parts
        ]
        outputs = {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}
        if any(len(array) != rows for array in outputs.values()):
            return self._call(signature, arrays)  # not row by row after all
        back = np.argsort(order)
        return {name: array[back] for name, array in outputs.items()}

    def _call(self, signature: Signature, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        import tensorflow as tf

        try:
            tensors = {
                name: tf.constant(array, signature.inputs[name].dtype) for name, array in arrays.items()
            }
        except (TypeError, ValueError) as error:
            raise RequestError(
                f"Signature '{signature.name}': an input cannot be converted: {error}"
            ) from error
        try:
            results = self._functions[signature.name](**tensors)
        except tf.errors.OpError as error:
            status = _STATUS.get(type(error).__name__)
            if status is None:
                raise
            raise RequestError(_reason(str(error)), *status) from error
        return {name: _to_numpy(tensor) for name, tensor in results.items()}


def _lengths(arrays: Mapping[str, np.ndarray], rows: int) -> np.ndarray:
    """What each row's longest string has, in bytes; 0 without strings."""
    lengths = np.zeros(rows, np.int64)
    for array in arrays.values():
        if array.dtype == object and array.ndim == 1:
            lengths = np.maximum(lengths, np.fromiter(map(len, array), np.int64, rows))
    return lengths


def _load_with_ops(folder: Path) -> Any:
    """Loads a SavedModel, importing the libraries of custom ops only when the graph asks for one."""
    import tensorflow as tf

    try:
        return tf.saved_model.load(str(folder))
    except (tf.errors.OpError, OSError, ValueError, RuntimeError) as error:
        if "Op type not registered" not in str(error):
            raise
        for library in _OP_LIBRARIES:
            try:
                importlib.import_module(library)
            except ImportError as missing:
                raise ServingError(f"the graph needs custom ops; install {library}: {error}") from missing
        return tf.saved_model.load(str(folder))


def _read_signature_def(folder: Path) -> dict[str, Any]:
    """The SignatureDef messages of the first meta graph, by name."""
    from tensorflow.core.protobuf import saved_model_pb2

    proto = saved_model_pb2.SavedModel.FromString((folder / SAVED_MODEL_FILE).read_bytes())
    return dict(sorted(proto.meta_graphs[0].signature_def.items()))


def _as_json(definition: Any) -> Any:
    """A SignatureDef in TF Serving's spelling."""
    from google.protobuf import json_format

    return json.loads(
        json_format.MessageToJson(
            definition, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
    )


def _signature(name: str, function: Any) -> Signature:
    """The specs of a loaded signature function."""
    _, inputs = function.structured_input_signature
    return Signature(
        name=name,
        inputs={key: _spec(key, value) for key, value in sorted(inputs.items())},
        outputs={key: _spec(key, value) for key, value in sorted(function.structured_outputs.items())},
    )


def _spec(name: str, spec: Any) -> TensorSpec:
    shape = None if spec.shape.rank is None else tuple(spec.shape.as_list())
    return TensorSpec(name=name, dtype=spec.dtype.name, shape=shape)


def _check_names(signature: Signature, inputs: Mapping[str, np.ndarray]) -> None:
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


def _checked(spec: TensorSpec, array: np.ndarray) -> np.ndarray:
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


def _to_numpy(tensor: Any) -> np.ndarray:
    """The tensor's values; for a scalar too an array, which never cuts a string at its last NUL."""
    dtype = object if tensor.dtype.name == "string" else tensor.dtype.as_numpy_dtype
    array = np.empty(tensor.shape, dtype)
    array[...] = tensor.numpy()
    return array


def _shape_text(shape: tuple[int | None, ...]) -> str:
    return "[" + ", ".join("?" if size is None else str(size) for size in shape) + "]"


def _reason(text: str) -> str:
    """The sentence in a TensorFlow error that tells the client what was wrong, without graph positions."""
    noise = ("Graph execution error", "Detected at node", "<stack traces", "[[{{", "(most recent call last)")
    lines = [line for line in text.splitlines() if line.strip() and not line.strip().startswith(noise)]
    return one_line(" ".join(lines) or text)
