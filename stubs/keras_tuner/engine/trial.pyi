from typing import Any

from keras_tuner import HyperParameters

class TrialStatus:
    COMPLETED: str
    FAILED: str
    RUNNING: str

class _Metrics:
    def get_last_value(self, name: str) -> Any: ...

class Trial:
    hyperparameters: HyperParameters
    message: str | None
    metrics: _Metrics
    score: float | None
    status: str
    trial_id: str
    def __init__(
        self,
        hyperparameters: HyperParameters,
        trial_id: str | None = None,
        status: str = ...,
        message: str | None = None,
    ) -> None: ...
