from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

from tensorflow import Tensor
from tensorflow._aliases import DTypeLike, TensorLike
from tensorflow.io import gfile as gfile

class FixedLenFeature(NamedTuple):
    shape: Sequence[int | None]
    dtype: DTypeLike
    default_value: object = None

class VarLenFeature(NamedTuple):
    dtype: DTypeLike

class TFRecordOptions:
    def __init__(
        self,
        compression_type: str | None = None,
        flush_mode: int | None = None,
        input_buffer_size: int | None = None,
        output_buffer_size: int | None = None,
        window_bits: int | None = None,
        compression_level: int | None = None,
        compression_method: int | None = None,
        mem_level: int | None = None,
        compression_strategy: int | None = None,
    ) -> None: ...

class TFRecordWriter:
    def __init__(self, path: str, options: TFRecordOptions | str | None = None) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *args: object) -> None: ...
    def write(self, record: bytes) -> None: ...
    def flush(self) -> None: ...
    def close(self) -> None: ...

# Feature to tensor, dense or sparse as its specification says.
def parse_example(
    serialized: TensorLike,
    features: Mapping[str, Any],
    example_names: TensorLike | None = None,
    name: str | None = None,
) -> dict[str, Any]: ...
def read_file(filename: TensorLike, name: str | None = None) -> Tensor: ...
def encode_png(image: TensorLike, compression: int = -1, name: str | None = None) -> Tensor: ...
