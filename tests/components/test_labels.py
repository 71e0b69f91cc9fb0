"""Labels as people write them: the same values mean the same in every format."""

from __future__ import annotations

import json
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from components.example_gen.batch import FaultReason
from components.example_gen.counts import check_counts
from components.example_gen.data_config import DataSection
from components.example_gen.labels import LabelCounts, advice
from tests.components.example_rows import Row, read_rows
from tests.components.examples import ingest_here
from tests.components.tables import FORMATS, write_table
from trainer.errors import DataRejected
from trainer.features import MEANS_0, MEANS_1, Label


def data_of(file_format, path, **label):
    return DataSection(format=file_format, path=path, text_a="a", text_b="b", label={"column": "y", **label})


def labels(file_format, tmp_path, values, **label):
    """The label of each row, or why it has none."""
    texts = [f"text {at}" for at in range(len(values))]
    path = tmp_path / f"t.{file_format}"
    write_table(file_format, path, {"a": texts, "b": texts[::-1], "y": values})
    rows = read_rows(path, data_of(file_format, path, **label))
    return [row.label if isinstance(row, Row) else row.reason for row in rows]


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize(
    "values",
    [
        [True, False],
        [1, 0],
        [1.0, 0.0],
        [Decimal("1.00"), Decimal("0.00")],
        ["yes", "No"],
        [" TRUE ", "false"],
        ["t", "F"],
        ["Y", "n"],
        ["on", "OFF"],
        ["1.0", "-0"],
    ],
)
def test_binary_labels_as_people_write_them(tmp_path, file_format, values):
    assert labels(file_format, tmp_path, values, kind="binary") == [1, 0]


words = {value: st.sampled_from(sorted(given)) for value, given in ((True, MEANS_1), (False, MEANS_0))}
spelled = st.booleans().flatmap(
    lambda value: st.tuples(
        st.just(value),
        words[value].flatmap(lambda word: st.sampled_from([word, word.upper(), word.title()])),
        st.sampled_from(["", " ", "\t", " \n"]),
    ).map(lambda parts: (parts[0], f"{parts[2]}{parts[1]}{parts[2]}"))
)
typed = st.sampled_from([bool, int, float, Decimal]).flatmap(
    lambda kind: st.lists(st.booleans().map(lambda value: (value, kind(value))), min_size=1, max_size=9)
)


tables = st.lists(spelled, min_size=1, max_size=9) | typed


def check_spellings(folder, written):
    meant, values = zip(*written, strict=True)
    for file_format in FORMATS:
        found = labels(file_format, folder, list(values), kind="binary")
        assert found == list(meant), file_format


@settings(max_examples=15)
@given(tables)
def test_any_spelling_is_the_same_label_in_every_format(tmp_path_factory, written):
    check_spellings(tmp_path_factory.getbasetemp(), written)


@pytest.mark.slow
@settings(max_examples=400)
@given(tables)
def test_many_spellings_are_the_same_label_in_every_format(tmp_path_factory, written):
    check_spellings(tmp_path_factory.getbasetemp(), written)


@settings(max_examples=15)
@given(st.lists(st.floats(-2, 7, width=32), min_size=1, max_size=9))
def test_any_score_is_the_same_label_in_every_format(tmp_path_factory, values):
    expected = [
        value if 0 <= value <= np.float32(4.7) else FaultReason.LABEL_OUT_OF_RANGE for value in values
    ]
    for file_format in FORMATS:
        found = labels(file_format, tmp_path_factory.getbasetemp(), values, kind="score", range=[0, 4.7])
        assert found == expected, file_format


def test_a_score_at_its_limit_is_within_in_every_format(tmp_path):
    for file_format in FORMATS:
        found = labels(file_format, tmp_path, [0.1, 0.7], kind="score", range=[0.1, 0.7])
        assert np.float32(found).tolist() == np.float32([0.1, 0.7]).tolist()


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize(
    ("classes", "values", "expected"),
    [
        ([0, 1, 2], [2, 0, 1], [2, 0, 1]),
        (["0", "1", "2"], [2.0, 0.0, 1.0], [2, 0, 1]),
        (["0", "1", "2"], ["2.0", " 1", "01"], [2, 1, 1]),
        ([1.0, 0.5], [0.5, 1.0], [1, 0]),
        ([0.1, 0.2], [0.2, 0.1], [1, 0]),
        (["no", "Yes"], ["Yes ", "yes", "no"], [1, FaultReason.BAD_LABEL, 0]),
        (["1_5", "٣"], ["٣", "1_5", "15", "3"], [1, 0, FaultReason.BAD_LABEL, FaultReason.BAD_LABEL]),
        ([3, 7], [7, 8, 3], [1, FaultReason.BAD_LABEL, 0]),
    ],
)
def test_classes_are_compared_by_value(tmp_path, file_format, classes, values, expected):
    assert labels(file_format, tmp_path, values, kind="classes", classes=classes) == expected


