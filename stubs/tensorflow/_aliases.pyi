from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from tensorflow import DType, Tensor, TensorShape

# What an op makes a tensor of.
TensorLike: TypeAlias = (
    Tensor | np.ndarray[Any, Any] | np.generic[Any] | float | str | bytes | Sequence[TensorLike]
)
ShapeLike: TypeAlias = TensorShape | Tensor | Sequence[int | Tensor | None] | None
DTypeLike: TypeAlias = DType | str | type[np.generic[Any]] | np.dtype[Any]
