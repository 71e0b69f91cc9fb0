from collections.abc import Sequence
from typing import overload

from tensorflow import RaggedTensor, Tensor
from tensorflow._aliases import DTypeLike, TensorLike

@overload
def join(  # type: ignore[overload-overlap]
    inputs: Sequence[TensorLike], separator: str = "", name: str | None = None
) -> Tensor: ...
@overload
def join(
    inputs: Sequence[RaggedTensor | str], separator: str = "", name: str | None = None
) -> RaggedTensor: ...
def length(input: TensorLike, unit: str = "BYTE", name: str | None = None) -> Tensor: ...
def lower(input: TensorLike, encoding: str = "", name: str | None = None) -> Tensor: ...
def ngrams(
    data: TensorLike | RaggedTensor,
    ngram_width: int | tuple[int, ...],
    separator: str = " ",
    pad_values: str | tuple[str, str] | None = None,
    padding_width: int | None = None,
    preserve_short_sequences: bool = False,
    name: str | None = None,
) -> RaggedTensor: ...
def regex_full_match(input: TensorLike, pattern: str, name: str | None = None) -> Tensor: ...
def regex_replace(
    input: TensorLike, pattern: str, rewrite: str, replace_global: bool = True, name: str | None = None
) -> Tensor: ...
def split(
    input: TensorLike, sep: str | None = None, maxsplit: int = -1, name: str | None = None
) -> RaggedTensor: ...
def substr(
    input: TensorLike, pos: TensorLike, len: TensorLike, unit: str = "BYTE", name: str | None = None
) -> Tensor: ...
def to_hash_bucket_fast(input: TensorLike, num_buckets: int, name: str | None = None) -> Tensor: ...
def to_number(input: TensorLike, out_type: DTypeLike = ..., name: str | None = None) -> Tensor: ...
def unicode_decode(
    input: TensorLike,
    input_encoding: str,
    errors: str = "replace",
    replacement_char: int = 65533,
    replace_control_characters: bool = False,
    name: str | None = None,
) -> RaggedTensor: ...
def unicode_encode(
    input: RaggedTensor | TensorLike,
    output_encoding: str,
    errors: str = "replace",
    replacement_char: int = 65533,
    name: str | None = None,
) -> Tensor: ...
def unicode_split(
    input: TensorLike | RaggedTensor,
    input_encoding: str,
    errors: str = "replace",
    replacement_char: int = 65533,
    name: str | None = None,
) -> RaggedTensor: ...
def unicode_transcode(
    input: TensorLike,
    input_encoding: str,
    output_encoding: str,
    errors: str = "replace",
    replacement_char: int = 65533,
    replace_control_characters: bool = False,
    name: str | None = None,
) -> Tensor: ...
