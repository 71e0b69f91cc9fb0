"""A metric is a finite number or undefined with a reason, in memory and in JSON, today's and that of old."""

from __future__ import annotations

import copy
import json
import math

import pytest

from trainer.undefined import UNKNOWN, Undefined, defined, dump, load, number, reasons, strict, text, values

METRICS = {"auc": Undefined("all 40 labels are 0, none is 1"), "accuracy": 0.9}


def test_an_undefined_metric_is_nan_and_keeps_its_reason():
    # A copy is made as what travels between processes is.
    found = copy.deepcopy(METRICS["auc"])
    assert math.isnan(found)
    assert found.reason == "all 40 labels are 0, none is 1"  # type: ignore[attr-defined]
    assert f"{found:.4f} {text(found)}" == "undefined undefined"


def test_json_has_null_and_the_reason_beside_it():
    stored = json.loads(json.dumps(dump({**METRICS, "mse": math.inf}), allow_nan=False))
    assert stored == {
        "auc": None,
        "accuracy": 0.9,
        "mse": None,
        "undefined": {"auc": "all 40 labels are 0, none is 1", "mse": UNKNOWN},
    }
    found = load(stored)
    assert (found["accuracy"], found["auc"].reason) == (0.9, "all 40 labels are 0, none is 1")  # type: ignore[attr-defined]
    assert dump({"accuracy": 0.9}) == {"accuracy": 0.9}


@pytest.mark.parametrize("old", ["NaN", "Infinity", "-Infinity", math.nan, -math.inf, None, "abc", 10**400])
def test_what_older_versions_wrote_is_read(old):
    assert number(old) is None
    found = load({"auc": old, "accuracy": 0.5})
    assert isinstance(found["auc"], Undefined)
    assert found["accuracy"] == 0.5
    assert values({"test": {"auc": old, "rows": 3}, "interval": [0.1, old]}) == {
        "test": {"auc": None, "rows": 3},
        "interval": [0.1, None],
    }


def test_reasons_and_values_come_apart_however_deep_they_stand():
    stored = {"majority": {"test": dump(METRICS), "eval": dump({"accuracy": 1.0})}}
    assert values(stored) == {"majority": {"test": {"auc": None, "accuracy": 0.9}, "eval": {"accuracy": 1.0}}}
    assert reasons(stored) == {"majority": {"test": {"auc": "all 40 labels are 0, none is 1"}}}


def test_a_reason_of_its_own_goes_before_one_that_is_given():
    assert defined(METRICS["auc"], "another").reason.startswith("all 40")  # type: ignore[attr-defined]
    assert defined("NaN", "another").reason == "another"  # type: ignore[attr-defined]
    assert defined("0.5") == 0.5


def test_a_huge_metric_has_no_more_digits_than_it_has():
    assert [text(value) for value in (0.12345, -123456.7, 7.474e71)] == [
        "0.1235",
        "-123456.7000",
        "7.474e+71",
    ]


def test_strict_leaves_what_is_json_as_it_is():
    assert strict({"a": [1, 2.5, math.nan, "x", None, True], "b": {"c": math.inf}}) == {
        "a": [1, 2.5, None, "x", None, True],
        "b": {"c": None},
    }
