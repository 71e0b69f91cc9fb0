"""How BERT's tokenizer cuts a text into words, before WordPiece: its rules, without TensorFlow.

Devlin et al. 2019, "BERT". Behind the patterns is RE2, in TensorFlow's graph as in Arrow.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

_IDEOGRAPHS = (
    r"\x{4E00}-\x{9FFF}\x{3400}-\x{4DBF}\x{20000}-\x{2A6DF}\x{2A700}-\x{2B73F}\x{2B740}-\x{2B81F}"
    r"\x{2B820}-\x{2CEAF}\x{F900}-\x{FAFF}\x{2F800}-\x{2FA1F}"
)
# Pattern and replacement, in order: what separates becomes a space, what nobody sees goes.
CLEAN = ((r"[\t\n\r\p{Z}]", " "), (r"[\x{FFFD}\p{Cc}\p{Cf}\p{Co}]", ""))
# An ideograph is a word.
IDEOGRAPHS_ALONE = (rf"([{_IDEOGRAPHS}])", r" \1 ")
# Of a letter that is written as a letter and its marks.
MARKS = r"\p{Mn}"
# Punctuation and ASCII's symbols are words.
PUNCTUATION_ALONE = (r"([!-/:-@\[-`{-~\p{P}])", r" \1 ")
# A longer word is unknown, whatever its pieces.
CHARACTERS_OF_A_WORD = 100


class PieceRules(NamedTuple):
    """The settings in which tokenizers of BERTs differ.

    Attributes:
      lowercase: upper and lower case are one.
      strip_accents: a letter with an accent is the letter.
      split_ideographs: each ideograph is a word.
    """

    lowercase: bool = True
    strip_accents: bool = True
    split_ideographs: bool = True


def rules_of(folder: Path) -> PieceRules:
    """Read the rules from the folder of a BERT, KerasHub's or Hugging Face's; else those of an uncased BERT.

    As in Hugging Face's tokenizer, `tokenizer_config.json` comes before the normalizer in `tokenizer.json`,
    and accents are stripped as letters are lowered where neither says `true` or `false`.
    """
    tokenizer = _read(folder / "tokenizer.json")
    if "config" in tokenizer:  # KerasHub's
        settings = _object(tokenizer["config"])
        return PieceRules(
            bool(settings.get("lowercase", False)),
            bool(settings.get("strip_accents", False)),
            bool(settings.get("split_on_cjk", True)),
        )
    normalizer = _object(tokenizer.get("normalizer"))
    config = _read(folder / "tokenizer_config.json")
    lowercase = bool(config.get("do_lower_case", normalizer.get("lowercase", True)))
    accents = config.get("strip_accents", normalizer.get("strip_accents"))
    ideographs = config.get("tokenize_chinese_chars", normalizer.get("handle_chinese_chars", True))
    return PieceRules(lowercase, lowercase if accents is None else bool(accents), bool(ideographs))


def _read(path: Path) -> dict[str, object]:
    """The JSON object in a file; an empty one where there is none."""
    try:
        return _object(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def _object(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}
