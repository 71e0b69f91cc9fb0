from typing import Any

from tensorflow._messages import Message

class ModelSpec(Message):
    name: str
    signature_name: str
    version: Any
    version_label: str
