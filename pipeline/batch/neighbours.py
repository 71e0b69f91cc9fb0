"""The nearest neighbours of texts by the cosine of their embeddings, from an approximate index.

The index is HNSW (Malkov and Yashunin 2018). Many equal vectors are poison for its graph: their links lead to
each other, and what lies beyond is not found any more. So each vector is in it once, and stands for all texts
that have it. Texts with one vector are each other's nearest neighbours without any search.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from components.example_gen.keys import distinct
from pipeline.batch import rows as files
from pipeline.batch.predict import as_bytes, embeddings

if TYPE_CHECKING:
    from pipeline.serving.model import LoadedModel

# Vectors in one call of the index.
_CHUNK = 8_192
# More links a node and more effort than the library's defaults: what they cost is little beside the model.
_CONNECTIVITY, _EXPANSION_ADD, _EXPANSION_SEARCH = 24, 128, 128


@dataclass(frozen=True)
class Vectors:
    """The different directions of the embeddings of texts.

    Attributes:
      index: Of the directions, by their numbers; None if there are none.
      of: For each text the number of its direction, or -1 where it has none; int64 [texts].
    """

    index: Any
    of: np.ndarray


def index_texts(model: LoadedModel, texts: list[str], say: Callable[[str], None]) -> Vectors:
    """Embeds `texts`, and indexes each direction once, to half precision.

    A zero vector, that of a text without any token, has no direction and so no neighbours.
    """

    def embedded(chunk: list[str]) -> np.ndarray:
        parts = [chunk[at : at + files.BATCH] for at in range(0, len(chunk), files.BATCH)]
        return np.concatenate([embeddings(model, as_bytes(part)) for part in parts])

    directions = _Directions()
    for start in range(0, len(texts), _CHUNK):
        directions.add(embedded(texts[start : start + _CHUNK]))
        if start // _CHUNK % 10 == 9:
            say(f"        {start + _CHUNK:,} texts embedded")
    return Vectors(directions.index, np.concatenate(directions.of))


class _Directions:
    """Takes embeddings, a chunk at a time."""

    def __init__(self) -> None:
        self.index: Any = None
        # Of each direction its bytes' hash: half of the vectors' own size would be in memory twice.
        self._numbers: dict[int, int] = {}
        self.of: list[np.ndarray] = [np.zeros(0, np.int64)]

    def add(self, embedded: np.ndarray) -> None:
        """The embeddings of the next texts, float [texts, dim]."""
        lengths = np.linalg.norm(embedded, axis=1)
        there = np.flatnonzero(lengths)
        # Half precision ends at 65,504; directions are what counts. Zeros have one sign.
        unit = (embedded[there] / lengths[there, None]).astype(np.float16) + np.float16(0)
        of = np.full(len(embedded), -1, np.int64)
        fresh = []
        for row, content in enumerate(unit):
            known = len(self._numbers)
            of[there[row]] = number = self._numbers.setdefault(_hash(content.tobytes()), known)
            if number == known:
                fresh.append((number, row))
        self.of.append(of)
        if fresh:
            numbers, rows = (np.array(values) for values in zip(*fresh, strict=True))
            self._add(numbers, unit[rows])

    def _add(self, numbers: np.ndarray, unit: np.ndarray) -> None:
        from usearch.index import Index

        if self.index is None:
            self.index = Index(
                ndim=unit.shape[1],
                metric="cos",
                dtype="f16",
                connectivity=_CONNECTIVITY,
                expansion_add=_EXPANSION_ADD,
                expansion_search=_EXPANSION_SEARCH,
            )
        self.index.add(numbers, unit)


def candidate_pairs(vectors: Vectors, neighbours: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of a text and one of its nearest neighbours, each pair once.

    Texts with the same direction come first, in their own order. Where they are more than `neighbours`, the
    first of them is paired with the first of every near direction too, so that what is alike stays linked.

    Returns:
      Positions, int64 [pairs]: the lower ones and the higher ones. Ten neighbours of a million texts take 80
      MB here, and as much again while they are sorted.
    """
    texts = len(vectors.of)
    if vectors.index is None:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    order = np.argsort(vectors.of, kind="stable")[np.count_nonzero(vectors.of < 0) :]
    sizes = np.bincount(vectors.of[order])
    starts = np.cumsum(sizes) - sizes
    pairs = [np.zeros(0, np.int64)]
    for start in range(0, len(sizes), _CHUNK):
        own = np.arange(start, min(start + _CHUNK, len(sizes)))
        near = _nearest(vectors.index, own, neighbours)
        first, second = _paired(own, near, order, starts, sizes, neighbours)
        apart = first != second
        low, high = np.minimum(first, second)[apart], np.maximum(first, second)[apart]
        pairs.append(distinct(low * texts + high))
    once = distinct(np.concatenate(pairs))
    return once // texts, once % texts


