from typing import Any

from keras_tuner import HyperParameters, Objective
from keras_tuner.engine.trial import Trial

class Oracle:
    objective: Objective
    max_trials: int
    verbose: int
    trials: dict[str, Trial]
    start_order: list[str]
    end_order: list[str]
    def __init__(
        self,
        objective: Objective | None = None,
        max_trials: int | None = None,
        hyperparameters: HyperParameters | None = None,
        allow_new_entries: bool = True,
        tune_new_entries: bool = True,
        seed: int | None = None,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int = 3,
    ) -> None: ...
    def get_best_trials(self, num_trials: int = 1) -> list[Trial]: ...
    def populate_space(self, trial_id: str) -> dict[str, Any]: ...
