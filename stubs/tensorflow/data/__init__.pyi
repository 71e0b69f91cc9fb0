from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar, overload

import numpy as np
from tensorflow import Tensor
from tensorflow._aliases import DTypeLike, TensorLike
from tensorflow.data import experimental as experimental
from tensorflow.data.experimental import AutoShardPolicy

_T = TypeVar("_T")
_U = TypeVar("_U")
_A = TypeVar("_A")
_B = TypeVar("_B")
_C = TypeVar("_C")

AUTOTUNE: int

class _Distribute:
    auto_shard_policy: AutoShardPolicy

class Options:
    @property
    def experimental_distribute(self) -> _Distribute: ...

class NumpyIterator(Iterator[_T]):
    def __next__(self) -> _T: ...

# Of elements _T; the function of `map` and its kind gets those of a tuple one by one.
class Dataset(Generic[_T]):
    @staticmethod
    def from_generator(
        generator: Callable[..., object],
        output_types: Any = None,
        output_shapes: Any = None,
        args: Sequence[object] | None = None,
        output_signature: Any = None,
        name: str | None = None,
    ) -> Dataset[Any]: ...
    @overload
    @staticmethod
    def from_tensors(
        tensors: Tensor | np.ndarray[Any, Any] | float, name: str | None = None
    ) -> Dataset[Tensor]: ...
    @overload
    @staticmethod
    def from_tensors(tensors: object, name: str | None = None) -> Dataset[Any]: ...
    @overload
    @staticmethod
    def from_tensor_slices(
        tensors: Tensor | np.ndarray[Any, Any] | list[Any], name: str | None = None
    ) -> Dataset[Tensor]: ...
    @overload
    @staticmethod
    def from_tensor_slices(tensors: object, name: str | None = None) -> Dataset[Any]: ...
    @staticmethod
    def random(
        seed: int | None = None, rerandomize_each_iteration: bool | None = None, name: str | None = None
    ) -> Dataset[Tensor]: ...
    @staticmethod
    def range(
        *args: TensorLike, output_type: DTypeLike = ..., name: str | None = None
    ) -> Dataset[Tensor]: ...
    @staticmethod
    def zip(*args: Dataset[Any], datasets: Any = None, name: str | None = None) -> Dataset[Any]: ...
    @property
    def element_spec(self) -> Any: ...
    def __iter__(self) -> Iterator[_T]: ...
    def __len__(self) -> int: ...
    def apply(self, transformation_func: Callable[[Dataset[_T]], Dataset[_U]]) -> Dataset[_U]: ...
    def as_numpy_iterator(self) -> NumpyIterator[Any]: ...
    def batch(
        self,
        batch_size: TensorLike,
        drop_remainder: bool = False,
        num_parallel_calls: int | None = None,
        deterministic: bool | None = None,
        name: str | None = None,
    ) -> Dataset[_T]: ...
    def cache(self, filename: str = "", name: str | None = None) -> Dataset[_T]: ...
    def cardinality(self) -> Tensor: ...
    def enumerate(self, start: TensorLike = 0, name: str | None = None) -> Dataset[tuple[Tensor, _T]]: ...
    @overload
    def filter(
        self: Dataset[tuple[_A, _B]], predicate: Callable[[_A, _B], Tensor], name: str | None = None
    ) -> Dataset[tuple[_A, _B]]: ...
    @overload
    def filter(self, predicate: Callable[[_T], Tensor], name: str | None = None) -> Dataset[_T]: ...
    def flat_map(self, map_func: Callable[[_T], Dataset[_U]], name: str | None = None) -> Dataset[_U]: ...
    @overload
    def map(
        self: Dataset[tuple[_A, _B]],
        map_func: Callable[[_A, _B], _U],
        num_parallel_calls: int | None = None,
        deterministic: bool | None = None,
        synchronous: bool | None = None,
        use_unbounded_threadpool: bool = False,
        name: str | None = None,
    ) -> Dataset[_U]: ...
    @overload
    def map(
        self: Dataset[tuple[_A, _B, _C]],
        map_func: Callable[[_A, _B, _C], _U],
        num_parallel_calls: int | None = None,
        deterministic: bool | None = None,
        synchronous: bool | None = None,
        use_unbounded_threadpool: bool = False,
        name: str | None = None,
    ) -> Dataset[_U]: ...
    @overload
    def map(
        self,
        map_func: Callable[[_T], _U],
        num_parallel_calls: int | None = None,
        deterministic: bool | None = None,
        synchronous: bool | None = None,
        use_unbounded_threadpool: bool = False,
        name: str | None = None,
    ) -> Dataset[_U]: ...
    def options(self) -> Options: ...
    def prefetch(self, buffer_size: TensorLike, name: str | None = None) -> Dataset[_T]: ...
    def reduce(
        self, initial_state: _U, reduce_func: Callable[[_U, _T], _U], name: str | None = None
    ) -> _U: ...
    def repeat(self, count: TensorLike | None = None, name: str | None = None) -> Dataset[_T]: ...
    def shuffle(
        self,
        buffer_size: TensorLike,
        seed: TensorLike | None = None,
        reshuffle_each_iteration: bool | None = True,
        name: str | None = None,
    ) -> Dataset[_T]: ...
    def skip(self, count: TensorLike, name: str | None = None) -> Dataset[_T]: ...
    def take(self, count: TensorLike, name: str | None = None) -> Dataset[_T]: ...
    def unbatch(self, name: str | None = None) -> Dataset[_T]: ...
    def with_options(self, options: Options, name: str | None = None) -> Dataset[_T]: ...

class TFRecordDataset(Dataset[Tensor]):
    def __init__(
        self,
        filenames: TensorLike,
        compression_type: str | None = None,
        buffer_size: int | None = None,
        num_parallel_reads: int | None = None,
        name: str | None = None,
    ) -> None: ...
