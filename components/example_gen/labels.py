"""Labels as numbers, whatever type their column has; counts of its values, and the key that takes them."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from components.example_gen.batch import Batch, Fault, FaultReason
from trainer import values
from trainer.errors import DataRejected
from trainer.features import LABEL, MEANS_0, MEANS_1, Label

# Different values that are counted, and those that a message shows.
_COUNTED, _TOP = 100, 5
# Classes that a message proposes, and characters of a value that are kept.
_CLASSES, _LONGEST = 20, 200
# Words that often stand for nothing. Of texts and classes they may be one all the same.
MISSING = frozenset(["NULL", "null", "Null", "None", "NaN", "nan", "NA", "N/A", "n/a", "#N/A", "<NA>", "nil"])
# Three digits behind each comma, and no zero in front: these commas may part thousands.
THOUSANDS = re.compile(r"\s*[+-]?[1-9]\d{0,2}(,\d{3})+\s*", re.ASCII)
COMMA_NUMBER = re.compile(r"\s*[+-]?\d+,\d+(e[+-]?\d+)?\s*", re.ASCII | re.IGNORECASE)


def check_labels(given: Sequence[Any], label: Label, faults: dict[int, Fault]) -> np.ndarray:
    """float64 [rows]: numbers, a class as its index in the list; whatever is not usable is in `faults`."""
    numbers = _numbers(given, label)
    for at in np.flatnonzero(~_is_good(numbers, label)):
        faults.setdefault(int(at), _fault(given[int(at)], float(numbers[at]), label))
    return numbers


def floats(given: Sequence[Any], convert: Callable[[Any], float] = values.number) -> np.ndarray:
    """float64 [values]; NaN for what `convert` finds no number, infinity for too large whole ones."""
    if isinstance(given, np.ndarray) and given.dtype.kind in "fiu":
        return given.astype(np.float64)
    numbers = _plain(given)
    if numbers is None and set(map(type, given)) <= {str, type(None)}:  # empty fields, and unreadable rows
        numbers = _plain([value or "nan" for value in given])
    return np.array([convert(value) for value in given], np.float64) if numbers is None else numbers


def _plain(given: Sequence[Any]) -> np.ndarray | None:
    """float64 [values] where Python's own conversion takes the same as `values.number`."""
    try:
        if set(map(type, given[:1])) == {str}:
            text = "".join(given)
            return np.array(list(map(float, given))) if text.isascii() and "_" not in text else None
        return np.array(given, np.float64) if set(map(type, given)) <= {int, float} else None
    except (TypeError, ValueError, OverflowError):
        return None


def _numbers(given: Sequence[Any], label: Label) -> np.ndarray:
    if label.kind == "score":
        return floats(given)
    if label.classes is None:
        return _each(given, label.of_binary)
    indices = {values.key(name): float(at) for at, name in enumerate(label.classes)}
    return _each(given, lambda value: indices.get(values.key(value), math.nan))


def _is_good(numbers: np.ndarray, label: Label) -> np.ndarray:
    low, high = label.bounds
    if label.kind == "binary":
        return (numbers == low) | (numbers == high)
    with np.errstate(over="ignore"):  # kept in float32, the limits too: a value at a limit is within
        kept = numbers.astype(np.float32)
    return (kept >= np.float32(low)) & (kept <= np.float32(high))


def _each(given: Sequence[Any], convert: Callable[[Any], float]) -> np.ndarray:
    """float64 [values]: what `convert` makes of each, worked out once for all that are alike."""
    if not _alike(given):
        return np.array([convert(value) for value in given], np.float64)
    table = {value: convert(value) for value in set(given)}
    # A NaN of NumPy is equal to none, not even to itself.
    return np.array([table.get(value, math.nan) for value in given], np.float64)


