"""Profiles of splits, to compare later data with: histograms, tokens, shares. No row and no text."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tfx.dsl.io import fileio

from components.drift.derive import Derived, distinct
from components.drift.measures import correlation, edges_of, histogram, ratio
from trainer.features import Label


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
                numbers["label"] = derived.label[:, None]
            else:
                shares = class_counts(derived.label, label).tolist()
            if label.kind != "classes" and derived.overlap is not None:
                agreement = correlation(derived.label, derived.overlap)
        return cls(
            total,
            derived.rows,
            label_meaning(label),
            shares,
            agreement,
            {name: _histograms(values, _names(name, derived)) for name, values in numbers.items()},
            _unseen(derived),
            derived.vocabulary,
            {
                name: np.bincount(words.codes, minlength=len(derived.vocabulary))
                for name, words in derived.words.items()
            },
        )

    def save(self, folder: str) -> None:
        """Writes `profile.json` and `tokens.parquet`."""
        fileio.makedirs(folder)
        kept = {
            "total": self.total,
            "rows": self.rows,
            "label": self.label,
            "shares": self.shares,
            "agreement": self.agreement,
            "numbers": {
                name: [asdict(column) for column in histograms] for name, histograms in self.numbers.items()
            },
            "unseen": {name: asdict(unseen) for name, unseen in self.unseen.items()},
        }
        with fileio.open(os.path.join(folder, "profile.json"), "w") as file:
            file.write(json.dumps(kept))
        tokens = pa.table({"token": self.vocabulary, **{name: pa.array(n) for name, n in self.words.items()}})
        sink = pa.BufferOutputStream()
        pq.write_table(tokens, sink, compression="zstd")
        with fileio.open(os.path.join(folder, "tokens.parquet"), "wb") as file:
            file.write(sink.getvalue().to_pybytes())

    @classmethod
    def load(cls, folder: str) -> Profile:
        """The profile that `save` has written."""
        with fileio.open(os.path.join(folder, "profile.json")) as file:
            kept = json.loads(file.read())
        with fileio.open(os.path.join(folder, "tokens.parquet"), "rb") as file:
            tokens = pq.read_table(pa.BufferReader(file.read()))
        return cls(
            **{
                **kept,
                "numbers": {
                    name: [Histogram(**column) for column in n] for name, n in kept["numbers"].items()
                },
                "unseen": {name: Unseen(**unseen) for name, unseen in kept["unseen"].items()},
            },
            vocabulary=tokens["token"].combine_chunks(),
            words={name: tokens[name].to_numpy() for name in tokens.column_names if name != "token"},
        )


def class_counts(label: np.ndarray, kind: Label) -> np.ndarray:
    """Rows of each class, by its number."""
    return np.bincount(label.astype(np.int64), minlength=int(kind.bounds[1]) + 1)


def label_meaning(label: Label | None) -> dict[str, Any]:
    """The meaning of a label's numbers: profiles of another meaning are not compared."""
    return {} if label is None else label.model_dump(mode="json", exclude={"column"})


def _names(feature: str, derived: Derived) -> tuple[str, ...]:
    return derived.names if feature == "vector" else (feature,)


def _histograms(values: np.ndarray, names: tuple[str, ...]) -> list[Histogram]:
    histograms = []
    for at, name in enumerate(names):
        column = values[:, at].astype(np.float64)
        edges = edges_of(column)
        histograms.append(
            Histogram(
                name,
                edges.tolist(),
                histogram(column, edges).tolist(),
                float(column.mean()),
                float(column.std()),
            )
        )
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
