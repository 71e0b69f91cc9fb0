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
    encoder: Literal["average", "lstm", "bilstm", "cnn", "attention"] = "average"
    head: Literal["cosine", "concatenation", "interaction"] | None = Field(
        None, description="left out: interaction for classes, cosine for all else"
    )
    hidden: PositiveInt = Field(64, description="units of the network in head 'interaction'")
    vocabulary_size: PositiveInt = Field(10_000, description="tokens and n-grams with a row of their own")
    min_frequency: PositiveInt = Field(1, description="times that a token must occur to get one")
    oov_buckets: PositiveInt = Field(
        2_000,
        description="rows that the others share by hash: the same unknown word in both texts still counts",
    )
    ngrams: tuple[PositiveInt, ...] = Field(
        (3,),
        description="lengths of the character n-grams that follow the tokens; for encoder 'average' alone",
    )
    embedding_dim: PositiveInt = 256
    units: PositiveInt = Field(
        32,
        description="states of an LSTM in each direction, filters of each width, or width of the attention",
    )
    max_tokens: PositiveInt = Field(100, description="tokens kept of each text, n-grams not counted")
    dropout: float = Field(0.2, ge=0, lt=1, description="share of tokens left out while training")


class Training(Section):
    """How the weights are found."""

    family: Literal["pair"] = "pair"
    epochs: PositiveInt = 15
    batch_size: PositiveInt = 128
    optimizer: Literal["adam", "rmsprop"] = "adam"
    learning_rate: PositiveFloat = 1e-3
    loss: Literal["cross_entropy", "mse", "correlation", "cosent"] | None = Field(
        None, description="left out: cross_entropy for classes, mse for all else"
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="share of a label that goes to all answers alike, in the cross-entropy"
    )
    class_weights: Literal["none", "balanced"] = "none"
    patience: int = Field(3, ge=0, description="epochs without a better eval metric before training stops")
    mixed_precision: bool = Field(False, description="half precision inside the model; for GPUs")
    seed: int = 1

    def loss_for(self, kind: str) -> str:
        """The name of the loss for labels of a kind."""
        return self.loss or ("cross_entropy" if kind == "classes" else "mse")
