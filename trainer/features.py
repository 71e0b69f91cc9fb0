"""The one feature contract: names of raw and transformed features, and what a label means.

Ingestion maps the user's columns to these names; schema, preprocessing, evaluation and signatures
know no others.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from trainer import values

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


Name = Annotated[str, BeforeValidator(values.name)]
# How people write 1 and 0, in any case; numbers and bools of any type besides.
MEANS_1 = frozenset({"1", "true", "t", "yes", "y", "on"})
MEANS_0 = frozenset({"0", "false", "f", "no", "n", "off"})


class Label(BaseModel):
    """Description of the label column.

    `binary` is 1 or 0, also as people write them (`MEANS_1`, `MEANS_0`) or as `positive` and `negative` name
    them; `score` a number within `range`; `classes` one of the names in `classes`, which stands for its index
    in that list. Names are compared by value (`trainer.values.key`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str
    kind: Literal["binary", "score", "classes"]
    range: tuple[float, float] | None = Field(
        None, description="lowest and highest score, for kind = 'score'"
    )
    classes: tuple[Name, ...] | None = Field(None, description="all names, for kind = 'classes'")
    positive: Name | None = Field(None, description="the value that means 1, for kind = 'binary'")
    negative: Name | None = Field(
        None, description="the value that means 0; left out, the only other one that there is"
    )

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
        if self.classes is not None:
            _check_classes(self.classes)
        return self

    @model_validator(mode="after")
    def _names_are_two(self) -> Self:
        given = [key for key in ("positive", "negative") if getattr(self, key) is not None]
        if given and self.kind != "binary":
            raise ValueError(f"{given[0]} belongs to kind = 'binary', not to {self.kind!r}")
        if given == ["negative"]:
            raise ValueError(f"negative = {self.negative!r} needs positive, the value that means 1")
        for key in given:
            if not getattr(self, key).strip():
                raise ValueError(f"{key} is empty, as a missing label is: name a value")
        if self.negative is not None and self.of_binary(self.negative) != 0:
            raise ValueError(f"positive and negative are the same value {self.positive!r}")
        return self

    def of_binary(self, value: Any) -> float:
        """1 or 0 for a value of kind `binary`; NaN, or the number that it is, for what means neither.

        With `positive` and without `negative` every other value but an empty one means 0: whether there is
        only one such value is for the caller to see to.
        """
        word = values.key(value)
        if not word:
            return math.nan
        word = word.casefold()
        if self.positive is None:
            return 1.0 if word in MEANS_1 else 0.0 if word in MEANS_0 else values.number(value)
        positive, negative = (str(values.key(name)).casefold() for name in (self.positive, self.negative))
        if word == positive:
            return 1.0
        return 0.0 if self.negative is None or word == negative else math.nan

    @property
    def bounds(self) -> tuple[float, float]:
        """Lowest and highest value that a label may have, as ingestion stores it."""
        if self.classes is not None:
            return (0.0, len(self.classes) - 1.0)
        return (0.0, 1.0) if self.range is None else self.range

    @property
    def is_named(self) -> bool:
        """True where values are compared with names, not read as numbers."""
        return self.classes is not None or self.positive is not None

    @property
    def count(self) -> int:
        """The number of classes; 0 where the label is a number."""
        return len(self.classes or ())


def _check_classes(names: tuple[str, ...]) -> None:
    if len(names) < 2:
        raise ValueError("classes must be two or more different names")
    seen: dict[str | None, str] = {}
    for name in names:
        same = seen.setdefault(values.key(name), name)
        if same != name or names.count(name) > 1:
            raise ValueError(
                f"classes must be two or more different names: {same!r} and {name!r} are the same value"
            )
