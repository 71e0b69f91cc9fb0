from collections.abc import Callable
from enum import IntEnum
from typing import TypeVar

from tensorflow._aliases import TensorLike
from tensorflow.data import Dataset

_T = TypeVar("_T")

class AutoShardPolicy(IntEnum):
    OFF = -1
    AUTO = 0
    FILE = 1
    DATA = 2
    HINT = 3

def assert_cardinality(expected_cardinality: TensorLike) -> Callable[[Dataset[_T]], Dataset[_T]]: ...
