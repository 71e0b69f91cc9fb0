"""One source into splits: no leaks, no moves, the shares that were asked for."""

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.example_gen.check import UsableRows
from components.example_gen.data_config import SPLITS, Split
from components.example_gen.keys import pair_keys
from components.example_gen.spans import Carry
from components.example_gen.splits import JOINS, assign, conflicts, shared
from components.example_gen.texts import Texts
from trainer.text.form import TextForm

PAIRS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=60)
GROWING, WHOLE = Split(), Split(groups="whole")
CARRY = Carry(span=1, fingerprint="", oldest=0, earlier="")


def keys(pairs):
    texts = ([f"text {pair[at]}".encode() for pair in pairs] for at in (0, 1))
    return UsableRows(*texts).keys(TextForm())


@pytest.mark.parametrize("split", [GROWING, WHOLE], ids=["growing", "whole"])
@given(pairs=PAIRS)
@settings(max_examples=200, deadline=None)
def test_a_text_stands_in_one_split_only(pairs, split):
    splits_of_text = defaultdict(set)
    for (a, b), place in zip(pairs, assign(keys(pairs), split), strict=True):
        if place != JOINS:
            splits_of_text[a].add(place)
            splits_of_text[b].add(place)
    assert all(len(splits) == 1 for splits in splits_of_text.values())


@given(PAIRS, PAIRS)
@settings(max_examples=200, deadline=None)
def test_appended_rows_move_nothing(pairs, more):
    before = assign(keys(pairs), GROWING)
    assert assign(keys(pairs + more), GROWING)[: len(pairs)].tolist() == before.tolist()


@given(PAIRS)
@settings(max_examples=100, deadline=None)
def test_only_a_row_between_two_splits_is_set_aside(pairs):
    seen = {}
    for (a, b), place in zip(pairs, assign(keys(pairs), GROWING).tolist(), strict=True):
        if place == JOINS:
            assert {seen[a], seen[b]} < set(range(len(SPLITS)))
            assert seen[a] != seen[b]
        else:
            assert seen.setdefault(a, place) == seen.setdefault(b, place) == place


@given(PAIRS)
@settings(max_examples=100, deadline=None)
def test_by_whole_groups_every_row_has_a_place(pairs):
    assert JOINS not in assign(keys(pairs), WHOLE)


def test_by_whole_groups_an_appended_row_may_move_others():
    pairs = [(2 * i, 2 * i + 1) for i in range(50)]
    before = assign(keys(pairs), WHOLE)
    other = int(np.flatnonzero(before != before[0])[0])
    joined = [*pairs, (0, 2 * other)]
    after = assign(keys(joined), WHOLE)
    assert after[0] == after[other] == after[-1]
    assert assign(keys(joined), GROWING)[-1] == JOINS


@pytest.mark.parametrize("split", [GROWING, WHOLE], ids=["growing", "whole"])
def test_rows_that_extend_a_group_follow_it(split):
    pairs = [(0, 1), (5, 6)]
    before = assign(keys(pairs), split).tolist()
    after = assign(keys([*pairs, (1, 2), (3, 2), (6, 7)]), split).tolist()
    assert after == [before[0], before[1], before[0], before[0], before[1]]


@pytest.mark.parametrize("split", [GROWING, WHOLE], ids=["growing", "whole"])
def test_a_chain_of_any_length_is_one_group(split):
    chain = [(i, i + 1) for i in range(5_000)]
    assert len(set(assign(keys(chain), split).tolist())) == 1


@pytest.mark.parametrize("groups", ["growing", "whole"])
def test_shares_are_kept_and_repeated(groups):
    pairs = [(2 * i, 2 * i + 1) for i in range(20_000)]
    split = Split(train=6, eval=3, test=1, groups=groups)
    places = assign(keys(pairs), split)
    assert places.tolist() == assign(keys(pairs), split).tolist()
    for at, share in enumerate((0.6, 0.3, 0.1)):
        assert abs(np.mean(places == at) - share) < 0.015


