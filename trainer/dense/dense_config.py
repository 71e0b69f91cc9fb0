"""The `[model]` and `[training]` sections of the family `dense`."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from trainer.section import Section


class Dense(Section):
    """Fully connected layers and a softmax."""

    PREPROCESSING: ClassVar[tuple[str, ...]] = ()
    EVALUATION: ClassVar[tuple[str, ...]] = ()

    family: Literal["dense"] = "dense"
    hidden: tuple[PositiveInt, ...] = Field((64, 32), min_length=1, description="units of the hidden layers")
    builder: Literal["functional", "sequential"] = "functional"


class DenseTraining(Section):
    """Settings of training: Adam on the cross-entropy."""

    family: Literal["dense"] = "dense"
    epochs: PositiveInt = 30
    batch_size: PositiveInt = 32
    learning_rate: PositiveFloat = 1e-3
    patience: NonNegativeInt = 5
    mixed_precision: bool = Field(False, description="half precision inside the model; for GPUs")
    seed: int = 1
