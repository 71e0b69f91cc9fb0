"""The usable rows of a batch, and the faults of the others. No Beam and no TFX in here."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.example_gen.batch import Batch, Fault, FaultReason
from components.example_gen.data_config import DataSection, Vector
from components.example_gen.keys import hashes
from components.example_gen.labels import COMMA_NUMBER, check_labels, floats
from components.example_gen.records import with_bad_bytes
from trainer.features import LABEL, TEXT_A, TEXT_B, VECTOR
from trainer.text.form import TextForm
from trainer.values import number_or_bool, show


@dataclass
class UsableRows:
    """Usable rows, column by column; what the data does not have is None."""

    text_a: list[bytes] | None = None
    text_b: list[bytes] | None = None
    vector: np.ndarray | None = None
    """float32 [rows, dimension]"""
    exact: np.ndarray | None = None
    """the same before it was rounded, float64"""
    label: np.ndarray | None = None
    """float64 [rows]; a class is its index in the list of classes"""

    def __len__(self) -> int:
        return len(next(column for column in (self.text_a, self.vector) if column is not None))

    def take(self, mask: np.ndarray) -> UsableRows:
        """The rows for which `mask`, bool [rows], is true."""
        if mask.all():
            return self

        def taken(column: Any) -> Any:
            if isinstance(column, list):
                return list(itertools.compress(column, mask))
            return None if column is None else column[mask]

        return UsableRows(*map(taken, (self.text_a, self.text_b, self.vector, self.exact, self.label)))

    def keys(self, form: TextForm) -> np.ndarray:
        """uint64 [rows, 2]: hashes of the texts' forms, or twice of the vector; equal ones are one text."""
        if self.vector is not None:
            # Adding 0 makes the two zeros of a float one.
            keys = hashes(row.tobytes() for row in self.vector + np.float32(0))
            return np.stack([keys, keys], axis=1)
        return np.stack([hashes(form.forms(part or [])) for part in (self.text_a, self.text_b)], axis=1)


def check(batch: Batch, data: DataSection) -> tuple[UsableRows, dict[int, Fault]]:
    """The usable rows in their order, and the fault of each other row by its index in the batch."""
    faults = dict(batch.faults)
    rows = UsableRows()
    if data.label is not None:
        rows.label = check_labels(batch.columns[f"{LABEL}.column"], data.label, faults)
    if data.vector is not None:
        rows.vector, rows.exact = check_vectors(batch.columns, data.vector, faults)
    else:
        rows.text_a, rows.text_b = (
            check_texts(batch.columns[key], data.wanted[key], data, faults) for key in (TEXT_A, TEXT_B)
        )
    usable = np.ones(len(batch.positions), bool)
    usable[list(faults)] = False
    return rows.take(usable), faults


def check_texts(
    values: Sequence[Any], column: str, data: DataSection, faults: dict[int, Fault]
) -> list[bytes]:
    """Texts in UTF-8 without white space at their ends; whatever is not usable is in `faults`."""
    texts = [value.strip() if isinstance(value, str) else value for value in values]
    longest = data.max_text_length
    for at, text in enumerate(texts):
        if not isinstance(text, str) or not 0 < len(text) <= longest:
            faults.setdefault(at, _text_fault(text, column, longest))
            texts[at] = ""
    for at in with_bad_bytes(texts):
        detail = f"column {column!r}: half of a surrogate pair"
        faults.setdefault(at, Fault(FaultReason.BAD_ENCODING, detail))
        texts[at] = ""
    return [text.encode() for text in texts]


def _text_fault(text: Any, column: str, longest: int) -> Fault:
    if text is None or text == "":
        return Fault(FaultReason.EMPTY_TEXT, f"column {column!r}" + (": null" if text is None else ""))
    if isinstance(text, str):
        detail = f"column {column!r}: {len(text)} characters, {longest} allowed"
        return Fault(FaultReason.TEXT_TOO_LONG, detail)
    if isinstance(text, bytes):
        return Fault(FaultReason.BAD_ENCODING, f"column {column!r}: bytes that are not utf-8")
    return Fault(FaultReason.NOT_A_TEXT, f"column {column!r}: {show(text)} is no text")


