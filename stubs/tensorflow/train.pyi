from collections.abc import Iterable, Mapping, MutableMapping, MutableSequence

from tensorflow._messages import Message

class BytesList(Message):
    value: MutableSequence[bytes]
    def __init__(self, value: Iterable[bytes] = ()) -> None: ...

class FloatList(Message):
    value: MutableSequence[float]
    def __init__(self, value: Iterable[float] = ()) -> None: ...

class Int64List(Message):
    value: MutableSequence[int]
    def __init__(self, value: Iterable[int] = ()) -> None: ...

class Feature(Message):
    bytes_list: BytesList
    float_list: FloatList
    int64_list: Int64List
    def __init__(
        self, bytes_list: BytesList = ..., float_list: FloatList = ..., int64_list: Int64List = ...
    ) -> None: ...

class Features(Message):
    feature: MutableMapping[str, Feature]
    def __init__(self, feature: Mapping[str, Feature] = ...) -> None: ...

class Example(Message):
    features: Features
    def __init__(self, features: Features = ...) -> None: ...
