from tensorflow import SparseTensor, Tensor
from tensorflow._aliases import TensorLike

def from_dense(tensor: TensorLike, name: str | None = None) -> SparseTensor: ...
def to_dense(
    sp_input: SparseTensor,
    default_value: TensorLike | None = None,
    validate_indices: bool = True,
    name: str | None = None,
) -> Tensor: ...
