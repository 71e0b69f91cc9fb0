from collections.abc import Sequence

from tensorflow import RaggedTensor
from tensorflow._aliases import DTypeLike

def boolean_mask(data: RaggedTensor, mask: RaggedTensor, name: str | None = None) -> RaggedTensor: ...
def constant(
    pylist: Sequence[object],
    dtype: DTypeLike | None = None,
    ragged_rank: int | None = None,
    inner_shape: Sequence[int] | None = None,
    name: str | None = None,
    row_splits_dtype: DTypeLike = ...,
) -> RaggedTensor: ...
