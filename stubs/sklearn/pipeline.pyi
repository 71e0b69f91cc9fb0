from typing import Any, Self

import numpy as np

class Pipeline:
    # Those of its last step.
    classes_: np.ndarray[Any, Any]
    def fit(self, X: Any, y: Any = None) -> Self: ...
    def predict_proba(self, X: Any) -> np.ndarray[Any, Any]: ...

def make_pipeline(*steps: object, memory: None = None, verbose: bool = False) -> Pipeline: ...
