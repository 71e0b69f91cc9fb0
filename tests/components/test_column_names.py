from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from components.example_gen.column_names import Names

NAMES = TypeAdapter(Names)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (["p0..p3", "y"], ("p0", "p1", "p2", "p3", "y")),
        (["0..2"], ("0", "1", "2")),
        (["9..11"], ("9", "10", "11")),
        (["px_008..px_011"], ("px_008", "px_009", "px_010", "px_011")),
        (["00..02"], ("00", "01", "02")),
        (["p08..p100"], tuple(f"p{at:02d}" for at in range(8, 101))),
        (["0_1..0_2"], ("0_1", "0_2")),
        (["v.0..v.1"], ("v.0", "v.1")),
        (["x[0]..x[2]"], ("x[0]", "x[1]", "x[2]")),
        (["f_09_a..f_11_a"], ("f_09_a", "f_10_a", "f_11_a")),
        ("p0..p1", ("p0", "p1")),
        (["p0a..p3b", "p0..3", "p0...p3"], ("p0a..p3b", "p0..3", "p0...p3")),
        (["a..b", "p0..q3", "1.5", "..", "0..", "p٣..p٣"], ("a..b", "p0..q3", "1.5", "..", "0..", "p٣..p٣")),
        ([r"p0\..p3", r"0\\..2", r"x[0]\..x[1]"], ("p0..p3", r"0\..2", "x[0]..x[1]")),
        ([f"{'9' * 30}..{'9' * 31}"], (f"{'9' * 30}..{'9' * 31}",)),
    ],
)
def test_runs_of_names(written, expected):
    names = NAMES.validate_python(written)
    assert names == expected
    assert NAMES.validate_json(NAMES.dump_json(names)) == expected  # as it travels to the steps


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("p9..p0", "'p9..p0' counts down: a run goes up"),
        ("3..3", "'3..3' is one name"),
        ("px_001..px_12", "zeros before one number"),
        ("p1..p012", "zeros before one number"),
        ("p01..p1", "is one name"),
        ("0..1000000000", "stands for 1,000,000,001 names, and 100,000 are the most"),
        ("p0..p999999999999999999", "are the most"),
    ],
)
def test_a_run_that_cannot_be_meant_is_one_sentence(written, words):
    with pytest.raises(ValidationError) as caught:
        NAMES.validate_python([written])
    assert words in str(caught.value)
    assert "is written with a backslash before its points" in str(caught.value)
