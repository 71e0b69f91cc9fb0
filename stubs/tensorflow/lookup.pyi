from typing import overload

from tensorflow import RaggedTensor, Tensor
from tensorflow._aliases import DTypeLike, TensorLike

class KeyValueTensorInitializer:
    def __init__(
        self,
        keys: TensorLike,
        values: TensorLike,
        key_dtype: DTypeLike | None = None,
        value_dtype: DTypeLike | None = None,
        name: str | None = None,
    ) -> None: ...

class StaticHashTable:
    def __init__(
        self,
        initializer: KeyValueTensorInitializer,
        default_value: TensorLike,
        name: str | None = None,
        experimental_is_anonymous: bool = False,
    ) -> None: ...
    @overload
    def lookup(self, keys: TensorLike, name: str | None = None) -> Tensor: ...
    @overload
    def lookup(self, keys: RaggedTensor, name: str | None = None) -> RaggedTensor: ...

class StaticVocabularyTable:
    def __init__(
        self,
        initializer: KeyValueTensorInitializer,
        num_oov_buckets: int,
        lookup_key_dtype: DTypeLike | None = None,
        name: str | None = None,
        experimental_is_anonymous: bool = False,
    ) -> None: ...
    @overload
    def lookup(self, keys: TensorLike, name: str | None = None) -> Tensor: ...
    @overload
    def lookup(self, keys: RaggedTensor, name: str | None = None) -> RaggedTensor: ...
