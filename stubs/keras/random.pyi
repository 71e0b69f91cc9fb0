from collections.abc import Sequence

from tensorflow import Tensor

class SeedGenerator:
    def __init__(self, seed: int | None = None, name: str | None = None) -> None: ...

def normal(
    shape: Sequence[int | Tensor | None],
    mean: float = 0.0,
    stddev: float = 1.0,
    dtype: str | None = None,
    seed: int | SeedGenerator | None = None,
) -> Tensor: ...