def check_vectors(
    columns: Mapping[str, Sequence[Any]], vector: Vector, faults: dict[int, Fault]
) -> tuple[np.ndarray, np.ndarray]:
    """float32 [rows, dimension], and as read, float64; whatever is not usable is in `faults`.

    Numbers are those of `trainer.values.number_or_bool`.
    """
    names = vector.names
    if vector.column is not None:
        exact = _stack(columns[VECTOR], vector, faults)
    else:
        by_column = [floats(columns[f"{VECTOR}.columns[{at}]"], number_or_bool) for at in range(len(names))]
        exact = np.stack(by_column, axis=1)
    with np.errstate(over="ignore"):  # too large for float32 is not finite either
        numbers = exact.astype(np.float32)
    finite = np.isfinite(numbers)
    for row in np.flatnonzero(~finite.all(axis=1)):
        at = int(np.argmin(finite[row]))
        detail = f"{exact[row, at]:g} is too large for float32"
        if not np.isfinite(exact[row, at]):
            value = columns[f"{VECTOR}.columns[{at}]"][int(row)] if vector.column is None else None
            detail = _not_finite(value)
        faults.setdefault(int(row), Fault(FaultReason.BAD_NUMBER, f"column {names[at]!r}: {detail}"))
    if vector.range is not None:
        low, high = vector.range
        inside = (numbers >= low) & (numbers <= high)
        for row in np.flatnonzero(~inside.all(axis=1)):
            at = int(np.argmin(inside[row]))
            detail = f"column {names[at]!r}: {numbers[row, at]:g} is not within {low:g}..{high:g}"
            faults.setdefault(int(row), Fault(FaultReason.VALUE_OUT_OF_RANGE, detail))
    return numbers, exact


def _not_finite(value: Any) -> str:
    """The fault of a value that is no finite number; those of lists are numbers already."""
    if not isinstance(value, str):
        return "not a finite number"
    comma = COMMA_NUMBER.fullmatch(value) is not None
    return f"not a finite number: {show(value)}" + (", unless [data] decimal = ','" if comma else "")


def _stack(lists: Sequence[Any], vector: Vector, faults: dict[int, Fault]) -> np.ndarray:
    """float64 [rows, dimension]; zeros where a list is missing or has another length.

    Lists of lists, as images are, count as their numbers one after the other where all have one length.
    """
    if isinstance(lists, np.ndarray) and lists.shape[1:] == (vector.dimension,):
        return lists
    numbers = np.zeros((len(lists), vector.dimension))
    plain: dict[int, Sequence[Any]] = {}
    for row, values in enumerate(lists):
        flat, count = _flat(values)
        if flat is None or len(flat) != vector.dimension:
            detail = f"column {vector.column!r}: {count}, dimension = {vector.dimension}"
            faults.setdefault(row, Fault(FaultReason.WRONG_DIMENSION, detail))
        elif isinstance(flat, np.ndarray):
            numbers[row] = flat
        else:
            plain[row] = flat
    if plain:
        together = floats(list(itertools.chain.from_iterable(plain.values())), number_or_bool)
        numbers[list(plain)] = together.reshape(len(plain), vector.dimension)
    return numbers


def _flat(values: Any) -> tuple[Sequence[Any] | None, str]:
    """The numbers of a list, or of lists of one length inside it; and how many there are, in words."""
    if not isinstance(values, list | np.ndarray):
        return None, "no values" if values is None else f"{show(values)} is no list"
    while len(values) and isinstance(values[0], list):
        lengths = {len(part) if isinstance(part, list) else 0 for part in values}
        if len(lengths) > 1:
            return None, f"{len(values)} lists of {min(lengths)} to {max(lengths)} values"
        values = list(itertools.chain.from_iterable(values))
    return values, f"{len(values)} values"
