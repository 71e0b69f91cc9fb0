from typing import Any

from tensorflow._messages import Message
from tensorflow_serving.apis.input_pb2 import Input
from tensorflow_serving.apis.model_pb2 import ModelSpec

class ClassificationRequest(Message):
    model_spec: ModelSpec
    input: Input
    def __init__(self, **fields: Any) -> None: ...

class ClassificationResponse(Message):
    model_spec: ModelSpec
    result: Any
    def __init__(self, **fields: Any) -> None: ...
