"""Pieces of files that workers read, and the split of each row once all rows are known.

Reading is done twice: first for the keys of all rows, 20 bytes each, which one worker looks at together; then
for the examples, which are written where that worker said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from components.example_gen.batch import FaultReason
from components.example_gen.check import UsableRows, check
from components.example_gen.data_config import SPLITS, DataSection, Split
from components.example_gen.keys import NOTHING, distinct, pair_keys
from components.example_gen.labels import LabelCounts, check_negative
from components.example_gen.reader import PIECE_BYTES, Piece, pieces, read
from components.example_gen.spans import Carry
from components.example_gen.splits import JOINS, assign, conflicts, shared
from components.example_gen.texts import Texts
from trainer.features import TEXT_A, TEXT_B
from trainer.text.form import TextForm

# Characters of a text that a message shows.
_SHOWN = 40
# In place of a split.
CONFLICTS, NO_TOKEN = JOINS + 1, JOINS + 2


@dataclass(frozen=True)
class Item:
    """Pieces of one source, in order, that one worker reads at once."""

    number: int
    source: str
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class Digest:
    """Keys and labels of an item, taken in the first reading."""

    item: Item
    lines: tuple[int, ...]
    """positions in each piece: what those of the file's next piece begin behind"""
    keys: bytes
    """uint64 [usable rows, 2]"""
    labels: bytes
    """float32 [usable rows], or nothing"""
    label_counts: LabelCounts


@dataclass(frozen=True)
class Assignment:
    """An item, and where its usable rows go."""

    item: Item
    lines_before: tuple[int, ...]
    """what to add to the positions of each piece"""
    destinations: bytes
    """uint8 [usable rows]: indices in SPLITS, or JOINS, CONFLICTS or NO_TOKEN"""
    label_counts: LabelCounts
    shared: dict[str, dict[str, int]] = field(default_factory=dict)
    """what the splits of the whole artifact have in common; in one assignment only"""


def plan(data: DataSection, files: dict[str, list[Path]]) -> list[Item]:
    """Every piece of every file in its order, small ones together."""
    groups: list[tuple[str, list[Piece]]] = []
    for source, paths in files.items():
        size = PIECE_BYTES
        for piece in (piece for path in paths for piece in pieces(path, data)):
            if size >= PIECE_BYTES:
                groups.append((source, []))
                size = 0
            groups[-1][1].append(piece)
            size += PIECE_BYTES if piece.end is not None else piece.path.stat().st_size
    return [Item(number, source, tuple(together)) for number, (source, together) in enumerate(groups)]


def digest(item: Item, data: DataSection, form: TextForm) -> Digest:
    """Reads an item for the keys and labels of its usable rows."""
    label_counts = LabelCounts()
    lines, keys, labels = [], [np.zeros((0, 2), np.uint64)], [np.zeros(0, np.float32)]
    for piece in item.pieces:
        last = 0
        for batch in read(piece, data):
            rows, faults = check(batch, data)
            keys.append(rows.keys(form))
            if rows.label is not None:
                labels.append(rows.label.astype(np.float32))
            if data.label is not None:
                label_counts.add(LabelCounts.of(batch, faults, data.label))
            last = batch.positions[-1]
        lines.append(last if data.format in ("parquet", "tfrecord") else _line_ends(piece, last))
    return Digest(
        item, tuple(lines), np.concatenate(keys).tobytes(), np.concatenate(labels).tobytes(), label_counts
    )


def _line_ends(piece: Piece, last: int) -> int:
    """Lines of a piece that is cut out of a file; others are followed by none."""
    if piece.end is None:
        return last
    with piece.path.open("rb") as file:
        file.seek(piece.start)
        return file.read(piece.end - piece.start).count(b"\n")


