"""JSON lines as people have them: each oddity costs its row, or the file is named with the way out."""

from __future__ import annotations

import json

import pytest

from components.example_gen.batch import FaultReason
from components.example_gen.data_config import DataSection
from components.example_gen.reader import check_columns
from tests.components.example_rows import Row, read_rows
from trainer.errors import ConfigError

GOOD = '{"a": "x", "b": "y", "same": 1}'
COLUMNS = {"text_a": "a", "text_b": "b", "label": {"column": "same", "kind": "binary"}}


def rows_of(tmp_path, *lines):
    path = tmp_path / "t.jsonl"
    path.write_text("\n".join([GOOD, *lines, GOOD]), encoding="utf-8")
    return list(read_rows(path, DataSection(format="jsonl", path=path, **COLUMNS)))


@pytest.mark.parametrize(
    ("line", "reason", "words"),
    [
        ('{"a": "x", "b": "y", "same": 1, "a": "z"}', FaultReason.MALFORMED_JSON, "key 'a' comes 2 times"),
        ('{"a": "x", "b": "y", "same": NaN}', FaultReason.BAD_LABEL, "'nan' is not a binary label"),
        ('{"a": "x", "b": "y", "same": -Infinity}', FaultReason.BAD_LABEL, "'-inf' is not a binary label"),
        ('{"a": "x", "b": "y", "same": null}', FaultReason.BAD_LABEL, "null is not a binary label"),
        (f'{{"a": "x", "b": "y", "same": {"9" * 400}}}', FaultReason.BAD_LABEL, "'9999999999"),
        (
            f'{{"a": "x", "b": "y", "same": {"9" * 9_999}}}',
            FaultReason.BAD_LABEL,
            "'inf' is not a binary label",
        ),
        (f'{{"a": "x", "b": "y", "same": {"[" * 500}{"]" * 500}}}', FaultReason.BAD_LABEL, "a list of 1"),
        ('{"a": {"en": "x"}, "b": "y", "same": 1}', FaultReason.NOT_A_TEXT, "an object of 1 is no text"),
        ('{"a": ["x"], "b": "y", "same": 1}', FaultReason.NOT_A_TEXT, "a list of 1 is no text"),
        ('{"a": 3, "b": "y", "same": 1}', FaultReason.NOT_A_TEXT, "'3' is no text"),
        ('{"a": null, "b": "y", "same": 1}', FaultReason.EMPTY_TEXT, "column 'a': null"),
        ('{"a": "x", "b": "y"}', FaultReason.MISSING_KEY, "no key 'same'"),
        ("[" * 100_000, FaultReason.MALFORMED_JSON, "nested too deeply"),
        (f"[{GOOD}]", FaultReason.MALFORMED_JSON, "a JSON array: write one object a line"),
        (GOOD + GOOD, FaultReason.MALFORMED_JSON, "more than one object: write one object a line"),
        ("7", FaultReason.MALFORMED_JSON, "int in place of an object"),
        ("{'a': 'x'}", FaultReason.MALFORMED_JSON, "Expecting property name"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_an_odd_line_costs_itself_alone(tmp_path, line, reason, words):
    first, bad, last = rows_of(tmp_path, line)
    assert first == last == Row("x", "y", 1.0)
    assert (bad.line, bad.reason) == (2, reason)
    assert words in bad.detail
    assert len(bad.detail) < 200


@pytest.mark.parametrize(
    "line",
    [
        f"\ufeff{GOOD}",  # files put one behind the other, each with its mark
        GOOD.replace("1", "true"),
        GOOD.replace("1", '"1.0"'),
        GOOD.replace("1", "1e0"),
        GOOD.replace('"x"', '"x", "more": {"a": "z", "n": [1, {"a": 2}], "t": "12:30"}'),
        GOOD.replace('"x"', '"x", "more": 1, "more": ' + "9" * 9_999),
        json.dumps({"same": 1, "b": "y", "a": "x", "id": "12:30:00"}),
    ],
    ids=lambda value: value[:40],
)
def test_what_is_only_written_otherwise_is_taken(tmp_path, line):
    assert rows_of(tmp_path, line) == [Row("x", "y", 1.0)] * 3


def test_a_vector_of_oddities(tmp_path):
    path = tmp_path / "t"
    values = ["[1, 2]", '["1", " 2.0 "]', "[true, false]", "[[1], [2]]", '[null, "NaN"]', "[1, NaN]"]
    values += ['"1, 2"', "{}", "null", "[1, [2]]", "[[1], 2]", f"[1, {'9' * 9_999}]", "[" * 99 + "]" * 99]
    path.write_text("".join(f'{{"v": {value}}}\n' for value in values))
    data = DataSection(format="jsonl", path=path, vector={"column": "v", "dimension": 2})
    found = [row.vector.tolist() if isinstance(row, Row) else row.detail for row in read_rows(path, data)]
    assert found == [
        [1, 2],
        [1, 2],
        [1, 0],
        [1, 2],
        "column 'v[0]': not a finite number",
        "column 'v[1]': not a finite number",
        "column 'v': '1, 2' is no list, dimension = 2",
        "column 'v': an object of 0 is no list, dimension = 2",
        "column 'v': no values, dimension = 2",
        "column 'v[1]': not a finite number",
        "column 'v': 2 lists of 0 to 1 values, dimension = 2",
        "column 'v[1]': not a finite number",
        "column 'v': 0 values, dimension = 2",
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (f"[{GOOD}, {GOOD}]", "a JSON array: write one object a line, such as by jq -c '.[]' FILE"),
        (f"[\n{GOOD},\n{GOOD}\n]", "a JSON array: write one object a line, such as by jq -c '.[]' FILE"),
        (f"[{GOOD},\n{GOOD}]", "a JSON array: write one object a line"),
        (
            json.dumps(json.loads(GOOD), indent=2),
            "of several lines: write each in one, such as by jq -c . FILE",
        ),
        (json.dumps([json.loads(GOOD)], indent=2), "a JSON array: write one object a line"),
        (GOOD * 3, "more than one object: write one object a line"),
        ('{"q": "x"}', 'no key \'a\': set [data] to keys of these objects, such as {"q": "x"}'),
        ("a,b,score\nx,y,1\n", ': if these are fields, set [data] format = "csv"'),
    ],
    ids=[
        "array",
        "array of lines",
        "array of two",
        "pretty",
        "pretty array",
        "in a row",
        "other keys",
        "csv",
    ],
)
def test_a_file_that_is_no_json_lines_is_named_with_the_way_out(tmp_path, content, words):
    path = tmp_path / "t.json"
    path.write_text(content)
    with pytest.raises(ConfigError) as caught:
        check_columns(path, DataSection(format="jsonl", path=path, **COLUMNS))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
