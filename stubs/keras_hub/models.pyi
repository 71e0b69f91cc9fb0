from typing import Any, Self

from keras import Model
from tensorflow import RaggedTensor, Tensor

class BertBackbone(Model):
    num_layers: int
    def __init__(self, vocabulary_size: int, num_layers: int, **kwargs: Any) -> None: ...
    @classmethod
    def from_preset(cls, preset: str, load_weights: bool = True, **kwargs: Any) -> Self: ...

class BertTokenizer:
    cls_token_id: int
    pad_token_id: int
    sep_token_id: int
    def __call__(self, inputs: Tensor) -> RaggedTensor: ...
    def get_vocabulary(self) -> list[str]: ...
    @classmethod
    def from_preset(cls, preset: str, config_file: str = "tokenizer.json", **kwargs: Any) -> Self: ...
