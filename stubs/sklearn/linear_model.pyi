from typing import Any, Self

import numpy as np

class LogisticRegression:
    classes_: np.ndarray[Any, Any]
    def __init__(
        self, *, C: float = 1.0, solver: str = "lbfgs", max_iter: int = 100, **kwargs: Any
    ) -> None: ...
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self: ...
    def predict_proba(self, X: Any) -> np.ndarray[Any, Any]: ...
