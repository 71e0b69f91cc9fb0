"""Warnings about numbers: columns that float32 cannot hold, values far outside all others.

Both are found while rows are read, when numbers are still float64 and their lines are known. The findings
are for `counts.json`; no row is quarantined for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from components.example_gen.data_config import DataSection

# Rows of an item that the middle of each column is taken from, and its digits looked at in.
_SAMPLE = 1_024
# Share of the different values that rounding may make equal before it is worth a word; ordinary numbers with
# many digits lose one in a thousand of some thousand rows.
_MERGED = 0.01
# A value's usual distance from the middle, in rows times float32's steps.
_DENSE = 0.02
# Whole numbers from here on are not all float32's; from there on nobody counts any more. Where most of them
# are rounded, they are no amounts, but times and numbers of things.
_FIRST_ROUNDED, _NO_COUNT, _MOST = 2.0**24, 2.0**64, 0.5
# From here on float64 has not all whole numbers either.
_LAST_WHOLE = 2.0**53
# The smallest number that TensorFlow does not take for 0.
_TINY = float(np.finfo(np.float32).tiny)
# How many times its usual distance from the middle a value has to be away, to be named: any one, and one that
# many programs write for a missing value.
_FAR, _FAR_FILL = 1e5, 10.0
_HUGE_FILLS = (9.969209968386869e36, 3.4028234663852886e38, 1e36, 1e30, 1e20)
_FILLS = np.array(
    [*_HUGE_FILLS, 2**31, 2**31 - 1, 2**16 - 1, 2**15, 2**15 - 1, 999_999, 99_999, 9_999.9, 9_999, 999.99,
     999.9, 999]
)  # fmt: skip
# So much without a sign may be an amount.
_FILL_BELOW = -99.0
# A smaller one may be a measurement, unless it comes again.
_NEVER_MEASURED = 1e19
# Columns that are named.
_NAMED = 5


@dataclass(frozen=True)
class Merged:
    """A column whose values float32 cannot tell apart, in the rows that were looked at."""

    column: str
    values: int
    """different ones in the file"""
    kept: int
    """different ones in float32"""
    step: float
    """from one float32 to the next, about the column's middle; 0 where float32 has 0 for all values"""
    lowest: float

    @property
    def sentence(self) -> str:
        """Column, loss and way out."""
        subject = f"column {self.column!r}"
        if not self.step:
            return f"{subject}: float32 has 0 for values as small as these: multiply them by a power of 10"
        if self.values == 1:
            return (
                f"{subject}: all values are {self.lowest:.15g}, and of whole numbers as large as that the "
                "last digits are lost: divide it into two columns, or leave it out"
            )
        made = f"{self.values:,} different values become {self.kept:,}"
        if self.kept == self.values:
            made = "whole numbers are rounded"
        return (
            f"{subject}: {made} in float32, in which vectors are kept (steps of {self.step:.6g} there): "
            f"subtract a base such as {self.lowest:.15g} before you write it, divide it into two columns, or "
            "leave it out if it only numbers the rows"
        )


@dataclass(frozen=True)
class Outlier:
    """Values of a column that are far outside all others."""

    column: str
    count: int
    value: float
    location: str
    middle: float
    distance: float

    @property
    def is_certain(self) -> bool:
        """True for a value that comes again, or that nobody measures."""
        far = abs(self.value - self.middle) > _FAR * self.distance
        return self.count > 1 or abs(self.value) >= _NEVER_MEASURED or far

    @property
    def sentence(self) -> str:
        """Location, column, value and way out."""
        more = f" and {self.count - 1:,} more" if self.count > 1 else ""
        return (
            f"{self.location}: column {self.column!r} holds {self.value:.9g}{more}, far outside all others "
            f"(half of them within {self.distance:.4g} of {self.middle:.4g}): if it stands for a missing "
            "value, remove such rows or fill them in"
        )


Finding = Merged | Outlier


class Numbers:
    """The numbers of one item's rows, batch by batch."""

    def __init__(self, data: DataSection) -> None:
        self._names = () if data.vector is None else data.vector.names
        # Where a range is declared, what is outside is set aside, and what is inside is meant.
        self._bounded = data.vector is not None and data.vector.range is not None
        self._sampled = False
        self._middle = self._distance = np.zeros(0)
        self._merged: list[Merged] = []
        self._outliers: dict[int, Outlier] = {}

    def add(self, exact: np.ndarray | None, path: Path, lines: Sequence[int]) -> None:
        """Looks at a batch.

        Args:
          exact: float64 [rows, n], finite; None where the data has no vectors.
          path: Of the file.
          lines: Where each row stands in it.
        """
        if exact is None or not len(exact):
            return
        if not self._sampled:
            self._sampled = True
            self._middle, self._distance = _middle(exact)
            self._merged = list(_merged(exact, self._middle, self._distance, self._names))
        if self._bounded:
            return
        ends = np.stack([exact.min(axis=0), exact.max(axis=0)])
        for at in np.flatnonzero(_beyond(ends, self._middle, self._distance).any(axis=0)):
            column = exact[:, at]
            rows = np.flatnonzero(_beyond(column, self._middle[at], self._distance[at]))
            if rows.size:
                self._count(int(at), column[rows], f"{path.name} line {lines[rows[0]]}")

    def findings(self) -> list[Finding]:
        """Columns that float32 merges, then outliers."""
        return [*self._merged, *self._outliers.values()]

    def _count(self, at: int, values: np.ndarray, location: str) -> None:
        if before := self._outliers.get(at):
            self._outliers[at] = replace(before, count=before.count + len(values))
            return
        middle, distance = float(self._middle[at]), float(self._distance[at])
        first = float(values[0])
        self._outliers[at] = Outlier(self._names[at], len(values), first, location, middle, distance)


