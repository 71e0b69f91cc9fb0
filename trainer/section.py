"""The base classes of sections of the configuration."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

# Marks, in `Annotated`, a text that is a path all the same, such as one with a span's number in it.
IS_PATH = "a path of this machine"


class SectionMistake(ValueError):
    """Sections that do not go together, for pydantic to collect: the message begins with `[section]`."""


class Section(BaseModel):
    """A frozen section of the configuration; unknown keys are errors, and so are `nan` and `inf`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Training(Section):
    """Settings of every family's training."""

    epochs: int = Field(gt=0)
    batch_size: int = Field(128, gt=0)
    learning_rate: float = Field(1e-3, gt=0, description="the highest one")
    patience: int = Field(ge=0)
    mixed_precision: bool = Field(False, description="half precision inside the model; for GPUs")
    seed: int = 1


class ScheduledTraining(Training):
    """Settings of a training whose learning rate has a course, and whose weights and gradients are held."""

    schedule: Literal["constant", "cosine"] = "constant"
    warmup_epochs: float = Field(0.0, ge=0, description="epochs in which the learning rate rises from 0")
    final_fraction: float = Field(0.0, ge=0, le=1, description="of the learning rate, where the cosine ends")
    weight_decay: float = Field(0.0, ge=0, description="share of each weight lost a step, not of biases")
    clip_norm: float = Field(0.0, ge=0, description="largest norm of all gradients together; 0: any")

    @model_validator(mode="after")
    def _rises_in_time(self) -> Self:
        if self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"warmup_epochs = {self.warmup_epochs} leaves nothing of epochs = {self.epochs}: "
                "let the learning rate rise in fewer epochs"
            )
        return self


def path_keys(section: type[BaseModel], name: str = "") -> Iterator[tuple[str, str]]:
    """Yield section and key of every path in a section, its tables and all kinds that they can be of."""
    for key, field in section.model_fields.items():
        types: list[object] = [*_parts(field.annotation), *field.metadata]
        if Path in types or IS_PATH in types:
            yield name, key
        for table in types:
            if isinstance(table, type) and issubclass(table, BaseModel):
                yield from path_keys(table, f"{name}.{key}" if name else key)


def _parts(annotation: object) -> Iterator[object]:
    """Yield a type, and all that it is made of: members of unions, elements, marks."""
    yield annotation
    parts: tuple[object, ...] = get_args(annotation)
    for part in parts:
        yield from _parts(part)
