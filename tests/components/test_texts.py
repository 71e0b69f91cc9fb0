"""Splits are remembered from span to span, and forgotten with the window."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from components.example_gen.check import UsableRows
from components.example_gen.data_config import SPLITS, DataSection, Split
from components.example_gen.plan import decide, digest, plan
from components.example_gen.spans import Carry
from components.example_gen.splits import JOINS, assign
from components.example_gen.texts import Texts
from tests.components.examples import ingest
from trainer.text.form import TextForm

SPANS = st.lists(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=20), min_size=2, max_size=4
)


def keys(pairs):
    texts = ([f"text {pair[at]}".encode() for pair in pairs] for at in (0, 1))
    return UsableRows(*texts).keys(TextForm())


def carry(span, oldest=0):
    return Carry(span, "", oldest, "")


@given(SPANS)
@settings(max_examples=200, deadline=None)
def test_a_text_stays_in_its_split_over_all_spans(spans):
    texts, splits = Texts.none(), defaultdict(set)
    for number, pairs in enumerate(spans):
        places = assign(keys(pairs), Split(), texts)
        texts = texts.with_span(keys(pairs), places, carry(number))
        for (a, b), place in zip(pairs, places.tolist(), strict=True):
            if place != JOINS:
                splits[a].add(place)
                splits[b].add(place)
    assert all(len(found) == 1 for found in splits.values())


def test_a_row_of_known_texts_follows_them():
    first = keys([(1, 2)])
    [place] = assign(first, Split())
    other = (int(place) + 1) % len(SPLITS)
    known = Texts.none().with_span(first, np.array([other], np.uint8), carry(0))
    assert assign(keys([(1, 9), (8, 2), (1, 2)]), Split(), known).tolist() == [other] * 3


def test_a_row_between_two_splits_is_set_aside():
    known = Texts.none().with_span(keys([(1, 1), (2, 2)]), np.array([0, 2], np.uint8), carry(0))
    assert assign(keys([(1, 2)]), Split(), known).tolist() == [JOINS]


def test_the_second_span_follows_the_first_and_a_third_both(tmp_path):
    """By the artifacts alone: where one text goes, the other one of its row goes with it, span after span."""
    label = {"column": "same", "kind": "binary"}
    places, uri = {}, ""
    for number, (a, b) in enumerate((("one", "two"), ("two", "three"), ("three", "four"))):
        path = tmp_path / f"{number}.csv"
        path.write_text("a,b,same\n" + "".join(f"{a} {row},{b} {row},1\n" for row in range(30)))
        data = DataSection(format="csv", path=path, text_a="a", text_b="b", label=label)
        folder = tmp_path / f"span-{number}"
        folder.mkdir()
        digests = [digest(item, data, TextForm()) for item in plan(data, data.files())]
        [assignment] = decide(
            digests, data, TextForm(), Carry(number, "", max(0, number - 1), uri), str(folder)
        )
        places[number] = list(assignment.destinations)
        uri = str(folder)
    assert len(set(places[0])) == 3
    assert places[0] == places[1] == places[2]
    # Texts of the first span that did not come again are forgotten with the window.
    kept = Texts.load(Carry(3, "", 0, uri), TextForm())
    assert sorted(kept.spans.tolist()) == [1] * 30 + [2] * 60


def test_hashes_of_another_form_are_made_anew_from_the_examples(tmp_path):
    """Spans that were read before a text's form was what counts, or for a model that read in another way."""
    files = {number: tmp_path / f"{number}.csv" for number in range(3)}
    for number, path in files.items():
        mark = ("", "!", " ?")[number]
        rows = "".join(f"Le café {at}{mark},b {at}{mark.upper()},1\n" for at in range(40))
        path.write_text(f"a,b,same\n{rows}")
    label = {"column": "same", "kind": "binary"}
    splits, spans, written = {}, {}, {}
    for number, path in files.items():
        data = DataSection(format="csv", path=path, text_a="a", text_b="b", label=label)
        uri = str(tmp_path / f"span-{number}")
        # The second span is kept as code before this kept it: without a form.
        before = Carry(number, "", 0, next(reversed(spans), ""), dict(spans))
        form = TextForm(lowercase=number < 2)
        written[number] = ingest(data, tmp_path / f"span-{number}", form=form, carry=before)
        if number == 1:
            table = pq.read_table(f"{uri}/texts.parquet")
            pq.write_table(table.replace_schema_metadata(None), f"{uri}/texts.parquet")
        spans[uri] = number
        for split, rows in written[number].splits.items():  # type: ignore[assignment]
            for row in rows:
                splits.setdefault(row[1].rstrip("! ?"), set()).add(split)
    assert len(splits) == 40
    assert all(len(found) == 1 for found in splits.values())
    assert not written[2].quarantine


def test_texts_that_the_window_has_left_are_forgotten():
    known = Texts.none().with_span(keys([(1, 2)]), np.array([0], np.uint8), carry(5))
    known = known.with_span(keys([(2, 3)]), np.array([0], np.uint8), carry(6))
    assert sorted(known.spans.tolist()) == [5, 6, 6]
    known = known.with_span(keys([(4, 4)]), np.array([1], np.uint8), carry(7, oldest=6))
    assert sorted(known.spans.tolist()) == [6, 6, 7]


def test_rows_in_no_split_are_not_remembered():
    known = Texts.none().with_span(keys([(1, 2), (3, 4)]), np.array([JOINS, JOINS + 1], np.uint8), carry(1))
    assert len(known.hashes) == 0


def test_they_come_back_from_the_artifact(tmp_path):
    known = Texts.none().with_span(keys([(1, 2), (3, 4)]), np.array([0, 2], np.uint8), carry(9))
    known.save(str(tmp_path), TextForm())
    found = Texts.load(Carry(10, "", 0, str(tmp_path)), TextForm())
    for name in ("hashes", "splits", "spans"):
        np.testing.assert_array_equal(getattr(found, name), getattr(known, name))
        assert getattr(found, name).dtype == getattr(known, name).dtype
    assert len(Texts.load(carry(10), TextForm()).hashes) == 0
