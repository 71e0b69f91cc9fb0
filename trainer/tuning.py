"""The `[tuning]` section: which values are tried, and how they are laid over a use case.

Nothing here imports TensorFlow or keras-tuner: the command line checks a space before it loads them.
"""

from __future__ import annotations

import itertools
import json
import typing
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PositiveInt, ValidationError, field_validator

from trainer.errors import suggestion
from trainer.families import family_of
from trainer.section import Section, SectionMistake
from trainer.spec import Spec, check_weights

# Other values that are tried beside one that does not fit the file's own, before it is refused.
_COMBINATIONS = 256
_RANGE = {"min", "max", "log"}
# A seed that happens to be good on eval says nothing of any other data.
_FIXED = {"family", "seed"}


class Tuning(Section):
    """The `[tuning]` section."""

    space: dict[str, Any] = Field(
        min_length=1,
        description="'training.KEY' or 'model.KEY' to a list of values, or { min, max, log } of a number",
    )
    trials: PositiveInt = Field(10, description="trainings at most; fewer where the space has fewer values")
    search: Literal["random", "bayesian", "grid"] = Field(
        "random", description="bayesian: a Gaussian process over what was seen; grid: all, in order"
    )
    objective: str | None = Field(
        None, description="metric of the eval split; left out: the one that decides between two models"
    )
    seed: PositiveInt = Field(1, description="of the search; all trials train with [training] seed")
    epochs: PositiveInt | None = Field(
        None, description="most epochs of a trial; left out: [training] epochs"
    )
    rows: PositiveInt | None = Field(
        None, description="most rows of train in a trial, spread evenly; left out: all"
    )
    every_run: bool = Field(False, description="search again whenever the data has changed")

    @field_validator("space", mode="before")
    @classmethod
    def _flat(cls, space: Any) -> Any:
        """TOML reads `training.epochs = [5]` without quotes, and `--set`, as tables in a table."""
        if not isinstance(space, dict):
            return space
        flat: dict[str, Any] = {}
        for key, wanted in space.items():
            nested = key in ("model", "training") and isinstance(wanted, dict)
            flat |= {f"{key}.{name}": below for name, below in wanted.items()} if nested else {key: wanted}
        return flat

    @field_validator("space")
    @classmethod
    def _has_form(cls, space: dict[str, Any]) -> dict[str, Any]:
        for key, wanted in space.items():
            if isinstance(wanted, dict):
                _check_range(key, wanted)
            elif not isinstance(wanted, list) or not wanted:
                raise ValueError(f"{key!r} = {wanted!r}: write a list of values, or {{ min = 1, max = 9 }}")
        return space

    def capped(self, spec: Spec) -> Spec:
        """The use case of a trial, with the file's own values."""
        if self.epochs is None:
            return spec
        return laid_over(spec, {"training.epochs": min(self.epochs, spec.training.epochs)})


def laid_over(spec: Spec, values: dict[str, Any]) -> Spec:
    """`spec` with other values of `section.key`, checked as a whole.

    Raises:
      ValueError: they do not fit it.
    """
    document = spec.model_dump()
    for key, value in values.items():
        section, _, name = key.partition(".")
        document[section][name] = value
    changed = Spec.model_validate(document)
    check_weights(changed.model)
    return changed


def tunable(spec: Spec) -> list[str]:
    """The keys whose values can be tried: those that the training alone reads, and that are no paths."""
    model = type(spec.model)
    known_before = {"family", *model.PREPROCESSING, *model.EVALUATION}
    keys = [
        f"model.{name}"
        for name, field in model.model_fields.items()
        if name not in known_before and Path not in (field.annotation, *typing.get_args(field.annotation))
    ]
    return keys + [f"training.{name}" for name in type(spec.training).model_fields if name not in _FIXED]


def encoded(value: Any) -> int | float | str:
    """A value as keras-tuner knows it: a number as it is, all else as JSON."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else json.dumps(value)


def decoded(value: int | float | str) -> Any:
    """The value that `encoded` was given."""
    return json.loads(value) if isinstance(value, str) else value


def tuned_values(hyperparameters: dict[str, Any] | None) -> dict[str, Any]:
    """The values in what TFX hands to a trainer, keras-tuner's configuration; none without a search."""
    return {key: decoded(value) for key, value in (hyperparameters or {}).get("values", {}).items()}


