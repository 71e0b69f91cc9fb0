from collections.abc import Iterable
from typing import Any

from tensorflow._messages import Message, Repeated
from tensorflow.train import Example

class ExampleList(Message):
    examples: Repeated[Example]
    def __init__(self, *, examples: Iterable[Example] = ...) -> None: ...

class ExampleListWithContext(Message):
    examples: Repeated[Example]
    context: Example
    def __init__(self, *, examples: Iterable[Example] = ..., context: Example = ...) -> None: ...

class Input(Message):
    example_list: ExampleList
    example_list_with_context: ExampleListWithContext
    def __init__(self, **fields: Any) -> None: ...
