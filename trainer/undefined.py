"""A metric is a finite number, or undefined with a reason.

In memory an undefined one is a NaN that knows why, so that whatever compares or averages numbers goes on
working. JSON has null in its place, and the reason beside it; the words that TFMA, and older versions of this
program, wrote for it ("NaN", "Infinity") are read as what they mean.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

# The key, beside the names of the metrics, under which JSON has the reasons by name.
REASONS = "undefined"
_HUGE = 1e9
UNKNOWN = "it is no finite number, and no reason was kept"


class Undefined(float):
    """A metric without a value: NaN, and a clause that says why."""

    reason: str

    def __new__(cls, reason: str) -> Undefined:
        """Args: `reason`, such as "all 40 labels are 0, none is 1"."""
        self = super().__new__(cls, math.nan)
        self.reason = reason
        return self

    def __reduce__(self) -> tuple[type[Undefined], tuple[str]]:
        """Copied with its reason, also by Beam, which sends metrics from process to process."""
        return Undefined, (self.reason,)

    def __format__(self, spec: str) -> str:
        """The word that a person reads in place of a number."""
        return "undefined"

    def __repr__(self) -> str:
        """The class and the reason."""
        return f"Undefined({self.reason!r})"


def number(value: Any) -> float | None:
    """A stored value as a finite number, None for any other and for what is no number."""
    try:
        parsed = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return parsed if math.isfinite(parsed) else None


def defined(value: object, reason: str = UNKNOWN) -> float:
    """A value as a metric: itself where it is finite, else undefined for its own reason or the one given."""
    if isinstance(value, Undefined):
        return value
    finite = number(value)
    return Undefined(reason) if finite is None else finite


def reason_of(value: float) -> str:
    """The reason why a metric is not defined."""
    return value.reason if isinstance(value, Undefined) else UNKNOWN


def text(value: float) -> str:
    """A value to read: four decimals, no more digits than there are of a huge one, or "undefined"."""
    return f"{value:.6g}" if abs(value) >= _HUGE else f"{value:.4f}"


def dump(metrics: Mapping[str, float]) -> dict[str, Any]:
    """Metrics for JSON: name to number or null, and under `undefined` the reasons, where there are any."""
    reasons = {name: reason_of(value) for name, value in metrics.items() if not math.isfinite(value)}
    return {**strict(metrics), **({REASONS: reasons} if reasons else {})}


def load(stored: Mapping[str, Any]) -> dict[str, float]:
    """Metrics from what `dump` made, or from a file of an older version without reasons."""
    reasons: Mapping[str, str] = stored.get(REASONS, {})
    return {
        name: defined(value, reasons.get(name, UNKNOWN)) for name, value in stored.items() if name != REASONS
    }


def values(stored: object) -> Any:
    """Dicts of what `dump` has made, however deep, without their reasons: numbers, and null."""
    if isinstance(stored, Mapping):
        return {name: values(value) for name, value in stored.items() if name != REASONS}
    if isinstance(stored, list | tuple):
        return [values(value) for value in stored]
    finite = number(stored)
    return int(finite) if finite is not None and isinstance(stored, int) else finite


def reasons(stored: Mapping[str, Any]) -> dict[str, Any]:
    """The reasons alone, in the same dicts; empty ones are left out."""
    if REASONS in stored:
        return dict(stored[REASONS])
    inner = {name: reasons(value) for name, value in stored.items() if isinstance(value, Mapping)}
    return {name: value for name, value in inner.items() if value}


def strict(value: object) -> Any:
    """Whatever JSON is made of, with null in place of numbers that JSON does not know."""
    if isinstance(value, Mapping):
        return {name: strict(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