def warnings(findings: Iterable[Finding]) -> list[str]:
    """One sentence a column of all items, those of many columns cut short."""
    merged: dict[str, Merged] = {}
    outliers: dict[str, Outlier] = {}
    for finding in findings:
        if isinstance(finding, Merged):
            worst = merged.get(finding.column, finding)
            merged[finding.column] = min(worst, finding, key=lambda loss: loss.kept / loss.values)
        elif before := outliers.get(finding.column):
            outliers[finding.column] = replace(before, count=before.count + finding.count)
        else:
            outliers[finding.column] = finding
    named = [outlier for outlier in outliers.values() if outlier.is_certain]
    return [*_some(merged.values()), *_some(named)]


def _some(findings: Iterable[Finding]) -> list[str]:
    sentences = [finding.sentence for finding in findings]
    more = [f"and {len(sentences) - _NAMED} more such columns"] if len(sentences) > _NAMED else []
    return sentences[:_NAMED] + more


def _merged(
    exact: np.ndarray, middle: np.ndarray, distance: np.ndarray, names: Sequence[str]
) -> Iterable[Merged]:
    """Columns of [rows, n] whose values float32 merges or, where all are whole numbers, changes."""
    low, high = exact.min(axis=0), exact.max(axis=0)
    largest = np.maximum(np.abs(low), np.abs(high))
    step = _step(largest)
    # Elsewhere steps and rows are too few for many values to fall together.
    dense = step * len(exact) > _DENSE * distance
    whole = (largest >= _FIRST_ROUNDED) & (largest < _NO_COUNT)
    # Whole numbers that not even float64 can tell apart have become one before anybody sees them.
    alike = (low == high) & (largest > _LAST_WHOLE)
    for at in np.flatnonzero(((dense | whole | (largest < _TINY)) & (low < high)) | alike):
        column = exact[:, at]
        rounded = column.astype(np.float32)
        rounded[np.abs(rounded) < _TINY] = 0.0
        values, kept = len(np.unique(column)), len(np.unique(rounded))
        changed = np.mean(rounded.astype(np.float64) != column)
        counted = whole[at] and changed > _MOST and (column == np.floor(column)).all()
        if values - kept > max(1.0, _MERGED * values) or (values > kept == 1) or counted or alike[at]:
            about = float(_step(abs(middle[at]))) if largest[at] >= _TINY else 0.0
            yield Merged(names[int(at)], values, kept, about, float(low[at]))


def _step(values: np.ndarray) -> np.ndarray:
    """From each value, not negative, to the next one in float32; float64 of the same shape."""
    # Behind the largest there is none: the step before it is as long.
    below = np.nextafter(np.finfo(np.float32).max, np.float32(0))
    return np.spacing(np.minimum(values, below).astype(np.float32)).astype(np.float64)


def _middle(exact: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median of each column of [rows, n], and the median distance from it; where it is 0, of those apart."""
    # Not every second row: what comes in turns would look like all there is.
    rows = np.random.default_rng(0).permutation(len(exact))[:_SAMPLE]
    sample = exact[rows]
    middle = np.median(sample, axis=0)
    distances = np.abs(sample - middle)
    distance = np.median(distances, axis=0)
    # Half of a column may be missing: what stands for that says nothing of where the others are.
    for at in np.flatnonzero(_is_fill(np.stack([sample.min(axis=0), sample.max(axis=0)])).any(axis=0)):
        others = sample[~_is_fill(sample[:, at]), at]
        if others.size > 1:
            middle[at] = np.median(others)
            distances[:, at] = np.abs(sample[:, at] - middle[at])
            distance[at] = np.median(np.abs(others - middle[at]))
    for at in np.flatnonzero(distance == 0):
        apart = distances[:, at][distances[:, at] > 0]
        # One value alone says nothing of how far apart values usually are.
        distance[at] = np.median(apart) if apart.size > 1 else max(abs(middle[at]), 1.0)
    return middle, distance


def _beyond(values: np.ndarray, middle: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """True for values that are far outside, or outside and such as stand for a missing one."""
    away = np.abs(values - middle) / distance
    return (away > _FAR) | ((away > _FAR_FILL) & _is_fill(values))


def _is_fill(values: np.ndarray) -> np.ndarray:
    """True for values such as programs write for a missing one."""
    known = np.isclose(np.abs(values)[..., np.newaxis], _FILLS, rtol=1e-5, atol=0.0).any(axis=-1)
    return known | (values == _FILL_BELOW)
