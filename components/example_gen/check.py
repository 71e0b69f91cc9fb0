"""Which rows of a batch can be used, and what is wrong with the others. No Beam and no TFX in here."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.example_gen.batch import Batch, Fault, Reason
from components.example_gen.config import Data, Vector
from trainer.features import LABEL, TEXT_A, TEXT_B, VECTOR, Label

# So much of a value is shown in a reason.
SHOWN = 40


@dataclass
class Rows:
    """Usable rows, column by column; what the data does not have is None."""

    text_a: list[bytes] | None = None
    text_b: list[bytes] | None = None
    vector: np.ndarray | None = None
    """float32 [rows, dimension]"""
    exact: np.ndarray | None = None
    """the same before it was rounded, float64"""
    label: np.ndarray | None = None
    """float64 [rows]; a class is its place in the list of classes"""

    def __len__(self) -> int:
        columns = [c for c in (self.text_a, self.vector) if c is not None]
        return len(columns[0])

    def take(self, mask: np.ndarray) -> Rows:
        """The rows for which `mask`, bool [rows], is true."""
        if mask.all():
            return self
        at = np.flatnonzero(mask)
        return Rows(
            None if self.text_a is None else [self.text_a[i] for i in at],
            None if self.text_b is None else [self.text_b[i] for i in at],
            None if self.vector is None else self.vector[at],
            None if self.exact is None else self.exact[at],
            None if self.label is None else self.label[at],
        )

    def keys(self) -> np.ndarray:
        """uint64 [rows, 2]: hashes of the texts, or twice of the vector; equal ones belong together."""
        if self.vector is not None:
            found = np.array([_hash(row.tobytes()) for row in self.vector], np.uint64)
            return np.stack([found, found], axis=1)
        texts = (self.text_a or [], self.text_b or [])
        return np.stack([np.array([_hash(text) for text in part], np.uint64) for part in texts], axis=1)


def check(batch: Batch, data: Data) -> tuple[Rows, dict[int, Fault]]:
    """The usable rows in their order, and the fault of each other row by its place in the batch."""
    faults = dict(batch.faults)
    found = Rows()
    if data.label is not None:
        found.label = _check_labels(batch.columns[f"{LABEL}.column"], data.label, faults)
    if data.vector is not None:
        found.vector, found.exact = _check_vectors(batch.columns, data.vector, faults)
    else:
        found.text_a, found.text_b = (
            _check_texts(batch.columns[key], data.wanted[key], data, faults) for key in (TEXT_A, TEXT_B)
        )
    usable = np.ones(len(batch.positions), bool)
    usable[list(faults)] = False
    return found.take(usable), faults


def _hash(content: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")


def _check_texts(values: Sequence[Any], column: str, data: Data, faults: dict[int, Fault]) -> list[bytes]:
    texts = [value.strip() if isinstance(value, str) else value for value in values]
    longest = data.max_text_length
    for at, text in enumerate(texts):
        if isinstance(text, str) and 0 < len(text) <= longest:
            continue
        faults.setdefault(at, _text_fault(text, column, longest))
        texts[at] = ""
    try:
        return [text.encode() for text in texts]
    except UnicodeEncodeError:
        return [_encode(at, text, column, faults) for at, text in enumerate(texts)]


def _text_fault(text: Any, column: str, longest: int) -> Fault:
    if text is None or text == "":
        return Fault(Reason.EMPTY_TEXT, f"column {column!r}")
    if isinstance(text, str):
        return Fault(Reason.TEXT_TOO_LONG, f"column {column!r}: {len(text)} characters, {longest} allowed")
    if isinstance(text, bytes):
        return Fault(Reason.BAD_ENCODING, f"column {column!r}: bytes that are not utf-8")
    return Fault(Reason.NOT_A_TEXT, f"column {column!r}: {str(text)[:SHOWN]!r} is no text")


def _encode(at: int, text: str, column: str, faults: dict[int, Fault]) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        said = f"column {column!r}: half of a surrogate pair"
        faults.setdefault(at, Fault(Reason.BAD_ENCODING, said))
        return b""


def _check_labels(values: Sequence[Any], label: Label, faults: dict[int, Fault]) -> np.ndarray:
    """float64 [rows]; whatever is not usable is in `faults`."""
    if label.classes is not None:
        places = {name: float(at) for at, name in enumerate(label.classes)}
        numbers = np.array([places.get(str(value).strip(), math.nan) for value in values])
        good = np.isfinite(numbers)
    else:
        low, high = label.bounds
        numbers = floats(values)
        good = (numbers >= low) & (numbers <= high)
        if label.kind == "binary":
            good &= (numbers == low) | (numbers == high)
    for at in np.flatnonzero(~good):
        faults.setdefault(int(at), _label_fault(values[int(at)], numbers[at], label))
    return numbers


def _label_fault(value: Any, number: float, label: Label) -> Fault:
    place = f"column {label.column!r}: {str(value).strip()[:SHOWN]!r}"
    if label.classes is not None:
        return Fault(Reason.BAD_LABEL, f"{place} is none of the classes")
    low, high = label.bounds
    try:
        float(value)
    except OverflowError:
        pass  # a number, of more digits than a float has room for
    except (TypeError, ValueError):
        return Fault(Reason.BAD_LABEL, f"{place} is no number")
    if not math.isfinite(number) or (label.kind == "binary" and low < number < high):
        return Fault(Reason.BAD_LABEL, f"{place} is not a {label.kind} label")
    return Fault(Reason.LABEL_OUT_OF_RANGE, f"{place} is not within {low:g}..{high:g}")


def floats(values: Sequence[Any]) -> np.ndarray:
    """float64 [values]; NaN for what is no number, or a whole one that is too large."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "fiub":
        return values.astype(np.float64)
    try:
        return np.array(list(map(float, values)))
    except (TypeError, ValueError, OverflowError):
        return np.array([_float(value) for value in values])