def neighbours_of(index: Any, vectors: np.ndarray, count: int) -> np.ndarray:
    """Keys of the nearest vectors, int64 [vectors, count]; -1 where there are not so many."""
    matches = index.search(vectors, min(count, len(index)))
    keys = np.asarray(matches.keys).astype(np.int64).reshape(len(vectors), -1)
    counts = np.asarray(getattr(matches, "counts", [keys.shape[1]])).reshape(-1, 1)
    return np.where(np.arange(keys.shape[1]) < counts, keys, -1)


def _nearest(index: Any, own: np.ndarray, neighbours: int) -> np.ndarray:
    """Each direction itself and then the nearest others, int64 [directions, neighbours + 1]; -1 for none."""
    nearest = neighbours_of(index, np.asarray(index.get(own), np.float32), neighbours + 1)
    nearest[nearest == own[:, None]] = -1  # it is the nearest, but for rounding
    others = np.take_along_axis(nearest, np.argsort(nearest < 0, axis=1, kind="stable"), axis=1)
    return np.concatenate([own[:, None], others[:, :neighbours]], axis=1)


def _paired(
    own: np.ndarray, near: np.ndarray, order: np.ndarray, starts: np.ndarray, sizes: np.ndarray, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """Texts and their neighbours, both int64 [pairs].

    Args:
      own: Numbers of directions.
      near: Those nearest to each, itself first; -1 for none.
      order: Texts by their directions.
      starts: Where those of each direction begin in `order`.
      sizes: How many they are.
      most: Neighbours of a text.
    """
    there = near >= 0
    many = np.where(there, sizes[near], 0)
    before = np.cumsum(many, axis=1) - many
    # One more than wanted: a text is among its own neighbours, and drops out.
    taken = np.clip(most + 1 - before, 0, many)
    listed = _members(near.ravel(), taken.ravel(), order, starts)
    lengths = taken.sum(axis=1)
    begins = np.cumsum(lengths) - lengths
    # Every text of a direction has the same neighbours.
    rows = np.repeat(np.arange(len(own)), sizes[own])
    texts = _members(own, sizes[own], order, starts)
    first = np.repeat(texts, lengths[rows])
    at = np.arange(len(first)) - np.repeat(np.cumsum(lengths[rows]) - lengths[rows], lengths[rows])
    second = listed[np.repeat(begins[rows], lengths[rows]) + at]
    heads = order[starts[own]]
    linked = np.repeat(heads, there.sum(axis=1)), order[starts[near[there]]]
    return np.concatenate([first, linked[0]]), np.concatenate([second, linked[1]])


def _members(directions: np.ndarray, counts: np.ndarray, order: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The first `counts` texts of each direction, one behind the other."""
    at = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return order[np.repeat(starts[directions], counts) + at]


def _hash(content: bytes) -> int:
    """128 bits: two of a billion directions share them with a chance of one to a sextillion."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=16).digest(), "little")
