"""The `[model]` and `[training]` sections: what is learned and how."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt


class Section(BaseModel):
    """A frozen section of the configuration; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PairModel(Section):
    """A tower shared by both texts, and a head that compares what it makes of them."""

    family: Literal["pair"] = "pair"
    encoder: Literal["average", "lstm"] = "average"
    head: Literal["cosine", "concatenation"] = "cosine"
    vocabulary_size: PositiveInt = 20_000
    min_frequency: PositiveInt = 1
    oov_buckets: PositiveInt = 1_000
    ngrams: tuple[PositiveInt, ...] = (3, 4)
    embedding_dim: PositiveInt = 300
    units: PositiveInt = 32
    max_tokens: PositiveInt = 100
    dropout: float = Field(0.0, ge=0, lt=1)


class Training(Section):
    """How the weights are found."""

    epochs: PositiveInt = 20
    batch_size: PositiveInt = 64
    optimizer: Literal["adam", "rmsprop"] = "adam"
    learning_rate: PositiveFloat = 1e-3
    loss: Literal["cross_entropy", "mse", "correlation", "cosent"] = "mse"
    patience: int = Field(3, ge=0)
    seed: int = 1