def decide(
    digests: list[Digest], data: DataSection, form: TextForm, carry: Carry | None = None, uri: str = ""
) -> Iterator[Assignment]:
    """Assign each row of each item to a split; a span's artifact at `uri` gets the texts and their splits.

    Raises:
      DataRejected: labels name what means 1, and it is not certain what means 0.
    """
    _check_labels(digests, data)
    digests = sorted(digests, key=lambda digest: digest.item.number)
    sources = list(dict.fromkeys(digest.item.source for digest in digests))
    texts: dict[str, np.ndarray] = {}
    rows_of: dict[str, np.ndarray] = {}
    assignments: list[Assignment] = []
    for source in sources:
        mine = [digest for digest in digests if digest.item.source == source]
        keys = np.frombuffer(b"".join(digest.keys for digest in mine), np.uint64).reshape(-1, 2)
        labels = np.frombuffer(b"".join(digest.labels for digest in mine), np.float32)
        earlier = Texts.load(carry, form) if carry is not None else Texts.none()
        destinations = np.full(len(keys), NO_TOKEN, np.uint8)
        has_tokens = (keys != NOTHING).all(axis=1)
        # Without a copy where all have tokens, which is the rule.
        known = keys if has_tokens.all() else keys[has_tokens]
        pairs = pair_keys(known, form.symmetric)
        if source in SPLITS:
            wanted = np.full(len(known), SPLITS.index(source), np.uint8)
        else:
            wanted = assign(known, data.split or Split(), earlier).copy()
        if _has_conflicts(data):
            wanted[conflicts(pairs, labels[has_tokens])] = CONFLICTS
        destinations[has_tokens] = wanted
        if source in SPLITS:
            kept = wanted < len(SPLITS)
            texts[source], rows_of[source] = distinct(known[kept]), distinct(pairs[kept])
        if carry is not None:
            earlier.with_span(keys, destinations, carry).save(uri, form)
        before: Counter[Path] = Counter()
        at = 0
        for digest in mine:
            rows = len(digest.keys) // 16
            offsets = []
            for piece, lines in zip(digest.item.pieces, digest.lines, strict=True):
                offsets.append(before[piece.path])
                before[piece.path] += lines
            targets = destinations[at : at + rows].tobytes()
            assignments.append(Assignment(digest.item, tuple(offsets), targets, digest.label_counts))
            at += rows
    if texts:
        facts: dict[str, dict[str, int]] = {}
        for name, hashes in (("texts", texts), ("rows", rows_of)):
            facts[f"shared_{name}"] = shared(hashes)
            facts[f"different_{name}"] = {split: len(keys) for split, keys in hashes.items()}
        assignments[0] = replace(assignments[0], shared=facts)
    yield from assignments


def _check_labels(digests: list[Digest], data: DataSection) -> None:
    label_counts = LabelCounts()
    for digest in digests:
        label_counts.add(digest.label_counts)
    if data.label is not None:
        check_negative(label_counts, data.label)


def _has_conflicts(data: DataSection) -> bool:
    """Scores of the same pair by two people differ; classes of the same pair contradict each other."""
    contradict = data.label is not None and data.label.kind != "score"
    return data.vector is None and contradict and data.conflicting_labels == "quarantine"


def misplaced(
    destination: int, row: UsableRows, data: DataSection, form: TextForm
) -> tuple[FaultReason, str]:
    """Reason and detail for a usable row, one alone, that goes to no split."""
    if destination == JOINS:
        return FaultReason.JOINS_SPLITS, "its texts stand in two splits already"
    if destination == NO_TOKEN:
        text, key = (row.text_a, TEXT_A) if form.forms(row.text_a or []) == [b""] else (row.text_b, TEXT_B)
        # Nobody would see most of what it has.
        shown = ascii((text or [b""])[0].decode()[:_SHOWN])
        return FaultReason.EMPTY_TEXT, f"column {data.wanted[key]!r}: {shown} has no word, number or symbol"
    column = data.label.column if data.label is not None else ""
    read = "as the model reads it" + (", or turned round" if form.symmetric else "")
    detail = f"column {column!r}: the same pair came before with another label, {read}"
    return FaultReason.CONFLICTING_LABEL, detail
