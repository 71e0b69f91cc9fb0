"""The `[model]` and `[training]` sections of the family `vae`."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from trainer.section import ScheduledTraining, Section


class Vae(Section):
    """A variational autoencoder (Kingma & Welling 2014) over vectors of one length."""

    PREPROCESSING: ClassVar[tuple[str, ...]] = ("likelihood",)
    EVALUATION: ClassVar[tuple[str, ...]] = ("likelihood", "binarization", "latent")

    family: Literal["vae"] = "vae"
    encoder: tuple[PositiveInt, ...] = Field(
        (512, 512), min_length=1, description="hidden widths, input side first"
    )
    decoder: tuple[PositiveInt, ...] | None = Field(
        None,
        min_length=1,
        description="hidden widths, latent side first; the encoder's mirrored when left out",
    )
    latent: PositiveInt = Field(32, description="latent dimensions")
    activation: Literal["relu", "tanh", "swish", "gelu", "elu", "softplus", "leaky_relu"] = "relu"
    spread: NonNegativeFloat = Field(
        0.0,
        description="standard deviation of what the decoder's first units receive at the start; with few "
        "latents 2 spreads the units over the latent space at once; 0 is Glorot's usual start",
    )
    likelihood: Literal["bernoulli", "gaussian"] = Field(
        "bernoulli",
        description="bernoulli: values in [0, 1], grey ones too; gaussian: any, its variance is learned",
    )
    binarization: Literal["none", "dynamic", "fixed"] = Field(
        "none", description="values drawn as 0 or 1: anew in every step, or once before training"
    )
    beta: PositiveFloat = Field(1.0, description="weight of the KL")
    kl_warmup_epochs: NonNegativeInt = Field(0, description="epochs in which that weight rises to beta")
    free_bits: NonNegativeFloat = Field(0.0, description="nats that each latent carries for free")
    importance_samples: PositiveInt = Field(
        1, description="k of the IWAE bound that is trained on; 1 is the ELBO"
    )
    evaluation_samples: PositiveInt = Field(64, description="draws behind the metrics that the gates look at")
    score_samples: NonNegativeInt = Field(
        0, description="fixed draws that a served score is averaged over; 0 scores with z = mean"
    )
    anomaly_quantile: float = Field(0.99, gt=0, lt=1, description="share of eval vectors that are no anomaly")

    @model_validator(mode="after")
    def _check_combinations(self) -> Self:
        if self.likelihood == "gaussian" and self.binarization != "none":
            raise ValueError(
                f'binarization = "{self.binarization}" makes values 0 or 1, and a Gaussian would '
                'fit them ever more narrowly: set likelihood = "bernoulli" or binarization = "none"'
            )
        if self.free_bits and self.importance_samples > 1:
            raise ValueError(
                f"free_bits = {self.free_bits} means nothing with importance_samples = "
                f"{self.importance_samples}: the IWAE bound has no KL term. Set free_bits = 0"
            )
        return self

    @property
    def decoder_widths(self) -> tuple[int, ...]:
        """Hidden widths from the latent side to the output side."""
        return self.decoder if self.decoder is not None else self.encoder[::-1]


class VaeTraining(ScheduledTraining):
    """Settings of a VAE's training: Adam, a learning-rate schedule, an optional weight average."""

    family: Literal["vae"] = "vae"
    epochs: PositiveInt = 20
    patience: NonNegativeInt = Field(
        0, description="epochs without a better eval loss before training stops, or 0; the best epoch is kept"
    )
    seed: NonNegativeInt = 1
    schedule: Literal["constant", "cosine"] = "cosine"
    weight_average: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="momentum of the moving average that is evaluated and kept; 0: no average",
    )
    compiled: bool | None = Field(
        None, description="training step compiled by XLA; left out: where importance_samples = 1, so it pays"
    )