def test_the_same_vector_stands_in_one_split_only():
    rng = np.random.default_rng(0)
    vectors = rng.integers(0, 2, [200, 3]).astype(np.float32)
    found = defaultdict(set)
    for vector, place in zip(
        vectors, assign(UsableRows(vector=vectors).keys(TextForm()), GROWING), strict=True
    ):
        found[vector.tobytes()].add(place)
    assert len(found) == 8
    assert all(len(places) == 1 for places in found.values())


def test_the_two_zeros_of_a_float_are_one_vector():
    zeros = UsableRows(vector=np.array([[0.0, 1], [-0.0, 1]], np.float32)).keys(TextForm())
    assert len(np.unique(zeros)) == 1


def test_nothing_in_nothing_out():
    assert assign(np.zeros((0, 2), np.uint64), GROWING).tolist() == []
    nothing = np.zeros((0, 2), np.uint64)
    assert conflicts(pair_keys(nothing, symmetric=True), np.zeros(0)).tolist() == []


@pytest.mark.parametrize(("symmetric", "found"), [(False, [3]), (True, [1, 3])])
def test_a_pair_that_came_with_another_label_conflicts(symmetric, found):
    pairs = [(0, 1), (1, 0), (0, 1), (0, 1), (2, 2), (0, 1)]
    labels = np.array([1.0, 0.0, 1.0, 0.0, 0.0, 1.0])
    assert np.flatnonzero(conflicts(pair_keys(keys(pairs), symmetric), labels)).tolist() == found


def test_a_label_conflicts_that_is_higher_or_lower_than_the_first():
    labels = np.array([0.5, 1.0, 0.5, 0.0, 1.0])
    assert np.flatnonzero(conflicts(pair_keys(keys([(0, 1)] * 4 + [(2, 3)]), False), labels)).tolist() == [
        1,
        3,
    ]


def test_texts_of_two_splits_are_counted():
    texts = {"train": np.unique(keys([(0, 1), (2, 3)])), "test": np.unique(keys([(3, 4), (3, 0)]))}
    assert shared(texts) == {"train and test": 2}


def test_each_two_of_the_splits_are_compared():
    texts = {"train": np.array([1, 2, 3]), "eval": np.array([2, 3]), "test": np.array([3])}
    assert shared(texts) == {"train and eval": 2, "train and test": 1, "eval and test": 1}


def test_texts_of_an_earlier_span_stay_where_they_are():
    pairs = [(2 * i, 2 * i + 1) for i in range(100)]
    # The texts of earlier rows, new ones, and two of earlier rows together.
    more = [(2 * i, 1_000 + i) for i in range(100)] + [(2_000 + i, 2_001 + i) for i in range(0, 100, 2)]
    more += [(2 * i, 2 * i + 3) for i in range(99)]
    first = assign(keys(pairs), GROWING)
    earlier = Texts.none().with_span(keys(pairs), first, CARRY)
    assert assign(keys(more), GROWING, earlier).tolist() == assign(keys(pairs + more), GROWING)[100:].tolist()
    assert assign(keys(more), GROWING, Texts.none()).tolist() == assign(keys(more), GROWING).tolist()


@pytest.mark.parametrize("known", [1, 100])
def test_another_share_moves_no_text_of_an_earlier_span(known):
    pairs = [(2 * i, 2 * i + 1) for i in range(known)]
    first = assign(keys(pairs), Split(train=1, eval=1, test=8))
    earlier = Texts.none().with_span(keys(pairs), first, CARRY)
    # Each of the texts beside a new one, and many new ones alone.
    more = [(text, 1_000 + text) for pair in pairs for text in pair]
    alone = [(2_000 + 2 * i, 2_001 + 2 * i) for i in range(100)]
    found = assign(keys(more + alone), GROWING, earlier).tolist()
    assert found[: len(more)] == np.repeat(first, 2).tolist()
    assert found[len(more) :] == assign(keys(alone), GROWING).tolist()
