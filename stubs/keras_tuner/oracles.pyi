from typing import Any

from keras_tuner import HyperParameters, Objective
from keras_tuner.engine.oracle import Oracle

class BayesianOptimizationOracle(Oracle):
    def __init__(
        self,
        objective: Objective | None = None,
        max_trials: int = 10,
        num_initial_points: int | None = None,
        alpha: float = 0.0001,
        beta: float = 2.6,
        seed: int | None = None,
        hyperparameters: HyperParameters | None = None,
        **kwargs: Any,
    ) -> None: ...

class GridSearchOracle(Oracle):
    def __init__(
        self,
        objective: Objective | None = None,
        max_trials: int | None = None,
        seed: int | None = None,
        hyperparameters: HyperParameters | None = None,
        **kwargs: Any,
    ) -> None: ...

class RandomSearchOracle(Oracle):
    def __init__(
        self,
        objective: Objective | None = None,
        max_trials: int = 10,
        seed: int | None = None,
        hyperparameters: HyperParameters | None = None,
        **kwargs: Any,
    ) -> None: ...
