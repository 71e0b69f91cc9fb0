"""What this project uses of TF Transform 1.21, whose own annotations are not published."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from tensorflow import RaggedTensor, SparseTensor, Tensor

_T = TypeVar("_T", Tensor, SparseTensor, RaggedTensor)
_R = TypeVar("_R")

class TFTransformOutput:
    def __init__(self, transform_output_dir: str) -> None: ...
    def raw_feature_spec(self) -> dict[str, Any]: ...
    # Raw features to transformed ones, each dense or sparse.
    def transform_features_layer(self) -> Callable[[dict[str, Any]], dict[str, Any]]: ...
    def transformed_feature_spec(self) -> dict[str, Any]: ...
    def vocabulary_by_name(self, vocab_filename: str) -> list[bytes]: ...
    def vocabulary_file_by_name(self, vocab_filename: str) -> str | None: ...
    def vocabulary_size_by_name(self, vocab_filename: str) -> int: ...

def apply_vocabulary(
    x: _T,
    deferred_vocab_filename_tensor: Tensor,
    *,
    default_value: int = -1,
    num_oov_buckets: int = 0,
    lookup_fn: Callable[..., Any] | None = None,
    file_format: str = "text",
    name: str | None = None,
) -> _T: ...
def make_and_track_object(trackable_factory_callable: Callable[[], _R], name: str | None = None) -> _R: ...
def scale_to_z_score(
    x: _T, elementwise: bool = False, name: str | None = None, output_dtype: Any = None
) -> _T: ...
def vocabulary(
    x: Tensor | SparseTensor | RaggedTensor,
    *,
    top_k: int | None = None,
    frequency_threshold: int | None = None,
    vocab_filename: str | None = None,
    store_frequency: bool | None = False,
    reserved_tokens: Sequence[str | bytes] | Tensor | None = None,
    weights: Tensor | None = None,
    labels: Tensor | SparseTensor | None = None,
    use_adjusted_mutual_info: bool = False,
    min_diff_from_avg: int | None = None,
    coverage_top_k: int | None = None,
    coverage_frequency_threshold: int | None = None,
    key_fn: Callable[[Any], Any] | None = None,
    fingerprint_shuffle: bool | None = False,
    file_format: str = "text",
    name: str | None = None,
) -> Tensor: ...
