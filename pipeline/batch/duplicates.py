"""`kembar duplicates`: the matching pairs inside one corpus.

Comparing all pairs of a million texts is out of reach, so candidates come first: every text's nearest
neighbours by the cosine of their embeddings (`pipeline/batch/neighbours.py`). The pair model then scores the
candidates, and pairs from a threshold upwards are written, with the groups that they link. Texts that are the
same to the byte are found without either.

Memory: the texts, the index with embeddings in half precision, and the pairs that were kept.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from pipeline.batch import rows as files
from pipeline.batch import sinks
from pipeline.batch.neighbours import candidate_pairs, index_texts
from pipeline.batch.predict import FileRequest, as_bytes, counts, served
from pipeline.store.workdir import Workdir
from pipeline.terminal import Terminal
from trainer.errors import ConfigError
from trainer.features import TEXT_A, TEXT_B, Label

if TYPE_CHECKING:
    from pipeline.serving.model import LoadedModel

SCORE, LABEL = "score", "label"
_POSITION_COLUMNS = dict.fromkeys(("group", "row_a", "row_b"), pa.int64())
_COLUMNS = pa.schema({**_POSITION_COLUMNS, SCORE: pa.float64(), TEXT_A: pa.string(), TEXT_B: pa.string()})
# Of a score's range.
_SHARE = 0.8


@dataclass(frozen=True)
class Corpus:
    """The texts of a file.

    Attributes:
      texts: Each text once, in the order of its first row.
      text_of: For each row its text's position, or -1 where it has none; int64 [rows].
      problems: Rows that could not be read.
    """

    texts: list[str]
    text_of: np.ndarray
    problems: int


@dataclass(frozen=True)
class Pairs:
    """Matching pairs of rows: positions `first` < `second`, int64 [pairs], and `score`, float32 [pairs]."""

    first: np.ndarray
    second: np.ndarray
    score: np.ndarray


def duplicates(
    workdir: Workdir,
    request: FileRequest,
    columns: Sequence[str],
    terminal: Terminal,
    *,
    threshold: float | None = None,
    neighbours: int = 10,
) -> None:
    """Writes a line for every matching pair: `group`, `row_a`, `row_b` (from 0), `score`, and both texts.

    Args:
      workdir: Where the version in service is.
      request: The file of the texts, and the one of the pairs.
      columns: The texts are in the first of these that the file has.
      terminal: For progress.
      threshold: The least score, in the label's own range; by default what the model labels 1 where labels
        are binary, else four fifths of the range.
      neighbours: Candidates for each text.

    Raises:
      ConfigError: a file cannot be read or written, or the model gives no scores.
      ServingError: no version is served.
    """
    began = time.monotonic()
    if threshold is not None and not math.isfinite(threshold):
        raise ConfigError(f"--threshold {threshold}: is no finite number: give one in the label's range")
    least = threshold if threshold is not None else default_threshold(request.data.label)
    criterion = f"score {least:g} and more" if least is not None else "label 1"
    table = request.open(*((column,) for column in columns))
    with (
        served(workdir, terminal, "duplicates") as model,
        sinks.sink(request.output, terminal.out, _COLUMNS) as sink,
    ):
        if SCORE not in model.signature().outputs:
            raise ConfigError("duplicates needs a model that scores pairs: the served one gives no 'score'")
        corpus = read_corpus(table.rows(), table.texts[0])
        terminal.say(f"{len(corpus.text_of):,} rows, {len(corpus.texts):,} different texts")
        first, second = candidate_pairs(index_texts(model, corpus.texts, terminal.say), neighbours)
        terminal.say(f"        {len(first):,} candidates")
        text_pairs = score_candidates(model, corpus.texts, first, second, least, terminal.say)
        pairs = to_rows(text_pairs, corpus, _same(model, corpus))
        groups = group(pairs, len(corpus.text_of))
        for lines in _lines(pairs, groups, corpus):
            sink.write(lines)
    terminal.say(f"{len(pairs.first):,} pairs of {criterion} in {len(np.unique(groups)):,} groups")
    terminal.say(counts(len(corpus.text_of), corpus.problems, time.monotonic() - began))


def default_threshold(label: Label | None) -> float | None:
    """The least score of a match, where none was given; None: the model says itself what is one.

    Raises:
      ConfigError: the labels are no scores.
    """
    if label is None or label.kind not in ("binary", "score"):
        raise ConfigError("duplicates needs labels that are scores or binary; [data] label is neither")
    if label.kind == "binary":
        return None
    low, high = label.bounds
    return low + _SHARE * (high - low)


def read_corpus(rows: Iterator[files.Row], column: str) -> Corpus:
    """All texts of a file in memory, each once."""
    position: dict[str, int] = {}
    text_of: list[int] = []
    problems = 0
    for row in rows:
        if row.problem:
            problems += 1
            text_of.append(-1)
        else:
            text_of.append(position.setdefault(row.values[column], len(position)))
    return Corpus(list(position), np.array(text_of, np.int64), problems)


def score_candidates(
    model: LoadedModel,
    texts: list[str],
    first: np.ndarray,
    second: np.ndarray,
    least: float | None,
    say: Callable[[str], None],
) -> Pairs:
    """The candidates, by position, that the model scores `least` or more; None: that it labels 1."""
    scores, matches = [np.zeros(0, np.float32)], [np.zeros(0, bool)]
    for at in range(0, len(first), files.BATCH):
        a, b = first[at : at + files.BATCH], second[at : at + files.BATCH]
        answers = ask_pairs(model, [texts[i] for i in a], [texts[i] for i in b])
        scores.append(answers[SCORE].reshape(-1))
        matches.append(answers[LABEL].reshape(-1) == 1 if least is None else scores[-1] >= least)
        if at // files.BATCH % 100 == 99:
            say(f"        {at + len(a):,} candidates scored")
    score, match = np.concatenate(scores), np.concatenate(matches)
    return Pairs(first[match], second[match], score[match])


def ask_pairs(model: LoadedModel, a: list[str], b: list[str]) -> dict[str, np.ndarray]:
    """The outputs of the default signature, `score` among them, a row for each pair."""
    return model.predict("", {TEXT_A: as_bytes(a), TEXT_B: as_bytes(b)})


def _same(model: LoadedModel, corpus: Corpus) -> dict[int, float]:
    """Return the model's score of a text with itself, for texts of several rows."""
    counts = np.bincount(corpus.text_of[corpus.text_of >= 0], minlength=len(corpus.texts))
    repeated = np.flatnonzero(counts > 1)
    scores: dict[int, float] = {}
    for at in range(0, len(repeated), files.BATCH):
        part = repeated[at : at + files.BATCH]
        texts = [corpus.texts[i] for i in part]
        scores |= dict(zip(part.tolist(), ask_pairs(model, texts, texts)[SCORE].tolist(), strict=True))
    return scores


