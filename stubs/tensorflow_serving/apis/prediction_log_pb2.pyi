from typing import Any

from tensorflow._messages import Message

class PredictionLog(Message):
    classify_log: Any
    predict_log: Any
    regress_log: Any
    def __init__(self, **fields: Any) -> None: ...