@pytest.mark.parametrize("file_format", ["csv", "jsonl", "parquet"])
def test_bools_are_classes_by_their_words(tmp_path, file_format):
    assert labels(file_format, tmp_path, [True, False], kind="classes", classes=["False", "true"]) == [1, 0]
    assert labels(file_format, tmp_path, [True, False], kind="classes", classes=[False, True]) == [1, 0]
    assert (
        labels(file_format, tmp_path, [True, False], kind="score", range=[0, 1])
        == [FaultReason.BAD_LABEL] * 2
    )


@pytest.mark.parametrize(
    ("value", "kind", "detail"),
    [
        (None, "binary", "null is not a binary label"),
        ([1], "binary", "a list of 1 is not a binary label"),
        ({"x": 1}, "binary", "an object of 1 is not a binary label"),
        ("maybe", "binary", "'maybe' is not a binary label"),
        (0.5, "binary", "'0.5' is not a binary label"),
        (2, "binary", "'2' is not within 0..1"),
        ("1_0", "binary", "'1_0' is not a binary label"),
        (float("nan"), "binary", "'nan' is not a binary label"),
        (True, "score", "'True' is no number"),
        ("1_5", "score", "'1_5' is no number"),
        ("٣", "score", "'٣' is no number"),
        ("0x1", "score", "'0x1' is no number"),
        ([[1]], "score", "a list of 1 is no number"),
        (float("inf"), "score", "'inf' is not a score label"),
        pytest.param(10**4000, "score", "'1" + "0" * 39 + "' is not a score label", id="huge"),
        ("\x1b[2J", "score", r"'\x1b[2J' is no number"),
        (6, "score", "'6' is not within 0..5"),
        (None, "classes", "null is none of the classes"),
        ("None", "classes", "'None' is none of the classes"),
        (True, "classes", "'True' is none of the classes"),
    ],
)
def test_what_is_no_label_is_named(tmp_path, value, kind, detail):
    """Of mixed types, as JSON lines may have them: 1 stays 1 beside True."""
    more = {"score": {"range": [0, 5]}, "classes": {"classes": [0, 1]}}.get(kind, {})
    path = write_table("jsonl", tmp_path / "t", {"a": "xyz", "b": "rst", "y": [1, value, "1"]})
    first, bad, last = read_rows(path, data_of("jsonl", path, kind=kind, **more))
    assert (first.label, last.label) == (1, 1)
    assert (bad.line, bad.detail) == (2, f"column 'y': {detail}")


POSITIVE = {"kind": "binary", "positive": "Duplicate"}


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_named_value_means_1(tmp_path, file_format):
    values = ["duplicate", "not", " DUPLICATE", "dupe", ""]
    found = labels(file_format, tmp_path, values, **POSITIVE, negative="Not")
    assert found == [1, 0, 1, FaultReason.BAD_LABEL, FaultReason.BAD_LABEL]
    for positive, negative in ((2, 1), (-1.0, 1.0), (0, 1)):
        pair = {"kind": "binary", "positive": str(positive), "negative": negative}
        assert labels(file_format, tmp_path, [positive, negative], **pair) == [1, 0]


def taken(data, folder):
    """The counts of a whole ingestion that the row gate lets through."""
    counts = ingest_here(data, folder).counts
    check_counts(str(folder), data)
    return counts


def file_of(tmp_path, values):
    texts = [f"text {at}" for at in range(len(values))]
    return write_table("csv", tmp_path / "t.csv", {"a": texts, "b": texts[::-1], "y": values})


