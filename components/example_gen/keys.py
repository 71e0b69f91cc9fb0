"""Hashes that texts, vectors and pairs are known by while they are divided. Numpy only."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np


def hashes(contents: Iterable[bytes]) -> np.ndarray:
    """64-bit BLAKE2b of each, uint64 [contents]."""
    digests = [hashlib.blake2b(content, digest_size=8).digest() for content in contents]
    return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64)


def distinct(keys: np.ndarray) -> np.ndarray:
    """Each of the integers once, in order: [n] to [at most n].

    Without counts `np.unique` hashes integers, and takes 50 times as long as it does to sort them.
    """
    return np.unique(keys, return_counts=True)[0]


# The key of a text in which a model sees nothing.
[NOTHING] = hashes([b""])


def pair_keys(keys: np.ndarray, symmetric: bool) -> np.ndarray:
    """One hash for the two of each row, uint64 [rows, 2] to [rows].

    Where it is `symmetric`, a pair that is turned round has the same.
    """
    first, second = (keys.min(axis=1), keys.max(axis=1)) if symmetric else keys.T
    return mix(first) + second


def mix(keys: np.ndarray) -> np.ndarray:
    """The finalizer of SplitMix64 (Steele, Lea and Flood 2014, figure 14), uint64 to uint64."""
    mixed = keys.astype(np.uint64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(31))
