from collections.abc import Sequence
from typing import Any

import numpy as np

def pad_sequences(
    sequences: Sequence[Sequence[float]],
    maxlen: int | None = None,
    dtype: str = "int32",
    padding: str = "pre",
    truncating: str = "pre",
    value: float | str = 0.0,
) -> np.ndarray[Any, Any]: ...
def set_random_seed(seed: int) -> None: ...
