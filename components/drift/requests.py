"""Logged serving requests as a table of raw features."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from tfx.dsl.io import fileio

from components.drift.derive import CHARACTERS
from components.drift.sampling import sample_lines
from components.example_gen.paths import matching
from trainer.features import TEXT_A, TEXT_B, VECTOR
from trainer.spec import VectorSpec

_LARGEST = 3.4e38
# Of texts that the log hides, it tells the lengths. Its tokens are parted by spaces, which is no measure of
# texts that are tokenized here.
_LENGTHS = tuple(f"{name}_{CHARACTERS}" for name in (TEXT_A, TEXT_B))


@dataclass(frozen=True)
class Requests:
    """A sample of the log's `lines` lines; `unusable` lines of the sample hold no row of the data's kind."""

    table: pa.Table
    lines: int
    unusable: int


def read_requests(pattern: str, vector: VectorSpec | None, rows: int) -> Requests:
    """At most `rows` lines of the files that match, each a JSON object whose `inputs` are one row.

    Lines of other signatures, of other shapes, and lines that are cut off are counted and left out.
    """
    lines, total = sample_lines(_lines(pattern), rows)
    usable = [inputs for line in lines if (inputs := _inputs(line, vector)) is not None]
    # All rows of the table have the same columns: those that the most telling rows have.
    columns = [set(inputs) for inputs in usable]
    wanted = max(columns, key=lambda names: (columns.count(names), sorted(names)), default=set())
    kept = [inputs for inputs in usable if set(inputs) == wanted]
    table = pa.table({name: _column([inputs[name] for inputs in kept]) for name in sorted(wanted)})
    return Requests(table, total, len(lines) - len(kept))


def log_state(pattern: Path | None) -> str:
    """Names, sizes and times of the files that match: a key for the cache."""
    if pattern is None:
        return ""
    states = [(path, os.stat(path)) for path in matching(pattern)]
    return json.dumps([[path, state.st_size, state.st_mtime_ns] for path, state in states])


def _lines(pattern: str) -> Iterator[bytes]:
    for path in matching(pattern):
        with fileio.open(path, "rb") as raw, gzip.open(raw) if path.endswith(".gz") else raw as file:
            for line in file:
                if line.strip():
                    yield line


def _inputs(line: bytes, vector: VectorSpec | None) -> Mapping[str, Any] | None:
    """The row's features, or None where the line has none."""
    try:
        inputs = json.loads(line)["inputs"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if not isinstance(inputs, dict):
        return None
    if vector is not None:
        values = inputs.get(VECTOR)
        if not isinstance(values, list) or len(values) != vector.dimension:
            return None
        return {VECTOR: values} if all(map(_is_number, values)) else None
    texts = {name: text for name in (TEXT_A, TEXT_B) if isinstance(text := inputs.get(name), str)}
    if len(texts) == 2:
        return {name: text.encode("utf-8", "replace") for name, text in texts.items()}
    lengths = {name: inputs[name] for name in _LENGTHS if _is_number(inputs.get(name))}
    return lengths or None


def _is_number(value: Any) -> bool:
    """True for a number that float32 can hold; JSON has larger ones."""
    return isinstance(value, int | float) and abs(value) <= _LARGEST


def _column(values: list[Any]) -> pa.Array:
    """A list column, as tf.Examples have it."""
    if isinstance(values[0], bytes):
        return pa.array([[value] for value in values], pa.list_(pa.binary()))
    return pa.array([v if isinstance(v, list) else [v] for v in values], pa.list_(pa.float32()))
