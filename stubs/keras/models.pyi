from collections.abc import Callable, Sequence
from os import PathLike
from typing import Any, Literal, Self, overload

from keras import DTypePolicy, KerasTensor
from keras.callbacks import Callback, History
from keras.layers import Layer
from keras.metrics import Metric
from keras.optimizers import Optimizer
from tensorflow import Tensor
from tensorflow.distribute import Strategy

class Model(Layer):
    optimizer: Optimizer
    history: History
    stop_training: bool
    steps_per_execution: int
    jit_compile: bool
    dtype_policy: DTypePolicy
    def __init__(
        self, inputs: object = ..., outputs: object = ..., *, name: str | None = None, **kwargs: Any
    ) -> None: ...
    # Tensors in the structure that `outputs` had.
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
    @property
    def distribute_strategy(self) -> Strategy: ...
    @property
    def input_shape(self) -> Any: ...
    @property
    def output_shape(self) -> Any: ...
    @property
    def inputs(self) -> list[KerasTensor]: ...
    @property
    def outputs(self) -> list[KerasTensor]: ...
    @property
    def layers(self) -> list[Layer]: ...
    @property
    def metrics(self) -> list[Metric]: ...
    @property
    def metrics_names(self) -> list[str]: ...
    def compile(
        self,
        optimizer: str | Optimizer = "rmsprop",
        loss: str | Callable[..., Tensor] | None = None,
        loss_weights: object = None,
        metrics: Sequence[str | Metric] | None = None,
        weighted_metrics: object = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: bool | str | None = "auto",
        auto_scale_loss: bool = True,
    ) -> None: ...
    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor | None: ...
    @overload
    def evaluate(
        self, x: object = None, y: object = None, *, return_dict: Literal[True], **kwargs: Any
    ) -> dict[str, float]: ...
    @overload
    def evaluate(self, x: object = None, y: object = None, **kwargs: Any) -> Any: ...
    def fit(
        self,
        x: object = None,
        y: object = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: int | str = "auto",
        callbacks: Sequence[Callback] | None = None,
        validation_split: float = 0.0,
        validation_data: object = None,
        shuffle: bool = True,
        class_weight: dict[int, float] | None = None,
        sample_weight: object = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int = 1,
    ) -> History: ...
    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer: ...
    def predict(
        self,
        x: object,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        steps: int | None = None,
        callbacks: Sequence[Callback] | None = None,
    ) -> Any: ...
    def save(self, filepath: str | PathLike[str], overwrite: bool = True, **kwargs: Any) -> None: ...
    def train_step(self, data: Any) -> dict[str, Any]: ...
    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self: ...

class Sequential(Model):
    def __init__(
        self,
        layers: Sequence[Layer | KerasTensor] | None = None,
        trainable: bool = True,
        name: str | None = None,
    ) -> None: ...

def load_model(
    filepath: str | PathLike[str],
    custom_objects: dict[str, Any] | None = None,
    compile: bool = True,
    safe_mode: bool = True,
) -> Any: ...
