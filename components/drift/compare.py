"""A sample against a profile: every measure with its value and with what chance gives at such sizes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.drift import measures
from components.drift.derive import Derived
from components.drift.profile import Histogram, Profile, class_counts, label_meaning
from trainer.features import LABEL, VECTOR, Label

# Tokens of which each has a share of its own in `token_distribution`; all others are one.
COMMON_TOKENS = 100
# Tokens of one text, and texts of one row, come and go together: so many of them count as one draw.
_TOKENS_A_DRAW = 2.0


@dataclass(frozen=True)
class Measured:
    """One measure of one feature: its value, what chance gives, and the two things in words."""

    feature: str
    kind: str
    value: float
    chance: float
    detail: str


def compare(reference: Profile, sample: Derived, label: Label | None) -> Iterator[Measured]:
    """Every measure that both sides have the features for; identical data has the value 0 in each."""
    if not sample.rows or not reference.rows:
        return
    if sample.label is not None and label is not None and reference.label == label_meaning(label):
        yield from _compare_label(reference, sample, sample.label, label)
    for name, values in sample.numbers.items():
        known = reference.numbers.get(name, [])
        feature, _, kind = name.partition(":")
        if [column.name for column in known] == list(sample.names if feature == VECTOR else (name,)):
            yield _compare_numbers(feature, kind or "numbers", known, values)
    for name in sample.words:
        if name in reference.words:
            yield _compare_vocabulary(reference, sample, name)
            yield _compare_tokens(reference, sample, name)


def _compare_label(
    reference: Profile, sample: Derived, values: np.ndarray, label: Label
) -> Iterator[Measured]:
    rows = reference.rows, sample.rows
    low, high = label.bounds
    if label.kind == "score":
        [known] = reference.numbers[LABEL]
        value = abs(known.mean - values.mean()) / (high - low)
        chance = measures.chance_of_mean((known.deviation, float(values.std())), rows) / (high - low)
        detail = shown_means(float(values.mean()), known.mean)
        yield Measured(LABEL, "label_balance", float(value), chance, detail)
        yield _compare_numbers(LABEL, "label_distribution", [known], values[:, None])
    else:
        yield _compare_shares(reference.shares, class_counts(values, label), label)
    agreement = measures.correlation(values, sample.overlap) if sample.overlap is not None else None
    if agreement is not None and reference.agreement is not None and label.kind != "classes":
        change, chance = abs(agreement - reference.agreement), measures.chance_of_correlation(rows)
        detail = f"correlation with shared tokens {agreement:.2f}, was {reference.agreement:.2f}"
        yield Measured(LABEL, "label_agreement", change, chance, detail)


def _compare_shares(before: list[int], now: np.ndarray, label: Label) -> Measured:
    rows = sum(before), int(now.sum())
    was, share = np.array(before) / max(rows[0], 1), now / max(rows[1], 1)
    together = (np.array(before) + now) / max(sum(rows), 1)
    chances = [measures.chance_of_share(p, rows, len(now)) for p in together]
    worst = int(np.argmax(np.abs(share - was) - chances))
    name = label.classes[worst] if label.classes else worst
    detail = f"share of {name!r} {share[worst]:.1%}, was {was[worst]:.1%}"
    return Measured(LABEL, "label_balance", float(abs(share[worst] - was[worst])), chances[worst], detail)


def _compare_numbers(feature: str, kind: str, known: list[Histogram], values: np.ndarray) -> Measured:
    """The column that is furthest beyond chance."""
    divergences = []
    for at, before in enumerate(known):
        counts = measures.histogram(values[:, at].astype(np.float64), np.array(before.edges))
        p = np.array(before.counts)
        chance = measures.chance_of_divergence(p, counts, (int(p.sum()), len(values)), len(known))
        divergences.append((measures.divergence(p, counts), chance, at))
    value, chance, worst = max(divergences, key=lambda entry: entry[0] - entry[1])
    column = f"column {known[worst].name!r}: " if feature == VECTOR else ""
    detail = column + shown_means(float(values[:, worst].mean(dtype=np.float64)), known[worst].mean)
    return Measured(feature, kind, value, chance, detail)


def _compare_vocabulary(reference: Profile, sample: Derived, name: str) -> Measured:
    words = sample.words[name]
    known = pc.is_in(sample.vocabulary, value_set=reference.vocabulary).to_numpy(zero_copy_only=False)
    new = np.bincount(words.rows, weights=~known[words.codes], minlength=sample.rows)
    share, error = measures.ratio(new, np.bincount(words.rows, minlength=sample.rows))
    expected = reference.unseen[name]
    chance = measures.chance_of_mean((error, expected.error), (1, 1))
    detail = f"{share:.1%} of the tokens are unknown, {expected.share:.1%} were to be expected"
    return Measured(name, "out_of_vocabulary", max(share - expected.share, 0.0), chance, detail)


def _compare_tokens(reference: Profile, sample: Derived, name: str) -> Measured:
    """Shares of the tokens that are commonest in both together, and of all others."""
    now = np.bincount(sample.words[name].codes, minlength=len(sample.vocabulary))
    before = reference.words[name]
    # The union: the reference's tokens, then those that only the sample has.
    union = pc.dictionary_encode(pa.concat_arrays([reference.vocabulary, sample.vocabulary]))
    at = union.indices.to_numpy()
    p, q = np.zeros((2, len(union.dictionary)), np.int64)
    p[at[: len(before)]] = before
    q[at[len(before) :]] = now
    weight = p / max(p.sum(), 1) + q / max(q.sum(), 1)
    common = np.argsort(-weight, kind="stable")[:COMMON_TOKENS]
    p, q = (np.append(counts[common], counts.sum() - counts[common].sum()) for counts in (p, q))
    draws = int(p.sum() / _TOKENS_A_DRAW), int(q.sum() / _TOKENS_A_DRAW)
    change = [abs(_share(q, rank) - _share(p, rank)) for rank in range(len(common))]
    worst = int(np.argmax(change)) if change else 0
    token = union.dictionary[int(common[worst])].as_py().decode("utf-8", "replace")[:40] if change else ""
    detail = f"most of all {token!r}, {_share(q, worst):.1%} of the tokens, was {_share(p, worst):.1%}"
    distance, chance = measures.divergence(p, q), measures.chance_of_divergence(p, q, draws)
    return Measured(name, "token_distribution", distance, chance, detail)


def shown_means(now: float, before: float) -> str:
    """Both means, with as many digits as tell them apart: of timestamps the first ones are the same."""
    digits = next((digits for digits in range(3, 17) if f"{now:.{digits}g}" != f"{before:.{digits}g}"), 3)
    return f"mean {now:.{digits}g}, was {before:.{digits}g}"


def _share(counts: np.ndarray, index: int) -> float:
    return float(counts[index] / max(counts.sum(), 1))
