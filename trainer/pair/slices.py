"""Parts of a split of text pairs on which a model may be better or worse than on the whole."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from trainer.features import TEXT_A, TEXT_B

# Close to what the tokenizer of the model takes for words; where a script has no spaces, to characters.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_\u3040-\u30ff\u3400-\u9fff]+")
# Upper ends of the parts, and their names in an order that sorting keeps.
_LENGTHS = ((10, "1: up to 10 words"), (20, "2: 11 to 20"), (50, "3: 21 to 50"), (np.inf, "4: more"))
_OVERLAPS = ((0.1, "1: up to 10 %"), (0.4, "2: up to 40 %"), (0.7, "3: up to 70 %"), (1.0, "4: more"))
_UNKNOWN = ((0.0, "1: none"), (0.1, "2: up to 10 %"), (1.0, "3: more"))


def pair_slices(train: dict[str, np.ndarray], rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Name of the way to divide to each row's part, str [rows].

    Args:
      train: The training texts, `text_a` and `text_b`: str [pairs].
      rows: Those that are divided.

    `length` is that of the longer text; `overlap` the share of all different words that both texts have;
    `unknown` the share of different words that no training text has.
    """
    known = {word for name in (TEXT_A, TEXT_B) for text in train[name] for word in _words(text)}
    lengths, overlaps, unknown = [], [], []
    for a, b in zip(rows[TEXT_A], rows[TEXT_B], strict=True):
        words_a, words_b = _words(a), _words(b)
        every = set(words_a) | set(words_b)
        lengths.append(max(len(words_a), len(words_b)))
        overlaps.append(len(set(words_a) & set(words_b)) / max(1, len(every)))
        unknown.append(len(every - known) / max(1, len(every)))
    return {
        "length": _parts(lengths, _LENGTHS),
        "overlap": _parts(overlaps, _OVERLAPS),
        "unknown": _parts(unknown, _UNKNOWN),
    }


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _parts(values: Sequence[float], ends: tuple[tuple[float, str], ...]) -> np.ndarray:
    bins = np.searchsorted([end for end, _ in ends], np.array(values, np.float64), side="left")
    return np.array([name for _, name in ends], object)[bins]
