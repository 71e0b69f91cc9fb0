"""The one feature contract: names of raw and transformed features, and what a label means.

Ingestion maps the user's columns to these names; schema, preprocessing, evaluation and signatures
know no others.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

# Raw features, as tf.Example carries them.
TEXT_A = "text_a"
TEXT_B = "text_b"
LABEL = "label"

# Transformed features; the label keeps its name and is scaled to 0..1.
IDS_A = "ids_a"
IDS_B = "ids_b"


class Label(BaseModel):
    """What the label column holds.

    `binary` is 0 or 1, `score` a number within `range`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str
    kind: Literal["binary", "score"]
    range: tuple[float, float] | None = Field(
        None, description="lowest and highest score, for kind = 'score'"
    )

    @model_validator(mode="after")
    def _range_fits_kind(self) -> Self:
        if self.kind == "score":
            if self.range is None:
                raise ValueError("a label of kind 'score' needs its range, for example range = [0, 5]")
            if not self.range[0] < self.range[1]:
                raise ValueError(f"range must rise, got {list(self.range)}")
        elif self.range is not None:
            raise ValueError(f"range belongs to kind = 'score', not to {self.kind!r}")
        return self

    @property
    def bounds(self) -> tuple[float, float]:
        """Lowest and highest value that a label may have."""
        return (0.0, 1.0) if self.range is None else self.range
