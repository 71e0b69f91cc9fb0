"""The specification of a use case: the parts of the configuration that shape the model."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, Self, TypeVar

import numpy as np
from pydantic import Field, PositiveInt, model_validator

from trainer.dense.dense_config import Dense, DenseTraining
from trainer.features import Label
from trainer.pair.pair_config import PairModel, PairTraining
from trainer.section import Section, SectionMistake
from trainer.vae.vae_config import Vae, VaeTraining

T = TypeVar("T")
# Families that learn from labels, and from which kinds.
_LABELS = {"pair": ("score", "binary", "classes"), "dense": ("classes",)}
AnyModel = Annotated[PairModel | Vae | Dense, Field(discriminator="family")]
AnyTraining = Annotated[PairTraining | VaeTraining | DenseTraining, Field(discriminator="family")]


class VectorSpec(Section):
    """Properties of a vector that are known before any is read."""

    dimension: PositiveInt
    range: tuple[float, float] | None = None
    names: tuple[str, ...] = ()

    def name(self, at: int) -> str:
        """The user's name of the number at index `at`."""
        return self.names[at] if len(self.names) > 1 else f"{''.join(self.names)}[{at}]"


class Spec(Section):
    """Features, model and training of one use case; travels to TFX steps as JSON."""

    label: Label | None = None
    vector: VectorSpec | None = None
    model: AnyModel = PairModel()
    training: AnyTraining = PairTraining()

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        check_parts(self.model, self.label, self.vector is not None)
        check_training(self.training, self.label)
        check_pair(self.model, self.training)
        if self.training.family != self.model.family:
            raise ValueError(
                f"model is of family {self.model.family!r}, training of {self.training.family!r}"
            )
        return self

    def narrowed(self, fields: Collection[str]) -> str:
        """The features and just these `fields` of the model, as JSON: a key for the cache."""
        kept: Any = {"label": True, "vector": True, "model": {"family", *fields}, "training": {"family"}}
        return self.model_dump_json(include=kept)

    def task(self) -> str:
        """The task that the model solves, as JSON; metrics of models with other tasks cannot be compared."""
        kept: Any = {"model": {"family"}, "vector": {"dimension"}}
        if self.model.family in _LABELS:
            kept["label"] = {"kind", "range", "classes", "positive"}
        return self.model_dump_json(include=kept)


def narrow(value: object, kind: type[T]) -> T:
    """`value`, which the caller knows to be a `kind`: `check_parts` or the builder of a model saw to it.

    Raises:
      TypeError: it is something else.
    """
    if not isinstance(value, kind):
        raise TypeError(f"expected {kind.__name__}, got {type(value).__name__}")
    return value


def check_parts(model: AnyModel, label: Label | None, has_vector: bool) -> None:
    """Raises ValueError when the family cannot learn from such features."""
    needs_vector = not isinstance(model, PairModel)
    if needs_vector != has_vector:
        texts, vectors = "pairs of texts: give [data] text_a and text_b", "vectors: give [data] vector"
        raise ValueError(f"family {model.family!r} learns from {vectors if needs_vector else texts}")
    kinds = _LABELS.get(model.family)
    if kinds is not None and (label is None or label.kind not in kinds):
        given = "no label" if label is None else f"kind = {label.kind!r}"
        raise ValueError(
            f"family {model.family!r} needs a [data] label of kind {' or '.join(kinds)}, found {given}"
        )
    if isinstance(model, PairModel) and model.head == "cosine" and label is not None and label.classes:
        raise ValueError("head = 'cosine' gives one number, not classes: use 'interaction', or leave it out")


def check_weights(model: AnyModel) -> None:
    """Raises ValueError when pretrained weights are given to another encoder. Of a whole model only: a
    narrowed one may have the weights and not the encoder.
    """
    if isinstance(model, PairModel) and model.weights and model.encoder != "pretrained":
        raise ValueError(f"weights is for encoder = 'pretrained', not for {model.encoder!r}: remove it")


def check_range(model: AnyModel, declared: tuple[float, float] | None) -> None:
    """Raises ValueError when vectors have no range to be scaled by. Of a whole model only, like the above."""
    if not isinstance(model, Vae) or model.likelihood != "bernoulli":
        return
    if declared is None:
        raise SectionMistake(
            '[model] likelihood = "bernoulli" needs [data.vector] range, the lowest and highest value that '
            'there can be: declare it, or set likelihood = "gaussian"'
        )
    low, high = declared
    if np.float32(low) == np.float32(high):
        raise SectionMistake(
            f"[data.vector] range = {[low, high]} is one number in float32, in which vectors are kept: "
            "subtract what its values share, or widen it"
        )


def check_training(training: AnyTraining, label: Label | None) -> None:
    """Raises ValueError when a pair's loss is not for such labels."""
    if not isinstance(training, PairTraining) or label is None:
        return
    classes = label.kind == "classes"
    if classes and training.loss not in (None, "cross_entropy"):
        raise ValueError(f"loss = {training.loss!r} is not for classes: use 'cross_entropy', or leave it out")
    if training.loss == "in_batch" and label.kind != "binary":
        raise ValueError("loss = 'in_batch' is for pairs that match: give a [data] label of kind binary")
    if training.label_smoothing and training.loss_for(label.kind) != "cross_entropy":
        raise ValueError("label_smoothing belongs to loss = 'cross_entropy': set that too")
    if training.class_weights != "none" and label.kind == "score":
        raise ValueError("class_weights is for labels of kind binary or classes: remove it")
    if training.class_weights != "none" and training.loss_for(label.kind) not in ("cross_entropy", "mse"):
        raise ValueError(f"loss = {training.loss!r} compares rows with each other: remove class_weights")


def check_pair(model: AnyModel, training: AnyTraining) -> None:
    """Raises ValueError when a key says something of no use to this model, or a part would stay untrained."""
    if not (isinstance(model, PairModel) and isinstance(training, PairTraining)):
        return
    if model.encoder == "pretrained" and model.frozen and training.tokens_per_batch is not None:
        raise ValueError("tokens_per_batch is for towers that are trained, and this one is frozen: remove it")
    # Left out, the head is the cosine: `check_training` sees to it that the labels are no classes.
    if training.loss == "in_batch" and model.head not in (None, "cosine"):
        raise ValueError(
            f"loss = 'in_batch' trains the tower alone, and head = {model.head!r} would stay untrained: "
            "leave head out"
        )