def _fault(value: Any, number: float, label: Label) -> Fault:
    subject = f"column {label.column!r}: {values.show(value)}"
    if label.classes is not None:
        return Fault(FaultReason.BAD_LABEL, f"{subject} is none of the classes")
    if label.positive is not None:
        return Fault(FaultReason.BAD_LABEL, f"{subject} is neither positive nor negative")
    if label.kind == "score" and math.isnan(number) and "nan" not in str(value).lower():
        return Fault(FaultReason.BAD_LABEL, f"{subject} is no number")
    low, high = label.bounds
    if not math.isfinite(number) or (label.kind == "binary" and low < number < high):
        return Fault(FaultReason.BAD_LABEL, f"{subject} is not a {label.kind} label")
    return Fault(FaultReason.LABEL_OUT_OF_RANGE, f"{subject} is not within {low:g}..{high:g}", number)


@dataclass
class LabelCounts:
    """Label values as they stand in the files, of bad rows too, but of none that cannot be read.

    Attributes:
      counts: How often each came, by its value (`trainer.values.key`), which is empty for null and for what
        is no single value; at most `_COUNTED` of them. Of kind `score` only those that are no numbers.
      low: The lowest number that was refused for its size.
      high: The highest.
    """

    counts: Counter[str] = field(default_factory=Counter)
    low: float = math.inf
    high: float = -math.inf

    @classmethod
    def of(cls, batch: Batch, faults: Mapping[int, Fault], label: Label) -> LabelCounts:
        """The labels of a batch, whose rows have `faults`."""
        given = batch.columns[f"{LABEL}.column"]
        if label.kind == "score":
            bad = [given[at] for at, fault in faults.items() if fault.reason is FaultReason.BAD_LABEL]
            beyond = [fault.number for fault in faults.values() if fault.number is not None]
            return cls(_count(bad), min(beyond, default=math.inf), max(beyond, default=-math.inf))
        if batch.faults:
            given = [value for at, value in enumerate(given) if at not in batch.faults]
        return cls(_count(given))

    @classmethod
    def from_json(cls, read: Mapping[str, Any]) -> LabelCounts:
        """The counts of which `to_json` made `read`."""
        return cls(Counter(read["values"]), read.get("low", math.inf), read.get("high", -math.inf))

    def to_json(self) -> dict[str, Any]:
        """As `counts.json` keeps it."""
        beyond = {"low": self.low, "high": self.high} if self.low <= self.high else {}
        return {"values": dict(self.counts.most_common()), **beyond}

    def add(self, other: LabelCounts) -> None:
        """Counts those of `other` too."""
        self.counts = Counter(dict((self.counts + other.counts).most_common(_COUNTED)))
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)

    def __str__(self) -> str:
        """The commonest values, and how often each came; then the numbers beyond the range."""
        parts = [
            f"{values.show(value) if value else 'no value'} {count} time{'s' if count > 1 else ''}"
            for value, count in self.counts.most_common(_TOP)
        ]
        if len(self.counts) > _TOP:
            more = " or more" if len(self.counts) >= _COUNTED else ""
            parts.append(f"{len(self.counts) - _TOP}{more} others")
        if self.low <= self.high:
            parts.append(f"numbers from {self.low:g} to {self.high:g}")
        return ", ".join(parts)


def check_negative(label_counts: LabelCounts, label: Label) -> None:
    """Raises DataRejected unless the value that means 0 is certain: a slip of the pen is no negative."""
    if label.positive is None or label.negative is not None:
        return
    others = {value.casefold(): value for value in label_counts.counts if label.of_binary(value) == 0}
    positives = any(label.of_binary(value) == 1 for value in label_counts.counts)
    if positives and len(others) == 1 and not MISSING.isdisjoint(others.values()):
        [only] = others.values()
        raise DataRejected(
            f"[data] label: column {label.column!r}: the only value beside positive = "
            f"{_toml(label.positive)} often stands for nothing: {label_counts}: if it means 0, say so with "
            f"negative = {_toml(only)}; else give the data both labels"
        )
    if len(others) > 1 or (others and not positives):
        which = "several others were seen" if positives else "it was never seen"
        subject = f"[data] label: column {label.column!r}: positive = {_toml(label.positive)}"
        problem = f"{subject}, and {which}: {label_counts}"
        by_count = sorted(others.values(), key=label_counts.counts.__getitem__, reverse=True)
        if not positives and others.keys() <= MEANS_1 | MEANS_0:
            raise DataRejected(f"{problem}: remove positive: without it these mean 1 and 0")
        if not positives and len(by_count) == 1:
            raise DataRejected(f"{problem}: correct positive, or give the data both labels")
        positive, negative = (label.positive, by_count[0]) if positives else by_count[:2]
        keys = f"positive = {_toml(positive)}, negative = {_toml(negative)}"
        raise DataRejected(f"{problem}: name both, such as {keys}: rows with others are then quarantined")


