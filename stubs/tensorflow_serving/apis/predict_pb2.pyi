from collections.abc import MutableMapping
from typing import Any

from tensorflow._messages import Message, Repeated, TensorProto
from tensorflow_serving.apis.model_pb2 import ModelSpec

class PredictRequest(Message):
    model_spec: ModelSpec
    inputs: MutableMapping[str, TensorProto]
    output_filter: Repeated[str]
    def __init__(self, **fields: Any) -> None: ...

class PredictResponse(Message):
    model_spec: ModelSpec
    outputs: MutableMapping[str, TensorProto]
    def __init__(self, **fields: Any) -> None: ...
