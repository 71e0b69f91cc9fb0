from tensorflow import Tensor

class Initializer:
    def __call__(self, shape: tuple[int, ...], dtype: str | None = None) -> Tensor: ...

class Constant(Initializer):
    def __init__(self, value: float = 0.0) -> None: ...

class GlorotUniform(Initializer):
    def __init__(
        self,
        seed: int | None = None,
        input_axes: tuple[int, ...] | None = None,
        output_axes: tuple[int, ...] | None = None,
    ) -> None: ...

class RandomNormal(Initializer):
    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None: ...
