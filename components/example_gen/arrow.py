"""Columns of Arrow as plain values: every type that can be a text, a label or numbers; others are named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from components.example_gen.labels import floats
from trainer.errors import ConfigError
from trainer.features import LABEL, TEXT_A, TEXT_B, VECTOR
from trainer.values import number_or_bool

_LISTS = (
    types.is_list,
    types.is_large_list,
    types.is_fixed_size_list,
    types.is_list_view,
    types.is_large_list_view,
)
_STRINGS = (types.is_string, types.is_large_string, types.is_string_view)
_BINARIES = (types.is_binary, types.is_large_binary, types.is_binary_view, types.is_fixed_size_binary)
_NUMBERS = (types.is_integer, types.is_floating, types.is_decimal, types.is_boolean)
_TEXT = "a text is a string, or binary that holds UTF-8"
# What the others of `[data]` are.
_NEEDED = {
    TEXT_A: _TEXT,
    TEXT_B: _TEXT,
    VECTOR: "a vector is a list of numbers, or lists of one length inside a list",
    f"{LABEL}.column": "a label is a number, a bool or a string",
}
_A_NUMBER = "a vector's number is a number, a bool or a string that holds one"
# Characters of a type's name.
_LONGEST = 80


def check_type(key: str, name: str, kind: pa.DataType) -> None:
    """Check that a column has a type which `[data]` can take it for.

    Args:
      key: The key of `[data]`, as in `DataSection.wanted`.
      name: The column.
      kind: Its type.

    Raises:
      ConfigError: naming the type.
    """
    inner = _stored(kind)
    if not key.startswith((TEXT_A, TEXT_B, LABEL, VECTOR)):  # kept as it is
        return
    if key == VECTOR:
        good = _is(inner, _LISTS)
        while _is(inner, _LISTS):
            inner = _stored(inner.value_type)
        good = good and _is(inner, (*_NUMBERS, *_STRINGS, *_BINARIES))
    else:
        good = _is(inner, (*_STRINGS, *_BINARIES, *(() if key in (TEXT_A, TEXT_B) else _NUMBERS)))
    if not (good or types.is_null(inner)):
        type_name = "".join(letter if letter.isprintable() else "?" for letter in str(kind))[:_LONGEST]
        other = f"set [data] {key} to another column"
        if key == VECTOR and _is(inner, _NUMBERS):
            other = "name columns of single numbers in [data.vector] columns"
        raise ConfigError(
            f"column {name!r} is {type_name}, and {_NEEDED.get(key, _A_NUMBER)}: write it so, or {other}"
        )


def plain(column: pa.Array) -> Sequence[Any]:
    """A value for each row: text, number, bool, numbers or None; bytes where they are not UTF-8."""
    column = _decoded(column)
    kind = column.type
    if _is(kind, _LISTS):
        return lists(column)
    if _is(kind, _STRINGS):
        try:
            return column.to_pylist()
        except UnicodeDecodeError:  # a writer's fault: nobody looks whether a string is one
            column = column.cast(pa.large_binary())
    if types.is_fixed_size_binary(kind):  # shorter texts are filled up
        return [decoded(value and value.rstrip(b"\0")) for value in column.to_pylist()]
    if _is(column.type, _BINARIES):
        return [decoded(value) for value in column.to_pylist()]
    if types.is_decimal(kind):
        column = column.cast(pa.float64())
    if column.null_count == 0 and _is(kind, (types.is_integer, types.is_floating, types.is_decimal)):
        numbers: Any = column.to_numpy(zero_copy_only=False)
        return numbers
    return column.to_pylist()


def decoded(value: bytes | None) -> str | bytes | None:
    """Bytes that are UTF-8 as text; others stay, and are found to be no text."""
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def lists(column: pa.Array) -> Sequence[Any]:
    """Lists of numbers: an array [rows, numbers] where all have one shape, else a list of arrays or None.

    Lists of lists are flattened. A row whose lists have several lengths stays lists of lists.
    """
    column = _decoded(column)
    lengths, flat = _lengths(column), _decoded(pc.list_flatten(column))
    if not _is(flat.type, _LISTS):
        numbers: Any = _numbers(flat)
        if lengths is not None:
            return numbers.reshape(len(column), lengths)
        valid = np.asarray(column.is_valid())
        ends = np.cumsum(pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False))
        parts = np.split(numbers, ends[:-1])
        return [part if is_list else None for part, is_list in zip(parts, valid, strict=True)]
    whole: Any = _flattened(column)
    if whole is not None:
        return whole.reshape(len(column), whole.size // max(len(column), 1))
    rows = [column.slice(at, 1) for at in range(len(column))]
    flats = [None if row.null_count else _flattened(row) for row in rows]
    return [row.to_pylist()[0] if flat is None else flat for row, flat in zip(rows, flats, strict=True)]


def _flattened(column: pa.Array) -> np.ndarray | None:
    """The innermost numbers; None where the lists of a level have several lengths, or one is null."""
    while _is(column.type, _LISTS):
        if _lengths(column) is None:
            return None
        column = _decoded(pc.list_flatten(column))
    return _numbers(column)


def _lengths(column: pa.Array) -> int | None:
    """The length that all lists have."""
    if column.null_count:
        return None
    lengths = pc.unique(pc.list_value_length(column))
    return lengths[0].as_py() if len(lengths) == 1 else None if len(lengths) else 0


def _numbers(flat: pa.Array) -> np.ndarray:
    """float64; nulls and what is no number become NaN, which is reported as a bad number."""
    if _is(flat.type, (*_NUMBERS, types.is_null)):
        return flat.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return floats(plain(flat), number_or_bool)


def _decoded(column: pa.Array) -> pa.Array:
    """The values themselves, however they are kept."""
    while True:
        if isinstance(column.type, pa.BaseExtensionType):
            column = column.storage
        elif types.is_dictionary(column.type):
            column = column.dictionary_decode()
        elif types.is_run_end_encoded(column.type):
            column = pc.run_end_decode(column)
        else:
            return column


def _stored(kind: pa.DataType) -> pa.DataType:
    """The type of `_decoded` columns; bytes of a UUID are no text, so it stays."""
    while True:
        if isinstance(kind, pa.BaseExtensionType) and kind.extension_name != "arrow.uuid":
            kind = kind.storage_type
        elif types.is_dictionary(kind) or types.is_run_end_encoded(kind):
            kind = kind.value_type
        else:
            return kind


def _is(kind: pa.DataType, tests: Sequence[Any]) -> bool:
    return any(test(kind) for test in tests)
