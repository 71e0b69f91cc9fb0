"""Profiles of splits, to compare later data with: histograms, tokens, shares. No row and no text."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from components.artifact_files import read_json, read_parquet, write_json, write_parquet
from components.drift.derive import Derived
from components.drift.measures import correlation, edges_of, histogram, ratio
from components.example_gen.keys import distinct
from trainer.features import LABEL, VECTOR, Label


@dataclass(frozen=True)
class Histogram:
    """One column of numbers."""

    name: str
    edges: list[float]
    counts: list[int]
    mean: float
    deviation: float


@dataclass(frozen=True)
class Unseen:
    """Share of the tokens that stand in one row alone, and its standard error.

    It estimates how many tokens of a further row are new (Good 1953, "The population frequencies of species
    and the estimation of population parameters"; with rows in the place of draws).
    """

    share: float
    error: float


@dataclass(frozen=True)
class Profile:
    """A sample of `rows` rows of the `total` rows of a split."""

    total: int
    rows: int
    label: dict[str, Any]
    shares: list[int]
    agreement: float | None
    numbers: dict[str, list[Histogram]]
    unseen: dict[str, Unseen]
    vocabulary: pa.Array
    words: dict[str, np.ndarray]

    @classmethod
    def of(cls, derived: Derived, total: int, label: Label | None) -> Profile:
        """The profile of a sample; `shares` are counts of classes, of a score's histogram there is one."""
        numbers = dict(derived.numbers)
        shares: list[int] = []
        agreement = None
        if derived.label is not None and label is not None:
            if label.kind == "score":
                numbers[LABEL] = derived.label[:, None]
            else:
                shares = class_counts(derived.label, label).tolist()
            if label.kind != "classes" and derived.overlap is not None:
                agreement = correlation(derived.label, derived.overlap)
        size = len(derived.vocabulary)
        return cls(
            total,
            derived.rows,
            label_meaning(label),
            shares,
            agreement,
            {
                name: _histograms(values, derived.names if name == VECTOR else (name,))
                for name, values in numbers.items()
            },
            _unseen(derived),
            derived.vocabulary,
            {name: np.bincount(words.codes, minlength=size) for name, words in derived.words.items()},
        )

    def save(self, folder: str) -> None:
        """Writes `profile.json` and `tokens.parquet`."""
        kept = asdict(replace(self, vocabulary=pa.nulls(0), words={}))
        del kept["vocabulary"], kept["words"]
        write_json(kept, folder, "profile.json", indent=None)
        tokens = pa.table({"token": self.vocabulary, **{name: pa.array(n) for name, n in self.words.items()}})
        write_parquet(tokens, folder, "tokens.parquet", compression="zstd")

    @classmethod
    def load(cls, folder: str) -> Profile:
        """The profile that `save` has written."""
        kept, tokens = read_json(folder, "profile.json"), read_parquet(folder, "tokens.parquet")
        kept["numbers"] = {name: [Histogram(**column) for column in n] for name, n in kept["numbers"].items()}
        kept["unseen"] = {name: Unseen(**unseen) for name, unseen in kept["unseen"].items()}
        words = {name: tokens[name].to_numpy() for name in tokens.column_names if name != "token"}
        return cls(**kept, vocabulary=tokens["token"].combine_chunks(), words=words)


def class_counts(label: np.ndarray, kind: Label) -> np.ndarray:
    """Rows of each class, by its number."""
    return np.bincount(label.astype(np.int64), minlength=int(kind.bounds[1]) + 1)


def label_meaning(label: Label | None) -> dict[str, Any]:
    """The meaning of a label's numbers: profiles of another meaning are not compared."""
    return {} if label is None else label.model_dump(mode="json", exclude={"column"})


def _histograms(values: np.ndarray, names: tuple[str, ...]) -> list[Histogram]:
    histograms = []
    for at, name in enumerate(names):
        column = values[:, at].astype(np.float64)
        edges = edges_of(column)
        counts = histogram(column, edges).tolist()
        moments = float(column.mean()), float(column.std())
        histograms.append(Histogram(name, edges.tolist(), counts, *moments))
    return histograms


def _unseen(derived: Derived) -> dict[str, Unseen]:
    size = max(len(derived.vocabulary), 1)
    if not derived.words:
        return {}
    keys = np.concatenate([words.rows * size + words.codes for words in derived.words.values()])
    once = np.bincount(distinct(keys) % size, minlength=size) == 1
    unseen = {}
    for name, words in derived.words.items():
        lengths = np.bincount(words.rows, minlength=derived.rows)
        alone = np.bincount(words.rows, weights=once[words.codes], minlength=derived.rows)
        unseen[name] = Unseen(*ratio(alone, lengths))
    return unseen
