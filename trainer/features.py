"""The one feature contract: names of raw and transformed features, and what a label means.

Ingestion maps the user's columns to these names; schema, preprocessing, evaluation and signatures
know no others.
"""

from __future__ import annotations

import math
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

# Raw features, as tf.Example carries them.
TEXT_A = "text_a"
TEXT_B = "text_b"
VECTOR = "vector"
LABEL = "label"

# What decides between two models, by the label's kind.
PRIMARY = {"score": "spearman", "binary": "average_precision", "classes": "accuracy"}
# Of all other metrics more is better.
LOWER_IS_BETTER = frozenset(
    {"loss", "mse", "cross_entropy", "calibration_error", "negative_elbo", "nll", "reconstruction", "kl"}
)

# Transformed features; the label keeps its name and is scaled to 0..1.
IDS_A = "ids_a"
IDS_B = "ids_b"


class Label(BaseModel):
    """What the label column holds.

    `binary` is 0 or 1, `score` a number within `range`, `classes` one of the names in `classes`, which
    stands for its place in that list.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str
    kind: Literal["binary", "score", "classes"]
    range: tuple[float, float] | None = Field(
        None, description="lowest and highest score, for kind = 'score'"
    )
    classes: tuple[str, ...] | None = Field(None, description="all names, for kind = 'classes'")

    @model_validator(mode="after")
    def _fits_kind(self) -> Self:
        for key, kind, example in (("range", "score", "[0, 5]"), ("classes", "classes", '["yes", "no"]')):
            given = getattr(self, key) is not None
            if given and self.kind != kind:
                raise ValueError(f"{key} belongs to kind = {kind!r}, not to {self.kind!r}")
            if self.kind == kind and not given:
                raise ValueError(f"a label of kind {kind!r} needs its {key}, for example {key} = {example}")
        if self.range is not None and not -math.inf < self.range[0] < self.range[1] < math.inf:
            raise ValueError(f"range must rise and be finite, got {list(self.range)}")
        if self.classes is not None and (len(self.classes) < 2 or len({*self.classes}) < len(self.classes)):
            raise ValueError("classes must be two or more different names")
        return self

    @property
    def bounds(self) -> tuple[float, float]:
        """Lowest and highest value that a label may have, as ingestion stores it."""
        if self.classes is not None:
            return (0.0, len(self.classes) - 1.0)
        return (0.0, 1.0) if self.range is None else self.range

    @property
    def count(self) -> int:
        """How many classes there are; 0 where the label is a number."""
        return len(self.classes or ())
