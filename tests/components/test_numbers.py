"""Columns that float32 cannot hold, and values far outside all others, are named; ordinary ones are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from components.example_gen.data_config import DataSection
from components.example_gen.numbers import Numbers, warnings

RANDOM = np.random.default_rng(5)
ROWS = 2_000
NOISE = RANDOM.normal(size=ROWS)


def said_of(*batches: np.ndarray, **vector) -> list[str]:
    """The warnings of an item whose batches [rows, n] stand in x.csv, below a header."""
    width = batches[0].shape[1]
    names = [f"p{at}" for at in range(width)]
    data = DataSection(format="csv", path="x.csv", vector={"columns": names, "dimension": width, **vector})
    numbers, line = Numbers(data), 2
    for batch in batches:
        numbers.add(batch, Path("/data/x.csv"), range(line, line + len(batch)))
        line += len(batch)
    return warnings(numbers.findings())


@pytest.mark.parametrize(
    "column",
    [
        NOISE,
        100 + NOISE,
        1e29 * NOISE,
        1e-30 * NOISE,
        np.exp(3 * NOISE),
        RANDOM.standard_cauchy(ROWS),
        np.round(np.exp(15 + 2 * NOISE)),  # inhabitants of towns
        RANDOM.integers(0, 2, ROWS),
        RANDOM.integers(0, 100, ROWS) * (NOISE > 2),  # mostly 0
        np.full(ROWS, 0.1),
        np.full(ROWS, 1.7e12),
        np.full(ROWS, -999),
        np.where(NOISE > 1, 99, np.abs(10 * NOISE)),
        np.arange(ROWS),
        np.where(NOISE > 1, 999, 10 + 400 * NOISE),  # a price that is no odd one out
    ],
)
def test_ordinary_columns_are_not_named(column):
    assert said_of(np.asarray(column, np.float64)[:, np.newaxis]) == []


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (
            1.7e12 + RANDOM.integers(0, 70_000, ROWS),
            "steps of 131072 there): subtract a base such as 17000000",
        ),
        (
            1.7e9 + RANDOM.uniform(0, 86_400, ROWS),
            "in float32, in which vectors are kept (steps of 128 there)",
        ),
        (1.7e9 + RANDOM.integers(0, 3e8, ROWS), "steps of 128 there)"),  # type: ignore[call-overload]
        (1e9 + np.arange(ROWS), "2,000 different values become 32 in float32"),
        (RANDOM.integers(10**11, 10**12, ROWS), "whole numbers are rounded in float32"),
        (1e8 + 10 * NOISE, "steps of 8 there)"),
        (1e-42 * NOISE, "float32 has 0 for values as small as these: multiply them by a power of 10"),
        (1e-60 * NOISE, "float32 has 0 for values as small as these"),
        # What float64 makes of numbers that count up from 2**63 - 2_000.
        (np.full(ROWS, 2.0**63), "all values are 9.22337203685478e+18, and of whole numbers as large"),
        (np.full(ROWS, 1e20), "all values are 1e+20, and of whole numbers as large"),
    ],
)
def test_a_column_that_would_lose_its_digits_is_named(column, words):
    [said] = said_of(np.stack([NOISE, column.astype(np.float64)], axis=1))
    assert said.startswith("column 'p1': ")
    assert words in said


@pytest.mark.parametrize("value", [9.96921e36, -9.969209968386869e36, 1e20, 3.4028235e38, 1e9, -1e15])
def test_one_value_far_outside_is_named_with_its_line(value):
    table = RANDOM.normal(20, 5, size=(ROWS, 3))
    table[1_500, 1] = value
    [said] = said_of(table[:1_000], table[1_000:])
    assert said.startswith(
        f"x.csv line 1502: column 'p1' holds {value:.9g}, far outside all others (half of them "
    )
    assert said.endswith("if it stands for a missing value, remove such rows or fill them in")


@pytest.mark.parametrize("value", [-9999, -999, -99, 99999, -32767, -32768, 65535, 9999.9])
def test_what_programs_write_for_a_missing_value_is_named_where_it_comes_again(value):
    table = RANDOM.normal(20, 5, size=(ROWS, 2))
    table[::4, 0] = value
    table[9, 1] = -999  # once, it may be a measurement
    [said] = said_of(table)
    assert said.startswith(f"x.csv line 2: column 'p0' holds {value:.9g} and 499 more, far outside")


@pytest.mark.parametrize("share", [0.5, 0.75, 0.99])
def test_a_fill_value_is_far_outside_though_most_rows_have_it(share):
    column = np.where(RANDOM.uniform(size=ROWS) < share, -999.0, NOISE)
    [said] = said_of(column[:, np.newaxis])
    assert f"column 'p0' holds -999 and {np.sum(column == -999) - 1:,} more, far outside" in said


def test_within_a_declared_range_every_value_is_meant():
    table = RANDOM.uniform(size=(ROWS, 1))
    table[3] = 1e6
    assert said_of(table, range=[0, 1e6]) == []
    assert said_of(table) != []


def test_columns_of_all_items_are_counted_together_and_many_are_cut_short():
    table = RANDOM.normal(size=(ROWS, 9))
    table[0] = 1e20
    found = Numbers(DataSection(format="csv", path="x.csv", vector={"columns": ["p0..p8"], "dimension": 9}))
    found.add(table, Path("x.csv"), range(2, 2 + ROWS))
    said = warnings([*found.findings(), *found.findings()])
    assert len(said) == 6
    assert "column 'p0' holds 1e+20 and 1 more" in said[0]
    assert said[-1] == "and 4 more such columns"


def test_data_without_vectors_or_rows_says_nothing():
    data = DataSection(format="csv", path="x.csv", text_a="a", text_b="b")
    numbers = Numbers(data)
    numbers.add(None, Path("x.csv"), range(3))
    assert numbers.findings() == []
    assert said_of(np.zeros((0, 2))) == []