def advice(label_counts: LabelCounts, label: Label, has_decimal: bool = False) -> str:
    """The labels that were seen, and the key that takes them; `[data] decimal` where that `has_decimal`."""
    missing = MISSING if label.classes is None else ()
    names = [value for value in label_counts.counts if value and value not in missing]
    numbers = [values.number(name) for name in names]
    taken = [name for name, at in zip(names, _numbers(names, label), strict=True) if _is_good(at, label)]
    words = {name.casefold() for name in names} <= MEANS_1 | MEANS_0
    if label_counts.low <= label_counts.high and label.range is not None and not names:
        low, high = label.range
        fix = f"set {_table(label, range=[min(low, label_counts.low), max(high, label_counts.high)])}"
    elif len(taken) == len(names):
        fix = "fill them in, or set label column to another column"
    elif words:
        fix = f"set {_table(label, kind='binary')}"
    elif label.classes is None and label.positive is None and all(map(COMMA_NUMBER.fullmatch, names)):
        fix = 'set [data] decimal = ","' if has_decimal else "write them with a decimal point"
        if all(map(THOUSANDS.fullmatch, names)):
            fix = f"write them without commas, or if these are decimal signs, {fix}"
    elif label.kind == "binary" and len(names) == 2:
        # Of two numbers the greater one is most of the time what is looked for.
        first, second = names if not np.isfinite(numbers).all() or numbers[0] > numbers[1] else names[::-1]
        fix = f"set {_table(label, positive=first, negative=second)}, or the two the other way round"
    elif len(names) <= _CLASSES:
        known, again = (label.classes or () if taken else ()), _respelled(names)
        # A class in another case is the same one: the data's own spelling is what it has to be called.
        seen_so = set(map(str.casefold, names))
        classes = [name for name in known if name in taken or name.casefold() not in seen_so]
        fix = f"set {_table(label, kind='classes', classes=list(dict.fromkeys([*classes, *sorted(names)])))}"
        if again:
            fix = f"write {' and '.join(map(_toml, again))} alike, or {fix}"
    else:
        fix = "set label column to another column, or correct the values"
    if label.kind != "score" and len(names) > 2 and np.isfinite(numbers).all():
        fix += f"; or {_table(label, kind='score', range=[min(numbers), max(numbers)])}"
    return f"labels seen: {label_counts}: {fix}"


def _respelled(names: Sequence[str]) -> list[str]:
    """The first names that only their case tells apart, if any."""
    spelled: dict[str, list[str]] = {}
    for name in names:
        spelled.setdefault(name.casefold(), []).append(name)
    return next((sorted(alike) for alike in spelled.values() if len(alike) > 1), [])


def _table(label: Label, **keys: Any) -> str:
    entries = {"column": label.column, "kind": label.kind, **keys}
    return f"label = {{ {', '.join(f'{key} = {_toml(value)}' for key, value in entries.items())} }}"


def _toml(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if not isinstance(value, str):
        return f"{value:g}"
    return json.dumps(value[:_LONGEST], ensure_ascii=not value.isprintable())


def _count(given: Sequence[Any]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for value, count in Counter(given).items() if _alike(given) else ((value, 1) for value in given):
        counts[(values.key(value) or "")[:_LONGEST]] += count
    return counts


def _alike(given: Sequence[Any]) -> bool:
    """True where equal values are the same value and can be hashed: to Python 1 and True are equal."""
    kinds = set(map(type, given)) - {type(None)}
    return (bool not in kinds or len(kinds) == 1) and all(kind.__hash__ is not None for kind in kinds)
