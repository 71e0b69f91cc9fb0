"""One source into splits: no leaks, no moves, the shares that were asked for."""

from collections import defaultdict

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from components.example_gen.config import Shares
from components.example_gen.rows import Row
from components.example_gen.splits import assign, keys_of

PAIRS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=60)


def keys(pairs):
    return [keys_of(Row(f"text {a}", f"text {b}", 0.0)) for a, b in pairs]


@given(PAIRS)
@settings(max_examples=200, deadline=None)
def test_a_text_stands_in_one_split_only(pairs):
    splits_of_text = defaultdict(set)
    for (a, b), split in zip(pairs, assign(keys(pairs), Shares()), strict=True):
        splits_of_text[a].add(split)
        splits_of_text[b].add(split)
    assert all(len(splits) == 1 for splits in splits_of_text.values())


@given(PAIRS, st.integers(0, 20))
@settings(max_examples=100, deadline=None)
def test_appended_rows_of_new_texts_move_nothing(pairs, count):
    new = [(1_000 + i, 2_000 + i) for i in range(count)]
    before = assign(keys(pairs), Shares())
    assert assign(keys(pairs + new), Shares())[: len(pairs)] == before


def test_rows_that_extend_a_group_follow_it():
    pairs = [(0, 1), (5, 6)]
    before = assign(keys(pairs), Shares())
    after = assign(keys([*pairs, (1, 2), (2, 3), (6, 7)]), Shares())
    assert after == [before[0], before[1], before[0], before[0], before[1]]


def test_a_chain_of_any_length_is_one_group():
    chain = [(i, i + 1) for i in range(5_000)]
    assert len(set(assign(keys(chain), Shares()))) == 1


def test_shares_are_kept_and_repeated():
    pairs = [(2 * i, 2 * i + 1) for i in range(20_000)]
    splits = assign(keys(pairs), Shares(train=6, eval=3, test=1))
    assert splits == assign(keys(pairs), Shares(train=6, eval=3, test=1))
    for split, share in (("train", 0.6), ("eval", 0.3), ("test", 0.1)):
        assert abs(splits.count(split) / len(splits) - share) < 0.015


def test_the_same_vector_stands_in_one_split_only():
    rng = np.random.default_rng(0)
    vectors = [rng.integers(0, 2, 3).astype(np.float32) for _ in range(200)]
    found = defaultdict(set)
    rows = [keys_of(Row(label=float(i), vector=v)) for i, v in enumerate(vectors)]
    for vector, split in zip(vectors, assign(rows, Shares()), strict=True):
        found[vector.tobytes()].add(split)
    assert all(len(splits) == 1 for splits in found.values())


def test_nothing_in_nothing_out():
    assert assign([], Shares()) == []
