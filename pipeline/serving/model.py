"""One SavedModel in memory, and `predict` on numpy arrays."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.serving.errors import RequestError, ServingError, short_line
from pipeline.serving.signatures import DEFAULT_SIGNATURE, ModelSignature, check_names, checked, signature_of

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
# Where in the graph something went wrong.
_POSITION = re.compile(r"\{\{function_node \S+\}\} ?| ?\[Op:\w+\]")


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
    signatures: Mapping[str, ModelSignature]
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
        from trainer.exporting.ops import load_model  # brings TensorFlow

        try:
            owner = load_model(str(folder))
            protos = _read_signature_def(folder)
        except ServingError:
            raise
        # The loader raises whatever it trips over in a damaged file: a dozen types, none of them documented.
        except Exception as error:
            raise ServingError(short_line(f"{folder}: cannot be loaded: {error}")) from error
        functions = dict(owner.signatures)
        if not functions:
            raise ServingError(f"{folder}: the model has no signature; export it with signatures=...")
        return cls(
            path=folder,
            version=int(folder.name) if folder.name.isdecimal() else 0,
            signatures={name: signature_of(name, function) for name, function in functions.items()},
            signature_def={name: _as_json(proto) for name, proto in protos.items()},
            signature_protos=protos,
            _functions=functions,
            _owner=owner,
        )

    def signature(self, name: str = DEFAULT_SIGNATURE) -> ModelSignature:
        """The signature called `name`, which an empty name means the default one."""
        signature = self.signatures.get(name or DEFAULT_SIGNATURE)
        if signature is None:
            known = ", ".join(sorted(self.signatures))
            raise RequestError(
                f'Serving signature name: "{name}" not found in signature def; known: {known}',
                code="FAILED_PRECONDITION",
            )
        return signature

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

    def check(self, signature: ModelSignature, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The inputs in the types that the signature takes.

        Raises:
            RequestError: other inputs than it takes, or wrong shapes or types.
        """
        check_names(signature, inputs)
        return {name: checked(spec, np.asarray(inputs[name])) for name, spec in signature.inputs.items()}

    def run(self, signature: ModelSignature, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs a signature on inputs that were checked.

        Many rows go in several calls, texts of like length together: encoders that read them in order pad
        to the longest of a call, and what a graph makes of them should stay in the caches.

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

    def _call(self, signature: ModelSignature, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
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
        except UnicodeDecodeError as error:
            # TensorFlow quotes what it was sent in its message, and cannot raise one that is no UTF-8.
            raise RequestError(_reason(bytes(error.object).decode("utf-8", "replace"))) from None
        except tf.errors.OpError as error:
            status = _STATUS.get(type(error).__name__)
            if status is None:
                raise
            raise RequestError(_reason(str(error)), *status) from error
        return {name: _to_numpy(tensor) for name, tensor in results.items()}


def _lengths(arrays: Mapping[str, np.ndarray], rows: int) -> np.ndarray:
    """Return the bytes of each row's longest string; 0 without strings."""
    lengths = np.zeros(rows, np.int64)
    for array in arrays.values():
        if array.dtype == object and array.ndim == 1:
            lengths = np.maximum(lengths, np.fromiter(map(len, array), np.int64, rows))
    return lengths


def _read_signature_def(folder: Path) -> dict[str, Any]:
    """The SignatureDef messages of the first meta graph, by name."""
    from tensorflow.core.protobuf import saved_model_pb2

    proto = saved_model_pb2.SavedModel.FromString((folder / SAVED_MODEL_FILE).read_bytes())
    return dict(sorted(proto.meta_graphs[0].signature_def.items()))


def _as_json(definition: Any) -> Any:
    """A SignatureDef in TF Serving's spelling."""
    from google.protobuf import json_format

    return json_format.MessageToDict(
        definition, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def _to_numpy(tensor: Any) -> np.ndarray:
    """The tensor's values; for a scalar too an array, which never cuts a string at its last NUL."""
    dtype = object if tensor.dtype.name == "string" else tensor.dtype.as_numpy_dtype
    array = np.empty(tensor.shape, dtype)
    array[...] = tensor.numpy()
    return array


def _reason(text: str) -> str:
    """The sentence in a TensorFlow error that tells the client what was wrong, without graph positions."""
    text = _POSITION.sub("", text)
    noise = ("Graph execution error", "Detected at node", "<stack traces", "[[{{", "(most recent call last)")
    lines = [line for line in text.splitlines() if line.strip() and not line.strip().startswith(noise)]
    return short_line(" ".join(lines) or text)
