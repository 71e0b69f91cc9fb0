from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, overload

import numpy as np
from keras import KerasTensor, Variable
from keras.initializers import Initializer
from tensorflow import Tensor
from tensorflow._aliases import TensorLike

_Start: TypeAlias = str | Initializer | None
_Function: TypeAlias = str | Callable[..., Any] | None

class Layer:
    name: str
    trainable: bool
    built: bool
    def __init__(
        self,
        *,
        activity_regularizer: object = None,
        trainable: bool = True,
        dtype: str | None = None,
        autocast: bool = True,
        name: str | None = None,
        **kwargs: Any,
    ) -> None: ...
    @overload
    def __call__(
        self, inputs: KerasTensor | Sequence[KerasTensor], /, *args: Any, **kwargs: Any
    ) -> KerasTensor: ...
    @overload
    def __call__(self, inputs: TensorLike, /, *args: Any, **kwargs: Any) -> Tensor: ...
    def __setattr__(self, name: str, value: object) -> None: ...
    @property
    def input(self) -> Any: ...
    @property
    def output(self) -> Any: ...
    @property
    def variables(self) -> list[Variable]: ...
    @property
    def weights(self) -> list[Variable]: ...
    @property
    def trainable_variables(self) -> list[Variable]: ...
    @property
    def trainable_weights(self) -> list[Variable]: ...
    @property
    def non_trainable_variables(self) -> list[Variable]: ...
    def add_weight(
        self,
        *args: Any,
        shape: tuple[int | None, ...] | None = None,
        initializer: _Start = None,
        dtype: str | None = None,
        trainable: bool = True,
        autocast: bool = True,
        regularizer: object = None,
        constraint: object = None,
        aggregation: str = "none",
        overwrite_with_gradient: bool = False,
        name: str | None = None,
    ) -> Variable: ...
    def build(self, input_shape: Any) -> None: ...
    def count_params(self) -> int: ...
    def get_config(self) -> dict[str, Any]: ...
    def get_weights(self) -> list[np.ndarray[Any, Any]]: ...
    def set_weights(self, weights: Sequence[np.ndarray[Any, Any]]) -> None: ...

class Bidirectional(Layer):
    forward_layer: LSTM
    backward_layer: LSTM
    def __init__(
        self,
        layer: LSTM,
        merge_mode: str | None = "concat",
        weights: None = None,
        backward_layer: LSTM | None = None,
        **kwargs: Any,
    ) -> None: ...

class Concatenate(Layer):
    def __init__(self, axis: int = -1, **kwargs: Any) -> None: ...

class Conv1D(Layer):
    def __init__(
        self,
        filters: int,
        kernel_size: int,
        strides: int = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: int = 1,
        groups: int = 1,
        activation: _Function = None,
        use_bias: bool = True,
        kernel_initializer: _Start = "glorot_uniform",
        bias_initializer: _Start = "zeros",
        **kwargs: Any,
    ) -> None: ...

class Dense(Layer):
    units: int
    kernel: Variable
    bias: Variable
    kernel_initializer: Initializer
    bias_initializer: Initializer
    def __init__(
        self,
        units: int,
        activation: _Function = None,
        use_bias: bool = True,
        kernel_initializer: _Start = "glorot_uniform",
        bias_initializer: _Start = "zeros",
        **kwargs: Any,
    ) -> None: ...

class Dropout(Layer):
    def __init__(
        self,
        rate: float,
        noise_shape: tuple[int | None, ...] | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None: ...

class Embedding(Layer):
    embeddings: Variable
    def __init__(
        self, input_dim: int, output_dim: int, embeddings_initializer: _Start = "uniform", **kwargs: Any
    ) -> None: ...

class LSTM(Layer):
    activation: Callable[..., Any]
    recurrent_activation: Callable[..., Any]
    recurrent_dropout: float
    unroll: bool
    use_bias: bool
    use_cudnn: bool | str
    def __init__(
        self,
        units: int,
        activation: _Function = "tanh",
        recurrent_activation: _Function = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: _Start = "glorot_uniform",
        recurrent_initializer: _Start = "orthogonal",
        bias_initializer: _Start = "zeros",
        unit_forget_bias: bool = True,
        kernel_regularizer: object = None,
        recurrent_regularizer: object = None,
        bias_regularizer: object = None,
        activity_regularizer: object = None,
        kernel_constraint: object = None,
        recurrent_constraint: object = None,
        bias_constraint: object = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        use_cudnn: bool | str = "auto",
        **kwargs: Any,
    ) -> None: ...

class LayerNormalization(Layer):
    def __init__(self, axis: int = -1, epsilon: float = 0.001, **kwargs: Any) -> None: ...

class MultiHeadAttention(Layer):
    def __init__(self, num_heads: int, key_dim: int, **kwargs: Any) -> None: ...

class Reshape(Layer):
    def __init__(self, target_shape: tuple[int, ...], **kwargs: Any) -> None: ...