def _float(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _check_vectors(
    columns: Mapping[str, Sequence[Any]], vector: Vector, faults: dict[int, Fault]
) -> tuple[np.ndarray, np.ndarray]:
    """float32 [rows, dimension], and as read, float64; whatever is not usable is in `faults`."""
    if vector.column is not None:
        numbers = _stack(columns[VECTOR], vector, faults)
        names: Sequence[str] = [f"{vector.column}[{at}]" for at in range(vector.dimension)]
    else:
        names = vector.columns or ()
        by_column = [floats(columns[f"{VECTOR}.columns[{at}]"]) for at in range(len(names))]
        numbers = np.stack(by_column, axis=1)
    exact = numbers
    with np.errstate(over="ignore"):  # too large for float32 is not finite either
        numbers = numbers.astype(np.float32)
    finite = np.isfinite(numbers)
    for row in np.flatnonzero(~finite.all(axis=1)):
        at = int(np.argmin(finite[row]))
        large = np.isfinite(exact[row, at])
        said = f"{exact[row, at]:g} is too large for float32" if large else "not a finite number"
        faults.setdefault(int(row), Fault(Reason.BAD_NUMBER, f"column {names[at]!r}: {said}"))
    if vector.range is not None:
        low, high = vector.range
        inside = (numbers >= low) & (numbers <= high)
        for row in np.flatnonzero(~inside.all(axis=1)):
            at = int(np.argmin(inside[row]))
            said = f"column {names[at]!r}: {numbers[row, at]:g} is not within {low:g}..{high:g}"
            faults.setdefault(int(row), Fault(Reason.VALUE_OUT_OF_RANGE, said))
    return numbers, exact


def _stack(lists: Sequence[Any], vector: Vector, faults: dict[int, Fault]) -> np.ndarray:
    """float64 [rows, dimension]; zeros where a list is missing or has another length."""
    if isinstance(lists, np.ndarray) and lists.shape[1:] == (vector.dimension,):
        return lists
    numbers = np.zeros((len(lists), vector.dimension))
    for row, values in enumerate(lists):
        is_list = isinstance(values, list | np.ndarray)
        if is_list and len(values) == vector.dimension:
            numbers[row] = floats(values)
            continue
        found = len(values) if is_list else "no"
        said = f"column {vector.column!r}: {found} values, dimension = {vector.dimension}"
        faults.setdefault(row, Fault(Reason.WRONG_DIMENSION, said))
    return numbers
