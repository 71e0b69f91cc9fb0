from typing import Any

import numpy as np

class StandardScaler:
    def __init__(self, *, copy: bool = True, with_mean: bool = True, with_std: bool = True) -> None: ...

def normalize(X: Any, norm: str = "l2", *, axis: int = 1, copy: bool = True) -> np.ndarray[Any, Any]: ...