def is_whole(key: str, spec: Spec) -> bool | None:
    """True where a key holds whole numbers, None where it holds no numbers."""
    section, _, name = key.partition(".")
    kind = type(getattr(spec, section)).model_fields[name].annotation
    return {int: True, float: False}.get(kind) if isinstance(kind, type) else None


def check_space(tuning: Tuning, spec: Spec) -> None:
    """Raises ValueError, in one line, where a key cannot be tuned or a value can never be right."""
    allowed = tunable(spec)
    for key, wanted in tuning.space.items():
        if key not in allowed:
            raise SectionMistake(f"[tuning] space {key!r} {_refusal(key, spec, allowed)}")
        if isinstance(wanted, dict) and is_whole(key, spec) is None:
            raise SectionMistake(f"[tuning] space {key!r} is no number: write a list of values")
    if tuning.epochs is not None and "training.epochs" in tuning.space:
        raise SectionMistake(
            f"[tuning] epochs = {tuning.epochs} caps what space 'training.epochs' tries: remove one"
        )
    try:
        base = tuning.capped(spec)
    except ValidationError as error:
        raise SectionMistake(f"[tuning] epochs = {tuning.epochs}: {_message(error)}") from None
    ends = {key: _ends(wanted) for key, wanted in tuning.space.items()}
    for key, values in ends.items():
        for value in values:
            _check_value(base, key, value, {k: v for k, v in ends.items() if k != key})


def check_shape(tuning: Tuning, spec: Spec) -> None:
    """Raises ValueError where a search may find a model that no later training can start from."""
    tried = [key for key in tuning.space if key.startswith("model.")]
    shape = family_of(spec).SHAPE if tried else ()  # a family's module imports TensorFlow
    for key in tried:
        if key.removeprefix("model.") in shape:
            raise SectionMistake(
                f"[tuning] space {key!r} is the model's shape, which [retraining] warm_start = true keeps: "
                "remove one of the two"
            )


def _check_value(base: Spec, key: str, value: Any, others: dict[str, list[Any]]) -> None:
    """A value that the file's other values do not allow may be right beside other values of the space."""
    refusals = []
    combinations = itertools.islice(itertools.product(*others.values()), _COMBINATIONS)
    for values in itertools.chain([()], combinations):
        try:
            laid_over(base, {**dict(zip(others, values, strict=False)), key: value})
            return
        except ValueError as error:
            refusals.append(error)
    raise SectionMistake(f"[tuning] space {key!r}: {json.dumps(value)}: {_message(refusals[0])}")


def _ends(wanted: Any) -> list[Any]:
    return [wanted["min"], wanted["max"]] if isinstance(wanted, dict) else wanted


def _check_range(key: str, wanted: dict[str, Any]) -> None:
    numbers = [wanted.get("min"), wanted.get("max")]
    if set(wanted) - _RANGE or not all(type(number) in (int, float) for number in numbers):
        raise ValueError(f"{key!r} = {wanted!r}: a range is {{ min = NUMBER, max = NUMBER, log = true }}")
    if not isinstance(wanted.get("log", False), bool):
        raise ValueError(f"{key!r}: log = {wanted['log']!r}: write true or false")
    if not wanted["min"] < wanted["max"]:
        raise ValueError(f"{key!r}: min = {wanted['min']} is not below max = {wanted['max']}")
    if wanted.get("log") and wanted["min"] <= 0:
        raise ValueError(f"{key!r}: min = {wanted['min']} has no logarithm: set log = false or a min above 0")


def _refusal(key: str, spec: Spec, allowed: list[str]) -> str:
    section, _, name = key.partition(".")
    known = f"can be tuned: {', '.join(allowed)}"
    if section == "model" and name in type(spec.model).PREPROCESSING:
        return f"shapes what Transform makes before any trial; {known}"
    if section == "model" and name in type(spec.model).EVALUATION:
        return f"is what baselines and gates are told before any trial; {known}"
    if key == "training.seed":
        return f"would find a lucky number and no setting; {known}"
    fix = suggestion(key, allowed, "")
    return f"is no key: {fix}" if fix else f"is no key; {known}"


def _message(error: ValueError) -> str:
    written = error.errors(include_url=False)[0]["msg"] if isinstance(error, ValidationError) else str(error)
    message = written.removeprefix("Value error, ")
    return f"{message[:1].lower()}{message[1:]}"
