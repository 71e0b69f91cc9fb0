from collections.abc import Sequence
from typing import Any

from keras import Variable
from keras.optimizers import schedules as schedules
from keras.optimizers.schedules import LearningRateSchedule
from tensorflow import IndexedSlices, Tensor

class Optimizer:
    built: bool
    global_clipnorm: float | None
    iterations: Variable
    learning_rate: Variable
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
    @property
    def variables(self) -> list[Variable]: ...
    def add_variable(
        self,
        shape: Sequence[int],
        initializer: str = "zeros",
        dtype: str | None = None,
        aggregation: str = "none",
        layout: None = None,
        name: str | None = None,
    ) -> Variable: ...
    def apply(
        self,
        grads: Sequence[Tensor | IndexedSlices | None],
        trainable_variables: Sequence[Variable] | None = None,
    ) -> None: ...
    def build(self, variables: Sequence[Variable], /) -> None: ...
    def exclude_from_weight_decay(
        self, var_list: Sequence[Variable] | None = None, var_names: Sequence[str] | None = None
    ) -> None: ...
    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None: ...
    def _clip_gradients(
        self, grads: Sequence[Tensor | IndexedSlices | None]
    ) -> Sequence[Tensor | IndexedSlices | None]: ...
    def _get_variable_index(self, variable: object) -> int: ...

class Adam(Optimizer):
    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-07,
        amsgrad: bool = False,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        **kwargs: Any,
    ) -> None: ...

class AdamW(Adam):
    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        weight_decay: float | None = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-07,
        amsgrad: bool = False,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        **kwargs: Any,
    ) -> None: ...

class RMSprop(Optimizer):
    rho: float
    epsilon: float
    _velocities: list[Variable]
    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-07,
        centered: bool = False,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        **kwargs: Any,
    ) -> None: ...
