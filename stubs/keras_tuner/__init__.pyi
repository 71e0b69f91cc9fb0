"""What this project uses of keras-tuner 1.4, which ships no types."""

from collections.abc import Sequence
from typing import Any

from keras_tuner import engine as engine, oracles as oracles
from keras_tuner.engine.oracle import Oracle as Oracle

class Objective:
    name: str
    direction: str
    def __init__(self, name: str, direction: str) -> None: ...

class HyperParameters:
    values: dict[str, Any]
    def Choice(
        self,
        name: str,
        values: Sequence[Any],
        ordered: bool | None = None,
        default: Any = None,
        parent_name: str | None = None,
        parent_values: Sequence[Any] | None = None,
    ) -> Any: ...
    def Float(
        self,
        name: str,
        min_value: float,
        max_value: float,
        step: float | None = None,
        sampling: str = "linear",
        default: float | None = None,
        parent_name: str | None = None,
        parent_values: Sequence[Any] | None = None,
    ) -> float: ...
    def Int(
        self,
        name: str,
        min_value: int,
        max_value: int,
        step: int | None = None,
        sampling: str = "linear",
        default: float | None = None,
        parent_name: str | None = None,
        parent_values: Sequence[Any] | None = None,
    ) -> int: ...
