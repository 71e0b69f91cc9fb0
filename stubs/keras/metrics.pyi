from tensorflow import Tensor
from tensorflow._aliases import TensorLike

class Metric:
    name: str

class Mean(Metric):
    def __init__(self, name: str = "mean", dtype: str | None = None) -> None: ...
    def update_state(self, values: TensorLike, sample_weight: TensorLike | None = None) -> None: ...
    def result(self) -> Tensor: ...
