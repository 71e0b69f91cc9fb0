"""The `[model]` and `[training]` sections of the family `pair`."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from trainer.section import ScheduledTraining, Section


class PairModel(Section):
    """A tower shared by both texts, and a head that compares what it makes of them."""

    # As `PREPROCESSING` and `EVALUATION` of trainer.families.Family, for those who import no TensorFlow.
    PREPROCESSING: ClassVar[tuple[str, ...]] = (
        "weights", "lowercase", "max_tokens", "ngrams", "vocabulary_size", "min_frequency", "oov_buckets",
    )  # fmt: skip
    EVALUATION: ClassVar[tuple[str, ...]] = ()

    family: Literal["pair"] = "pair"
    encoder: Literal["average", "lstm", "bilstm", "cnn", "attention", "pretrained"] = "average"
    weights: Path | None = Field(
        None,
        description="folder of a pretrained BERT: a preset of KerasHub, or Hugging Face's with safetensors",
    )
    token_vectors: Path | None = Field(
        None, description="first vectors of tokens: a text file of word2vec or GloVe, or the folder of a BERT"
    )
    frozen: bool = Field(
        True, description="pretrained weights stay: texts are embedded once, projection and head are trained"
    )
    layers: tuple[PositiveInt, ...] | None = Field(
        None,
        min_length=1,
        description="layers of pretrained weights, from 1, whose means side by side are a text's vector; "
        "left out: the last",
    )
    trunk_dropout: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="inside pretrained weights that are trained; left out: what their folder says",
    )
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
    lowercase: bool = Field(True, description="upper and lower case are one")
    max_tokens: PositiveInt = Field(100, description="tokens kept of each text, n-grams not counted")
    dropout: float = Field(0.2, ge=0, lt=1, description="share of tokens left out while training")

    @model_validator(mode="after")
    def _weights_fit(self) -> Self:
        if self.encoder == "pretrained" and self.weights is None:
            raise ValueError("encoder = 'pretrained' needs weights, the folder of a BERT")
        if self.encoder == "pretrained" and self.token_vectors is not None:
            raise ValueError("encoder = 'pretrained' has vectors of its own: remove token_vectors")
        if self.layers is not None and self.encoder != "pretrained":
            raise ValueError("layers is for encoder = 'pretrained': remove it, or set that")
        if self.layers is not None and any(a >= b for a, b in itertools.pairwise(self.layers)):
            raise ValueError(f"layers must rise, got {list(self.layers)}")
        if self.trunk_dropout is not None and (self.encoder != "pretrained" or self.frozen):
            raise ValueError(
                "trunk_dropout is for encoder = 'pretrained' with frozen = false: remove it, or set these"
            )
        return self


class PairTraining(ScheduledTraining):
    """Settings of a pair model's training."""

    family: Literal["pair"] = "pair"
    epochs: PositiveInt = 15
    patience: NonNegativeInt = Field(
        3, description="epochs without a better eval metric before training stops"
    )
    tokens_per_batch: PositiveInt | None = Field(
        None, description="padded tokens of both texts in a batch at most: with long texts it has fewer pairs"
    )
    optimizer: Literal["adam", "rmsprop"] = "adam"
    loss: Literal["cross_entropy", "mse", "correlation", "cosent", "contrastive", "in_batch"] | None = Field(
        None, description="left out: cross_entropy for classes, mse for all else"
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="share of a label that goes to all answers alike, in the cross-entropy"
    )
    class_weights: Literal["none", "balanced"] = "none"
    calibrated: bool = Field(True, description="scores bent to the eval split after training, in their order")
    threshold: Literal["f1", "accuracy", "mcc"] | Annotated[float, Field(gt=0, lt=1)] = Field(
        "f1",
        description="of a binary label: the score from which on it is 1, or what is to be highest on eval",
    )
    compiled: bool = Field(
        False,
        description="training step compiled by XLA, once for each length of batch, in steps of 8 tokens",
    )

    def loss_for(self, kind: str) -> str:
        """The name of the loss for labels of a kind."""
        return self.loss or ("cross_entropy" if kind == "classes" else "mse")