def test_the_only_other_value_means_0(tmp_path):
    values = ["duplicate", "distinct", ""] * 40
    data = data_of("csv", file_of(tmp_path, values), **POSITIVE).model_copy(update={"max_quarantined": 0.5})
    counts = taken(data, tmp_path / "out")
    assert counts["sources"]["path"]["bad label"] == 40
    assert counts["labels"]["path"]["values"] == {"duplicate": 40, "distinct": 40, "": 40}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            ["duplicate"] * 9 + ["distinct"] * 8 + ["distnict"],
            "positive = \"Duplicate\", and several others were seen: 'duplicate' 9 times, "
            "'distinct' 8 times, 'distnict' 1 time: name both, such as positive = \"Duplicate\", "
            'negative = "distinct": rows with others are then quarantined',
        ),
        (
            ["duplikate"] * 9,
            "it was never seen: 'duplikate' 9 times: correct positive, or give the data both",
        ),
        (
            ["1", "0"] * 9,
            "it was never seen: '1' 9 times, '0' 9 times: remove positive: without it these mean",
        ),
        (["no"] * 9, "it was never seen: 'no' 9 times: remove positive"),
        (
            ["duplicate"] * 9 + ["NULL"] * 8,
            "the only value beside positive = \"Duplicate\" often stands for nothing: 'duplicate' 9 times, "
            "'NULL' 8 times: if it means 0, say so with negative = \"NULL\"; else",
        ),
        (["dup"] * 9 + ["not"] * 8, 'name both, such as positive = "dup", negative = "not":'),
    ],
)
def test_a_slip_of_the_pen_is_not_taken_for_0(tmp_path, values, words):
    with pytest.raises(DataRejected) as caught:
        taken(data_of("csv", file_of(tmp_path, values), **POSITIVE), tmp_path / "out")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "label", "words"),
    [
        (
            ["dup"] * 18 + ["not"] * 12,
            {"kind": "binary"},
            "labels seen: 'dup' 18 times, 'not' 12 times: set label = { column = \"y\", kind = \"binary\", "
            'positive = "dup", negative = "not" }, or the two the other way round',
        ),
        ([1] * 18 + [2] * 12, {"kind": "binary"}, 'positive = "2", negative = "1"'),
        (
            ["a", "b", "c"] * 10,
            {"kind": "binary"},
            'set label = { column = "y", kind = "classes", classes = ["a", "b", "c"] }',
        ),
        (
            ["1", "3", "5"] * 10,
            {"kind": "binary"},
            'classes = ["1", "3", "5"] }; or label = { column = "y", kind = "score", range = [1, 5] }',
        ),
        (
            ["Yes", "No"] * 10,
            {"kind": "classes", "classes": ["yes", "no"]},
            "seen: 'Yes' 10 times, 'No' 10 times: set label = { column = \"y\", kind = \"binary\" }",
        ),
        (
            ["A", "B"] * 10,
            {"kind": "classes", "classes": ["a", "b"]},
            'set label = { column = "y", kind = "classes", classes = ["A", "B"] }',
        ),
        (
            ["a", "b", "c"] * 10,
            {"kind": "classes", "classes": ["a", "b"]},
            'classes = ["a", "b", "c"] }',
        ),
        (
            ["Entailment", "neutral", "CONTRADICTION"] * 10,
            {"kind": "classes", "classes": ["neutral", "entailment", "contradiction"]},
            'kind = "classes", classes = ["neutral", "CONTRADICTION", "Entailment"] }',
        ),
        (
            ["Up", "up", "down", "level"] * 10,
            {"kind": "classes", "classes": ["down", "level"]},
            'write "Up" and "up" alike, or set label = ',
        ),
        (["1,234", "2,000"] * 10, {"kind": "score", "range": [0, 5]}, "write them without commas, or if"),
        (["true", "false"] * 10, {"kind": "score", "range": [0, 1]}, 'kind = "binary" }'),
        (["high", "low"] * 10, {"kind": "score", "range": [0, 1]}, 'classes = ["high", "low"] }'),
        (
            [0.5, 77, 100] * 10,
            {"kind": "score", "range": [0, 5]},
            'numbers from 77 to 100: set label = { column = "y", kind = "score", range = [0, 100] }',
        ),
        ([""] * 30, {"kind": "binary"}, "labels seen: no value 30 times: fill them in"),
        (
            [f"v{at}" for at in range(300)],
            {"kind": "binary"},
            "others: set label column to another column, or correct the values",
        ),
        (
            ["NULL", "1", "0"] * 10,
            {"kind": "binary"},
            "'NULL' 10 times, '1' 10 times, '0' 10 times: fill them in, or set label column to another",
        ),
        (
            ["4,5", "3,25"] * 10,
            {"kind": "score", "range": [0, 5]},
            "'4,5' 10 times, '3,25' 10 times: set [data] decimal = \",\"",
        ),
        (["\x1b[2J", "x" * 999], {"kind": "binary"}, r'positive = "\u001b[2J"'),
    ],
)
def test_labels_that_were_refused_are_told_with_the_key_that_takes_them(tmp_path, values, label, words):
    data = data_of("csv", file_of(tmp_path, values), **label)
    with pytest.raises(DataRejected) as caught:
        taken(data, tmp_path / "out")
    message = str(caught.value)
    assert words in message
    assert message.isprintable()
    assert len(message) < 1_200


