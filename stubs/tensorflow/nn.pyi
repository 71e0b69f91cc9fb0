from tensorflow import Tensor
from tensorflow._aliases import TensorLike

def sigmoid_cross_entropy_with_logits(
    labels: TensorLike | None = None, logits: TensorLike | None = None, name: str | None = None
) -> Tensor: ...
