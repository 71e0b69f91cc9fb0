"""What the trainer and the components are told: the parts of the configuration that shape the model."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, Self, TypeVar

from pydantic import Field, PositiveInt, model_validator

from trainer.config import PairModel, Section, Training
from trainer.dense.config import Dense, DenseTraining
from trainer.features import Label
from trainer.vae.config import Vae, VaeTraining

T = TypeVar("T")
AnyModel = Annotated[PairModel | Vae | Dense, Field(discriminator="family")]
AnyTraining = Annotated[Training | VaeTraining | DenseTraining, Field(discriminator="family")]


class VectorSpec(Section):
    """What is known of a vector before any is seen."""

    dimension: PositiveInt
    range: tuple[float, float] | None = None
    names: tuple[str, ...] = ()

    def name(self, at: int) -> str:
        """What the user calls the number at place `at`."""
        return self.names[at] if len(self.names) > 1 else f"{''.join(self.names)}[{at}]"


class Spec(Section):
    """Features, model and training of one use case; travels to TFX steps as JSON."""

    label: Label | None = None
    vector: VectorSpec | None = None
    model: AnyModel = PairModel()
    training: AnyTraining = Training()

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        check_parts(self.model, self.label, self.vector is not None)
        if self.training.family != self.model.family:
            raise ValueError(
                f"model is of family {self.model.family!r}, training of {self.training.family!r}"
            )
        return self

    def narrowed(self, fields: Collection[str]) -> str:
        """As JSON, with the features and just these `fields` of the model: a key for the cache."""
        kept: Any = {"label": True, "vector": True, "model": {"family", *fields}, "training": {"family"}}
        return self.model_dump_json(include=kept)


def narrow(value: object, kind: type[T]) -> T:
    """`value`, which a family knows to be a `kind` because `check_parts` saw to it."""
    if not isinstance(value, kind):
        raise TypeError(f"expected {kind.__name__}, got {type(value).__name__}")
    return value


def check_parts(model: AnyModel, label: Label | None, has_vector: bool) -> None:
    """Raises ValueError when the family cannot learn from such features."""
    needs_vector = not isinstance(model, PairModel)
    if needs_vector != has_vector:
        needed = (
            "vectors: give [data] vector" if needs_vector else "pairs of texts: give [data] text_a and text_b"
        )
        raise ValueError(f"family {model.family!r} learns from {needed}")
    kinds = {"pair": ("score", "binary"), "dense": ("classes",)}.get(model.family)
    if kinds is not None and (label is None or label.kind not in kinds):
        found = "no label" if label is None else f"kind = {label.kind!r}"
        raise ValueError(
            f"family {model.family!r} needs a [data] label of kind {' or '.join(kinds)}, found {found}"
        )
