"""Distances, what chance gives, the sample that they are taken on, and profiles that are read back."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.data_gate.validation_config import DRIFT, Validation
from components.data_gate.verdict import Verdict
from components.drift.compare import Measured, compare, shown_means
from components.drift.derive import Derived, derive
from components.drift.measures import (
    chance_of_correlation,
    chance_of_divergence,
    chance_of_mean,
    chance_of_share,
    correlation,
    divergence,
    edges_of,
    histogram,
    ratio,
)
from components.drift.profile import Profile
from components.drift.sampling import sample_lines
from trainer.features import VECTOR, Label

COUNTS = st.lists(st.integers(0, 1000), min_size=2, max_size=20).filter(any)


def test_divergence_by_hand():
    assert divergence(np.array([5, 0]), np.array([0, 9])) == pytest.approx(1)
    # Half of KL((1,0)||(3/4,1/4)) and of KL((1/2,1/2)||(3/4,1/4)), in bits.
    by_hand = (np.log2(4 / 3) + 0.5 * np.log2(2 / 3) + 0.5 * np.log2(2)) / 2
    assert divergence(np.array([7, 0]), np.array([4, 4])) == pytest.approx(by_hand)


def test_nothing_is_unlike_something_and_like_nothing():
    nothing, something = np.array([0, 0]), np.array([3, 1])
    assert divergence(nothing, something) == divergence(something, nothing) == 1
    assert divergence(nothing, np.array([0, 0])) == 0


@given(COUNTS, st.integers(1, 50), st.randoms())
def test_divergence_is_a_symmetric_distance_of_shares(counts, factor, random):
    p = np.array(counts)
    q = np.array(random.sample(counts, len(counts)))
    assert divergence(p, p * factor) == pytest.approx(0, abs=1e-9)
    assert divergence(p, p) == 0
    assert divergence(p, q) == pytest.approx(divergence(q, p), abs=1e-9)
    assert -1e-9 <= divergence(p, q) <= 1 + 1e-9


@pytest.mark.parametrize(("n", "m"), [(200, 200), (200, 5000), (3000, 3000)])
def test_samples_of_one_source_stay_within_what_chance_gives_but_not_far_within(n, m):
    rng = np.random.default_rng(1)
    shares = rng.dirichlet(np.ones(20))
    found = []
    for _ in range(300):
        p, q = rng.multinomial(n, shares), rng.multinomial(m, shares)
        found.append(divergence(p, q) / chance_of_divergence(p, q, (n, m)))
    assert max(found) < 1
    assert max(found) > 0.5  # a bound that is never neared would let drift pass


def test_means_that_differ_late_are_told_apart():
    assert shown_means(0.25, 0.5) == "mean 0.25, was 0.5"
    assert shown_means(1764209047.5, 1764201780.0) == "mean 1.76421e+09, was 1.7642e+09"
    assert shown_means(1.0, 1.0) == "mean 1, was 1"


def test_means_shares_and_correlations_of_one_source_stay_within_chance():
    rng = np.random.default_rng(2)
    ratios = []
    for _ in range(300):
        a, b = rng.normal(size=(2, 150)), rng.normal(size=(2, 400))
        rows = 150, 400
        mean = abs(a[0].mean() - b[0].mean()) / chance_of_mean((a[0].std(), b[0].std()), rows)
        r, s = correlation(a[0], a[0] + a[1]), correlation(b[0], b[0] + b[1])
        p, q = rng.binomial(150, 0.3) / 150, rng.binomial(400, 0.3) / 400
        share = abs(p - q) / chance_of_share((150 * p + 400 * q) / 550, rows, 2)
        ratios.append((mean, abs(r - s) / chance_of_correlation(rows), share))
    assert np.max(ratios) < 1
    assert (np.max(ratios, axis=0) > (0.5, 0.25, 0.5)).all()
    assert correlation(np.ones(9), np.arange(9.0)) is None


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200))
def test_a_histogram_on_its_own_edges_counts_all_and_keeps_two_bins_for_others(values):
    column = np.array(values)
    edges = edges_of(column)
    counts = histogram(column, edges)
    assert counts.sum() == len(column)
    assert (counts[0], counts[-1]) == (0, 0)
    beyond = histogram(np.array([column.min() - 1, column.max() + 1]), edges)
    assert (beyond[0], beyond[-1]) == (1, 1)


def test_the_error_of_a_ratio_knows_that_tokens_of_a_row_come_together():
    alone = ratio(np.array([1, 0] * 50), np.full(100, 1))
    together = ratio(np.array([10, 0] * 5), np.full(10, 10))
    assert alone[0] == together[0] == 0.5
    assert alone[1] == pytest.approx(0.05)
    assert together[1] == pytest.approx(0.5 / np.sqrt(10))
    assert ratio(np.zeros(3), np.zeros(3)) == (0.0, 0.0)


def test_a_sample_depends_on_content_alone():
    lines = [f"line {at}".encode() for at in range(20_000)]
    kept, seen = sample_lines(lines, 500)
    assert (len(kept), seen) == (500, 20_000)
    assert sample_lines(lines[::-1], 500)[0] == kept
    # It is spread over the whole, and what is there stays where nothing new has a smaller hash.
    places = np.sort([int(line.split()[1]) for line in kept])
    assert np.abs(places / 20_000 - np.linspace(0, 1, 500)).max() < 0.08
    fewer = sample_lines(lines[:15_000], 500)[0]
    assert {line for line in kept if int(line.split()[1]) < 15_000} <= set(fewer)
    assert sample_lines(lines[:30], 500) == (sample_lines(lines[:30][::-1], 30)[0], 30)


TABLE = pa.table(
    {
        "text_a": pa.array([[b"One two three"], [b"four, FOUR!"], [b"..."]], pa.list_(pa.binary())),
        "text_b": pa.array([[b"two three"], [b"five"], [b"six"]], pa.list_(pa.binary())),
        "label": pa.array([[1.0], [0.0], [0.0]], pa.list_(pa.float32())),
    }
)
BINARY = Label(column="y", kind="binary")


def test_what_is_derived_from_texts():
    found = derive(TABLE, BINARY, None)
    assert found.numbers["text_a:characters"][:, 0].tolist() == [13, 11, 3]
    assert found.numbers["text_a:tokens"][:, 0].tolist() == [3, 2, 0]
    assert found.overlap == pytest.approx([2 * 2 / 5, 0, 0])
    words = found.vocabulary.to_pylist()
    assert [words[code] for code in found.words["text_a"].codes] == [
        b"one",
        b"two",
        b"three",
        b"four",
        b"four",
    ]
    # "two" and "three" stand in both texts of one row, "four" twice in one text: each in one row alone.
    profile = Profile.of(found, 3, BINARY)
    assert profile.unseen["text_a"].share == 1
    assert profile.shares == [2, 1]


def test_a_profile_that_is_read_back_compares_the_same(tmp_path):
    profile = Profile.of(derive(TABLE, BINARY, None), 3, BINARY)
    profile.save(str(tmp_path / "profile"))
    assert sorted(file.name for file in (tmp_path / "profile").iterdir()) == [
        "profile.json",
        "tokens.parquet",
    ]
    other = derive(TABLE.slice(1), BINARY, None)
    again = Profile.load(str(tmp_path / "profile"))
    assert list(compare(again, other, BINARY)) == list(compare(profile, other, BINARY))
    assert len(list(compare(again, other, BINARY))) > 6


def test_data_without_rows_or_tokens_is_compared_without_error():
    empty = derive(TABLE.slice(0, 0), BINARY, None)
    profile = Profile.of(derive(TABLE, BINARY, None), 3, BINARY)
    assert list(compare(profile, empty, BINARY)) == []
    assert list(compare(Profile.of(empty, 0, BINARY), derive(TABLE, BINARY, None), BINARY)) == []
    dots = derive(TABLE.slice(2), BINARY, None)
    assert [m.value for m in compare(Profile.of(dots, 1, BINARY), dots, BINARY)] == [0] * 9


@pytest.mark.parametrize("dots", [0, 1])
def test_a_text_column_without_a_token_can_be_written_down(dots):
    """JSON has no NaN: the verdict on data that is accepted has numbers alone."""
    tables = [TABLE.slice(0, 2), TABLE.set_column(1, "text_b", TABLE["text_a"].take([2, 2, 2])).slice(0, 2)]
    reference, sample = (derive(tables[at], BINARY, None) for at in (dots, 1 - dots))
    verdict = Verdict()
    verdict.add_measures(
        Validation(), DRIFT, "train", compare(Profile.of(reference, 2, BINARY), sample, BINARY)
    )
    [tokens] = [c for c in verdict.checks if (c.feature, c.kind) == ("text_b", "token_distribution")]
    assert tokens.value == 1
    json.dumps(verdict.to_json(), allow_nan=False)


@pytest.mark.parametrize("label", [BINARY, Label(column="y", kind="score", range=(0, 1))])
def test_chance_is_that_of_both_sizes(label):
    """Of 400 rows against 100, and against 400 that are the same four times."""

    def rows(times: int) -> pa.Table:
        return pa.concat_tables([TABLE.slice(0, 2)] * times)

    reference = Profile.of(derive(rows(200), label, None), 400, label)
    few, many = (
        {
            (one.feature, one.kind): one.chance
            for one in compare(reference, derive(rows(n), label, None), label)
        }
        for n in (50, 200)
    )
    draws = (1 / 400 + 1 / 100) / (1 / 400 + 1 / 400)
    found = {key: chance / many[key] for key, chance in few.items() if key[1] != "out_of_vocabulary"}
    assert found.pop(("label", "label_balance")) == pytest.approx(draws**0.5)
    assert found.pop(("label", "label_agreement")) == pytest.approx(((1 / 397 + 1 / 97) / (2 / 397)) ** 0.5)
    assert len(found) == (6 if label is BINARY else 7)
    assert found == pytest.approx(dict.fromkeys(found, draws))


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({}, "reject"),
        ({"drift": "warn"}, "warn"),
        ({"skew": "ignore", "text_b": "ignore", "tokens": "ignore"}, "reject"),
        ({"drift": "ignore", "text_a": "warn"}, "warn"),
        ({"text_a": "ignore", "characters": "warn"}, "warn"),
        ({"characters": "ignore", "drift:text_a": "warn"}, "warn"),
        ({"drift:text_a": "ignore", "drift:characters": "warn"}, "warn"),
        ({"drift:text_a:characters": "warn", "text_a:characters": "ignore"}, "warn"),
    ],
)
def test_the_most_precise_exception_decides(rules, expected):
    assert Validation(severity=rules).severity_of("drift", "text_a", "characters") == expected
    backwards = dict(reversed(rules.items()))
    assert Validation(severity=backwards).severity_of("drift", "text_a", "characters") == expected


def test_the_chance_of_the_worst_column_is_that_of_the_worst_of_all():
    random = np.random.default_rng(5)
    names = tuple(f"c{at}" for at in range(30))
    then, now = (
        Derived(rows, numbers={VECTOR: random.normal(size=(rows, 30))}, names=names) for rows in (80, 60)
    )
    profile = Profile.of(then, 80, None)
    [measured] = compare(profile, now, None)
    [worst] = [at for at, name in enumerate(names) if f"column {name!r}:" in measured.detail]
    before = profile.numbers[VECTOR][worst]
    counts = histogram(now.numbers[VECTOR][:, worst], np.array(before.edges))
    known = np.array(before.counts)
    assert measured.value == divergence(known, counts)
    assert measured.chance == chance_of_divergence(known, counts, (80, 60), 30)
    assert measured.chance > chance_of_divergence(known, counts, (80, 60))


@pytest.mark.parametrize(("value", "flagged"), [(0.1, False), (0.11, False), (0.15, False), (0.1501, True)])
def test_a_measure_is_flagged_above_its_limit_and_what_chance_gives(value, flagged):
    verdict, validation = Verdict(), Validation(limits={"label_balance": 0.1})
    measured = Measured("label", "label_balance", value, 0.05, "mean 3, was 2")
    verdict.add_measures(validation, DRIFT, "train", [measured])
    assert [check.flagged for check in verdict.checks] == [flagged]
