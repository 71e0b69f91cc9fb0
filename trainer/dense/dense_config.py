"""The `[model]` and `[training]` sections of the family `dense`."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from trainer.section import Section, Training


class Dense(Section):
    """Fully connected layers and a softmax."""

    PREPROCESSING: ClassVar[tuple[str, ...]] = ()
    EVALUATION: ClassVar[tuple[str, ...]] = ()

    family: Literal["dense"] = "dense"
    hidden: tuple[PositiveInt, ...] = Field((64, 32), min_length=1, description="units of the hidden layers")
    builder: Literal["functional", "sequential"] = "functional"


class DenseTraining(Training):
    """Settings of training: Adam on the cross-entropy."""

    family: Literal["dense"] = "dense"
    epochs: PositiveInt = 30
    batch_size: PositiveInt = 32
    patience: NonNegativeInt = 5