@pytest.mark.parametrize(
    "label",
    [{"kind": "binary"}, {"kind": "classes", "classes": ["0", "1"]}, {"kind": "score", "range": [0, 1]}],
)
@pytest.mark.parametrize("file_format", FORMATS)
def test_a_nan_is_a_missing_label(tmp_path, file_format, label):
    """As pandas keeps whole numbers of which some are missing."""
    assert labels(file_format, tmp_path, [1.0, np.nan, 0.0], **label) == [1, FaultReason.BAD_LABEL, 0]


def test_labels_are_told_where_most_bad_rows_are_bad_for_theirs(tmp_path):
    texts = [f"text {at}" if at < 3 else "" for at in range(20)]
    path = write_table("csv", tmp_path / "t.csv", {"a": texts, "b": texts, "y": ["x", *[1] * 19]})
    with pytest.raises(DataRejected, match="18 of 20") as caught:
        taken(data_of("csv", path, kind="binary"), tmp_path / "out")
    assert "labels seen" not in str(caught.value)


def test_what_is_seen_is_bounded_and_survives_json():
    seen = LabelCounts()
    for at in range(300):
        seen.add(LabelCounts.from_json({"values": {f"v{at}": 1, "often": 2}, "low": -at, "high": at}))
    assert len(seen.counts) == 100
    assert seen.counts["often"] == 600
    again = LabelCounts.from_json(json.loads(json.dumps(seen.to_json())))
    assert again == seen
    assert "numbers from -299 to 299" in str(again)
    assert "95 or more others" in advice(again, Label(column="y", kind="binary"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind": "binary", "negative": "x"}, "negative = 'x' needs positive"),
        ({"kind": "binary", "positive": "x", "negative": " X"}, "are the same value 'x'"),
        ({"kind": "binary", "positive": 1, "negative": "1.0"}, "are the same value '1'"),
        ({"kind": "binary", "positive": " "}, "positive is empty"),
        ({"kind": "score", "range": [0, 1], "positive": "x"}, "positive belongs to kind = 'binary'"),
        ({"kind": "classes", "classes": [1, "1.0"]}, "'1' and '1.0' are the same value"),
        ({"kind": "classes", "classes": ["a", "a "]}, "'a' and 'a ' are the same value"),
        ({"kind": "classes", "classes": ["True", True]}, "are the same value"),
        ({"kind": "classes", "classes": [1]}, "two or more different names"),
    ],
)
def test_an_impossible_label_is_refused(changes, words):
    with pytest.raises(ValidationError) as caught:
        Label(column="y", **changes)
    assert words in str(caught.value)


def test_spans_need_both_values():
    spans = {"format": "csv", "pattern": "s-{SPAN}.csv", "text_a": "a", "text_b": "b"}
    with pytest.raises(ValidationError, match="label positive needs negative"):
        DataSection(**spans, label={"column": "y", **POSITIVE})
    DataSection(**spans, label={"column": "y", **POSITIVE, "negative": "x"})


def test_names_of_toml_are_kept_as_text():
    label = Label(column="y", kind="classes", classes=[0, 1.0, 2.5, True, "x"])
    assert label.classes == ("0", "1", "2.5", "true", "x")
    assert Label.model_validate_json(label.model_dump_json()) == label
