from __future__ import annotations

import math
from decimal import Decimal

import numpy as np
import pytest

from trainer.values import key, number, number_or_bool, show


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1", 1),
        (" 3\t", 3),
        ("+1.5", 1.5),
        ("-.5", -0.5),
        ("1.", 1),
        ("1e3", 1000),
        ("1E-2", 0.01),
        ("\u00a07\u00a0", 7),
        ("infinity", math.inf),
        ("-inf", -math.inf),
        ("1e999", math.inf),
        ("9" * 5000, math.inf),
        (10**400, math.inf),
        (-(10**400), -math.inf),
        (7, 7),
        (np.float32(0.5), 0.5),
        (np.uint64(3), 3),
        (np.float16(1.5), 1.5),
        (Decimal("2.50"), 2.5),
    ],
)
def test_numbers_are_what_every_tool_takes_for_one(value, expected):
    assert number(value) == number_or_bool(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "x",
        "1_5",
        "٣",
        "\uff11",
        "0x10",
        "1,5",
        "1 000",
        "50%",
        "\u22121",
        "1e",
        "nan",
        "1d3",
        "1.5f",
        None,
        [],
        [1],
        {},
        b"1",
        b"\xff",
        np.zeros(1),
        float("nan"),
        1j,
    ],
)
def test_what_only_python_takes_for_a_number_is_none(value):
    assert math.isnan(number(value))
    assert math.isnan(number_or_bool(value))


def test_bools_are_numbers_where_they_are_asked_for():
    for value in (True, np.True_, "true", " TRUE "):
        assert math.isnan(number(value))
        assert number_or_bool(value) == 1
    assert number_or_bool("False") == number_or_bool(np.False_) == 0
    assert math.isnan(number_or_bool("yes"))


@pytest.mark.parametrize(
    "alike",
    [
        (1, 1.0, "1", "1.0", " 01 ", "+1", "1e0", np.int8(1), np.float32(1), Decimal("1.00")),
        (0, -0.0, "-0", "0.00"),
        (0.1, np.float32(0.1), float(np.float32(0.1)), "0.1", ".1", Decimal("0.1")),
        (True, np.True_, "true", "TRUE", " True "),
        (False, "false"),
        ("word", " word\n"),
        (2**53 + 1, str(2**53 + 1)),
    ],
)
def test_the_same_value_has_one_key(alike):
    assert len({key(value) for value in alike}) == 1


def test_other_values_have_other_keys():
    different = [0, 1, 2**53, 2**53 + 1, 0.1, "a", "A", True, False, "yes", "1_0", "٣", "", "nan", "1" * 400]
    assert len({key(value) for value in different}) == len(different)
    assert {key(value) for value in (None, float("nan"), float("inf"), [1], {}, b"\xff")} == {None}


def test_a_message_shows_nothing_that_a_terminal_obeys():
    assert show("\x1b[31mred\x1b[0m\u202e") == r"'\x1b[31mred\x1b[0m\u202e'"
    assert show(" " + "x" * 99) == repr("x" * 40)
    assert [show(value) for value in (None, [1, 2], {"a": 1}, 1.5)] == [
        "null",
        "a list of 2",
        "an object of 1",
        "'1.5'",
    ]
