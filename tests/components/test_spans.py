"""Spans on disk: numbers and days, what is complete, what is missing."""

import os
import re
from pathlib import Path

import pytest

from components.example_gen.spans import Spans, check_pattern, find, missing, name
from trainer.errors import ConfigError


def _make(folder: Path, *names: str) -> None:
    for one in names:
        (folder / one).parent.mkdir(parents=True, exist_ok=True)
        (folder / one).write_text("a\n")


def test_numbers_are_found_in_order_of_their_value(tmp_path):
    _make(tmp_path, "pairs-9.csv", "pairs-10.csv", "pairs-010b.csv", "other-11.csv")
    found = find(str(tmp_path / "pairs-{SPAN}.csv"), Spans())
    assert [span.number for span in found] == [9, 10]
    assert [span.files for span in found] == [
        (tmp_path / "pairs-9.csv",),
        (tmp_path / "pairs-10.csv",),
    ]


def test_a_day_is_the_number_of_days_since_1970(tmp_path):
    _make(tmp_path, "2026-11-25/b.csv", "2026-11-25/a.csv", "2026-11-24/a.csv", "2026-11-24/a.txt")
    pattern = str(tmp_path / "{YYYY}-{MM}-{DD}" / "*.csv")
    found = find(pattern, Spans())
    assert [name(span.number, pattern) for span in found] == ["2026-11-24", "2026-11-25"]
    assert [path.name for path in found[1].files] == ["a.csv", "b.csv"]
    assert found[1].number == 20_782


def test_a_field_that_comes_twice_has_to_be_the_same(tmp_path):
    _make(tmp_path, "2026/2026-01-02.csv", "2025/2026-01-03.csv")
    found = find(str(tmp_path / "{YYYY}" / "{YYYY}-{MM}-{DD}.csv"), Spans())
    assert [path.name for span in found for path in span.files] == ["2026-01-02.csv"]


def test_a_day_that_no_calendar_has_is_told(tmp_path):
    _make(tmp_path, "2026-02-30.csv")
    with pytest.raises(ConfigError, match=r"2026-02-30.csv: .* is no day: day is out of range"):
        find(str(tmp_path / "{YYYY}-{MM}-{DD}.csv"), Spans())


def test_a_changed_file_changes_the_fingerprint(tmp_path):
    _make(tmp_path, "1.csv")
    pattern = str(tmp_path / "{SPAN}.csv")
    [before] = find(pattern, Spans())
    (tmp_path / "1.csv").write_text("a\nb\n")
    [after] = find(pattern, Spans())
    assert before.fingerprint != after.fingerprint


def test_a_span_waits_for_its_marker(tmp_path):
    _make(tmp_path, "2026-11-25.csv", "2026-11-26.csv", "2026-11-25.done")
    spans = Spans(marker=str(tmp_path / "{YYYY}-{MM}-{DD}.done"))
    found = find(str(tmp_path / "{YYYY}-{MM}-{DD}.csv"), spans)
    assert [span.waiting for span in found] == ["", f"{tmp_path}/2026-11-26.done is not there"]


@pytest.mark.parametrize("marker", ["007.done", "7.done"])
def test_a_marker_is_named_as_the_file_is(tmp_path, marker):
    _make(tmp_path, "007.csv", "008.csv", "70.csv", "07.done", marker)
    found = find(str(tmp_path / "{SPAN}.csv"), Spans(marker=str(tmp_path / "{SPAN}.done")))
    assert {span.number: span.waiting for span in found} == {
        7: "",
        8: f"{tmp_path}/008.done is not there",
        70: f"{tmp_path}/70.done is not there",
    }


def test_a_span_waits_until_its_files_have_rested(tmp_path):
    _make(tmp_path, "1.csv")
    os.utime(tmp_path / "1.csv", (1_000, 1_000))
    pattern, spans = str(tmp_path / "{SPAN}.csv"), Spans.model_validate({"min_age": "30m"})
    assert "complete at 1970-01-01 00:46 UTC" in find(pattern, spans, now=1_000 + 1_799)[0].waiting
    assert find(pattern, spans, now=1_000 + 1_800)[0].waiting == ""


@pytest.mark.parametrize("newest", ["a.csv", "b.csv", "c.csv"])
def test_of_several_files_the_newest_has_to_have_rested(tmp_path, newest):
    for one in ("a.csv", "b.csv", "c.csv"):
        _make(tmp_path, f"1/{one}")
        os.utime(tmp_path / "1" / one, (2_000, 2_000) if one == newest else (1_000, 1_000))
    pattern, spans = str(tmp_path / "{SPAN}" / "*.csv"), Spans.model_validate({"min_age": "30m"})
    assert find(pattern, spans, now=2_000 + 1_799)[0].waiting.endswith("complete at 1970-01-01 01:03 UTC")
    assert find(pattern, spans, now=2_000 + 1_800)[0].waiting == ""


def test_what_lacks_between_is_missing():
    assert missing([3, 7, 5]) == [4, 6]
    assert missing([]) == []


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("data/*.csv", "name the span by {SPAN}"),
        ("data/{YYYY}-{MM}.csv", "name all three"),
        ("data/{SPAN}-{YYYY}-{MM}-{DD}.csv", "name the span by {SPAN}, or the day"),
    ],
)
def test_a_pattern_names_a_number_or_a_day(pattern, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        check_pattern(pattern)


def test_a_duration_has_a_unit():
    assert Spans.model_validate({"min_age": "2d"}).min_age.days == 2
    with pytest.raises(ValueError, match="write a duration as a number"):
        Spans.model_validate({"min_age": "tomorrow"})