def to_rows(text_pairs: Pairs, corpus: Corpus, same: dict[int, float]) -> Pairs:
    """Pairs of texts as pairs of rows: the first row of each text stands for it, and its others match it."""
    rows = np.flatnonzero(corpus.text_of >= 0)
    _, at = np.unique(corpus.text_of[rows], return_index=True)
    first_row = rows[at]  # by text, because texts are numbered in the order of their first rows
    again = rows[first_row[corpus.text_of[rows]] != rows]
    own = corpus.text_of[again]
    first = np.concatenate([first_row[text_pairs.first], first_row[own]])
    second = np.concatenate([first_row[text_pairs.second], again])
    score = np.concatenate([text_pairs.score, np.array([same[text] for text in own.tolist()], np.float32)])
    return Pairs(np.minimum(first, second), np.maximum(first, second), score)


def group(pairs: Pairs, rows: int) -> np.ndarray:
    """For each pair the lowest row of its group, which is all rows that pairs link; int64 [pairs]."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not len(pairs.first):
        return np.zeros(0, np.int64)
    links = coo_array((np.ones(len(pairs.first), bool), (pairs.first, pairs.second)), (rows, rows))
    _, part = connected_components(links, directed=False)
    _, lowest = np.unique(part, return_index=True)
    return lowest[part[pairs.first]].astype(np.int64)


def _lines(pairs: Pairs, groups: np.ndarray, corpus: Corpus) -> Iterator[list[dict[str, Any]]]:
    """Return the rows to write, group by group and the best pairs of each first."""
    order = np.lexsort((pairs.second, pairs.first, -pairs.score, groups))
    for at in range(0, len(order), files.BATCH):
        yield [
            {
                "group": int(groups[i]),
                "row_a": int(pairs.first[i]),
                "row_b": int(pairs.second[i]),
                SCORE: float(str(pairs.score[i])),
                TEXT_A: corpus.texts[corpus.text_of[pairs.first[i]]],
                TEXT_B: corpus.texts[corpus.text_of[pairs.second[i]]],
            }
            for i in order[at : at + files.BATCH]
        ]
