"""Values that samples are compared by: lengths, tokens, labels and numbers, derived from raw features."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import tensorflow as tf

from components.example_gen.keys import distinct
from trainer import tables
from trainer.features import LABEL, TEXT_A, TEXT_B, VECTOR, Label
from trainer.spec import VectorSpec
from trainer.text.tokens import text_features

CHARACTERS, TOKENS = "characters", "tokens"
# Of each text so much is cut into tokens: more would cost time and say nothing new.
_MAX_CHARACTERS, _MAX_TOKENS = 4_000, 512
# Numbers of all vectors together that are looked at.
_MAX_NUMBERS = 4_000_000
_BATCH = 2_048


@dataclass(frozen=True)
class Words:
    """Tokens of one text feature: which, as indices in a vocabulary, and the row of each."""

    codes: np.ndarray
    rows: np.ndarray


@dataclass
class Derived:
    """Values derived from `rows` rows.

    `numbers` has [rows, columns] by feature, or by feature and length such as `text_a:characters`, and
    `names` the names of the columns of a vector. `words` of all text features share `vocabulary`.
    `overlap` [rows] is Dice's coefficient of both texts' tokens.
    """

    rows: int
    label: np.ndarray | None = None
    numbers: dict[str, np.ndarray] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    words: dict[str, Words] = field(default_factory=dict)
    vocabulary: pa.Array = field(default_factory=lambda: pa.array([], pa.binary()))
    overlap: np.ndarray | None = None


def derive(table: pa.Table, label: Label | None, vector: VectorSpec | None) -> Derived:
    """From a table of list columns; features that it lacks, as requests lack the label, are left out."""
    derived = Derived(table.num_rows)
    if not table.num_rows:
        return derived
    if label is not None and LABEL in table.column_names:
        derived.label = tables.labels(table)
    if vector is not None and VECTOR in table.column_names:
        rows = max(1, min(table.num_rows, _MAX_NUMBERS // vector.dimension))
        derived.numbers[VECTOR] = tables.vectors(table.slice(0, rows))
        derived.names = tuple(vector.name(at) for at in range(vector.dimension))
    texts = {name: tables.flat(table, name) for name in (TEXT_A, TEXT_B) if name in table.column_names}
    if texts:
        _derive_words(derived, texts)
    for name in (TEXT_A, TEXT_B):
        # Only the length, where a log hides the text itself.
        if f"{name}_{CHARACTERS}" in table.column_names:
            logged = tables.flat(table, f"{name}_{CHARACTERS}").to_numpy(zero_copy_only=False)
            derived.numbers[f"{name}:{CHARACTERS}"] = logged.astype(np.float64)[:, None]
    return derived


def _derive_words(derived: Derived, texts: dict[str, pa.Array]) -> None:
    flat: list[np.ndarray] = []
    row_of: dict[str, np.ndarray] = {}
    for name, column in texts.items():
        tokens, rows = [np.zeros(0, object)], [np.zeros(0, np.int64)]
        characters: list[int] = []
        for start in range(0, len(column), _BATCH):
            batch = [text.decode("utf-8", "replace") for text in column.slice(start, _BATCH).to_pylist()]
            characters += map(len, batch)
            ragged = text_features(tf.constant([text[:_MAX_CHARACTERS] for text in batch]), _MAX_TOKENS)
            tokens.append(ragged.flat_values.numpy())
            rows.append(ragged.value_rowids().numpy() + start)
        flat.append(np.concatenate(tokens))
        row_of[name] = np.concatenate(rows)
        lengths = np.bincount(row_of[name], minlength=len(column))
        derived.numbers[f"{name}:{CHARACTERS}"] = np.array(characters, np.float64)[:, None]
        derived.numbers[f"{name}:{TOKENS}"] = lengths.astype(np.float64)[:, None]
    encoded = pa.array(np.concatenate(flat), pa.binary()).dictionary_encode()
    codes = encoded.indices.to_numpy().astype(np.int64)
    derived.vocabulary = encoded.dictionary
    parts = np.split(codes, np.cumsum([len(array) for array in flat])[:-1])
    derived.words = {name: Words(part, row_of[name]) for name, part in zip(texts, parts, strict=True)}
    if len(texts) == 2:
        derived.overlap = _dice([*derived.words.values()], derived.rows, len(derived.vocabulary))


def _dice(texts: list[Words], rows: int, size: int) -> np.ndarray:
    """Twice the tokens in both sets over the sizes of the sets, by row; 0 for two empty texts."""
    in_a, in_b = (distinct(words.rows * size + words.codes) for words in texts)
    both = np.bincount(np.intersect1d(in_a, in_b, assume_unique=True) // max(size, 1), minlength=rows)
    either = np.bincount(np.concatenate([in_a, in_b]) // max(size, 1), minlength=rows)
    return 2 * both / np.maximum(either, 1)
