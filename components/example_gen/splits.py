"""One source into splits, without leaks: no text stands in two of them.

A pair split at random leaks, because the same question then stands in train and test. Texts are known here by
the hashes of their forms (`trainer.text.form`): what the model cannot tell apart is one text.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from scipy.sparse import coo_matrix, get_index_dtype
from scipy.sparse.csgraph import connected_components

from components.example_gen.data_config import SPLITS, Split
from components.example_gen.keys import mix
from components.example_gen.texts import Texts

# In place of a split: the texts of the row stand in two.
JOINS = len(SPLITS)
_NOWHERE = np.iinfo(np.uint8).max


def assign(keys: np.ndarray, split: Split, earlier: Texts | None = None) -> np.ndarray:
    """Assign each row to a split: uint8 [rows], indices in SPLITS, or JOINS.

    Args:
      keys: uint64 [rows, 2], hashes of the row's texts; in the order of the rows.
      split: Shares, and how rows are grouped.
      earlier: Texts that have a split already, where rows are grouped as `growing`.
    """
    if not len(keys):
        return np.zeros(0, np.uint8)
    distinct, text_ids = np.unique(keys, return_inverse=True)
    text_ids = text_ids.reshape(-1, 2).astype(get_index_dtype(maxval=len(distinct)))
    bounds = np.cumsum([getattr(split, name) for name in SPLITS])
    # The hash, hashed again: keys that stand together must not fall together.
    wishes = np.searchsorted(bounds, mix(distinct) % np.uint64(bounds[-1]), side="right").astype(np.uint8)
    if split.groups == "whole":
        return _by_groups(text_ids, wishes)
    assigned = np.full(len(distinct), _NOWHERE, np.uint8)
    if earlier is not None and len(earlier.hashes):
        at = np.searchsorted(earlier.hashes, distinct).clip(max=len(earlier.hashes) - 1)
        assigned = np.where(earlier.hashes[at] == distinct, earlier.splits[at], assigned)
    return _by_order(text_ids, wishes, assigned)


def _by_order(text_ids: np.ndarray, wishes: np.ndarray, assigned: np.ndarray) -> np.ndarray:
    """A text goes where the first row with it goes; rows behind change nothing of that.

    A row of two new texts goes where its first text wishes, a row with a text that has been seen follows it.
    """
    destinations = bytearray(len(text_ids))
    of_text = bytearray(assigned.astype(np.uint8).tobytes())
    wished = wishes.tobytes()
    for row, (a, b) in enumerate(zip(text_ids[:, 0].tolist(), text_ids[:, 1].tolist(), strict=True)):
        seen_a, seen_b = of_text[a], of_text[b]
        if seen_a == _NOWHERE:
            seen_a = wished[a] if seen_b == _NOWHERE else seen_b
            of_text[a] = seen_a
            seen_b = of_text[b]
        if seen_b == _NOWHERE:
            seen_b = of_text[b] = seen_a
        destinations[row] = seen_a if seen_a == seen_b else JOINS
    return np.frombuffer(bytes(destinations), np.uint8)


def _by_groups(text_ids: np.ndarray, wishes: np.ndarray) -> np.ndarray:
    """Rows that share a text stay together, however far the chain goes: each row has a place.

    A group goes where the first text of its first row wishes; a later row that joins two groups moves one.
    """
    a, b = text_ids.T
    edges = coo_matrix((np.ones(len(a), np.int8), (a, b)), shape=(len(wishes), len(wishes)))
    _, group_of_text = connected_components(edges)
    groups = group_of_text[a]
    _, first = np.unique(groups, return_index=True)
    return wishes[a[first]][groups]


def conflicts(pairs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """True for rows whose pair came before with another label: bool [rows].

    Args:
      pairs: uint64 [rows], of `pair_keys`.
      labels: float [rows].
    """
    _, first, pair_ids = np.unique(pairs, return_index=True, return_inverse=True)
    return labels != labels[first[pair_ids]]


def shared(hashes_of: dict[str, np.ndarray]) -> dict[str, int]:
    """Count texts, or pairs, that stand in two splits at once, for each two: `train and test` to a number.

    Args:
      hashes_of: Split to the hashes of its texts or pairs, each once and in order, uint64 [n].
    """
    names = [name for name in SPLITS if name in hashes_of]
    return {
        f"{first} and {second}": int(np.isin(hashes_of[second], hashes_of[first], assume_unique=True).sum())
        for first, second in combinations(names, 2)
    }
