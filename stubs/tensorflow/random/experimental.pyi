from tensorflow import Tensor
from tensorflow._aliases import TensorLike

def stateless_shuffle(
    value: TensorLike, seed: TensorLike, alg: str = "auto_select", name: str | None = None
) -> Tensor: ...
