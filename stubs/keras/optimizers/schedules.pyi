from tensorflow import Tensor
from tensorflow._aliases import TensorLike

class LearningRateSchedule:
    def __call__(self, step: TensorLike) -> Tensor: ...

class CosineDecay(LearningRateSchedule):
    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        alpha: float = 0.0,
        name: str = "CosineDecay",
        warmup_target: float | None = None,
        warmup_steps: int = 0,
    ) -> None: ...
