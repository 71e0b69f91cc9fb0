"""Columns of raw examples as arrays."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from trainer.features import LABEL, TEXT_A, TEXT_B, VECTOR


def texts(table: pa.Table) -> dict[str, np.ndarray]:
    """`text_a` and `text_b`: str [rows]."""
    return {
        name: np.array([value.decode() for value in flat(table, name).to_pylist()], object)
        for name in (TEXT_A, TEXT_B)
    }


def vectors(table: pa.Table) -> np.ndarray:
    """`vector`: float32 [rows, dimension]."""
    return flat(table, VECTOR).to_numpy(zero_copy_only=False).reshape(table.num_rows, -1)


def labels(table: pa.Table) -> np.ndarray:
    """`label`: float64 [rows], or [0] where the data has none."""
    if LABEL not in table.column_names:
        return np.zeros(0)
    return flat(table, LABEL).to_numpy(zero_copy_only=False).astype(np.float64)


def flat(table: pa.Table, name: str) -> pa.Array:
    """The values of a column of lists."""
    column: pa.ListArray = table[name].combine_chunks()
    return column.flatten()
