from keras_tuner import HyperParameters
from keras_tuner.engine.metrics_tracking import MetricsTracker

class TrialStatus:
    COMPLETED: str
    FAILED: str
    RUNNING: str

class Trial:
    hyperparameters: HyperParameters
    message: str | None
    metrics: MetricsTracker
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
