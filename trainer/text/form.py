"""The form in which a model sees a text, without TensorFlow: texts of the same form are the same to it.

The steps are those of `trainer.text.tokens` and `trainer.text.pieces`, in Arrow. Where they differ, the form
here is the coarser one: NFKC is whole, and both small sigmas are the same letter.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from typing import Self, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from trainer.chunking import chunks
from trainer.pair.pair_config import PairModel
from trainer.section import Section
from trainer.spec import Spec
from trainer.text import characters
from trainer.text.piece_rules import CLEAN, IDEOGRAPHS_ALONE, MARKS, PUNCTUATION_ALONE, rules_of

# Counts up when the same settings give other forms: hashes of forms are kept from span to span.
VERSION = 2
# Texts that are worked on together, in bytes.
_BYTES = 2**25
# What NFKC_Casefold drops (Unicode's Default_Ignorable_Code_Point), but for unassigned ones.
_IGNORABLE = rf"[{characters.UNSEEN[1:-1]}\x{{115F}}\x{{1160}}\x{{17B4}}\x{{17B5}}\x{{3164}}\x{{FFA0}}]"

# Most texts: letters and digits in ASCII, and punctuation that only separates.
_NOT_PLAIN = r"[^\x00-\x7F]|[$+<=>^`|~]|[0-9][.,][0-9]"
_SEPARATED = bytes(byte if bytes([byte]).isalnum() or byte > 127 else ord(" ") for byte in range(256))
_LOWERED = _SEPARATED.translate(bytes(range(256)).lower())

Texts: TypeAlias = pa.StringArray


class TextForm(Section):
    """The settings by which a model reads texts.

    Attributes:
      pieces: by WordPiece, to which punctuation is a token; else by `trainer.text.tokens`.
      lowercase: upper and lower case are one.
      strip_accents: a letter with an accent is the letter; of WordPiece alone.
      max_tokens: what is behind is not seen.
      symmetric: a pair turned round is the same pair.
    """

    version: int = VERSION
    pieces: bool = False
    lowercase: bool = True
    strip_accents: bool = False
    max_tokens: int = 100
    symmetric: bool = False

    @classmethod
    def of(cls, spec: Spec, heads: Sequence[str | None] = ()) -> Self:
        """The form of a pair model; `heads` are those that a search may try. A model of vectors has any."""
        model = spec.model
        if not isinstance(model, PairModel):
            return cls()
        # For classes no head is symmetric.
        symmetric = all(head in (None, "cosine", "interaction") for head in (model.head, *heads))
        symmetric &= spec.label is None or spec.label.classes is None
        form = cls(lowercase=model.lowercase, max_tokens=model.max_tokens, symmetric=symmetric)
        if model.weights is None:
            return form
        # [CLS] and [SEP] are among the tokens, and a word may be several.
        most, rules = max(1, model.max_tokens - 2), rules_of(model.weights)
        words = {"lowercase": rules.lowercase, "strip_accents": rules.strip_accents}
        return form.model_copy(update={"max_tokens": most, "pieces": True, **words})

    def forms(self, texts: Sequence[bytes]) -> list[bytes]:
        """The form of each text, valid UTF-8: its tokens in order, a space between two; b"" without any."""
        slices = chunks(map(len, texts), _BYTES)
        return [form for part in slices for form in self._forms_of(texts[part])]

    def _forms_of(self, texts: Sequence[bytes]) -> list[bytes]:
        steps = self._cut_pieces if self.pieces else self._tokenize
        tokens = pc.ascii_split_whitespace(pc.ascii_trim_whitespace(steps(pa.array(texts, pa.string()))))
        if pc.max(pc.list_value_length(tokens)).as_py() > self.max_tokens:
            tokens = pc.list_slice(tokens, 0, self.max_tokens)
        return pc.binary_join(tokens, " ").cast(pa.binary()).to_numpy(zero_copy_only=False).tolist()

    def _tokenize(self, texts: Texts) -> Texts:
        most = characters.CHARACTERS_OF_A_TOKEN * self.max_tokens
        if pc.max(pc.binary_length(texts)).as_py() > most:
            texts = pc.utf8_slice_codeunits(texts, 0, most)
        others = pc.match_substring_regex(texts, _NOT_PLAIN)
        return _where(others, self._take_steps, texts, _translate(texts, self.lowercase))

    def _take_steps(self, texts: Texts) -> Texts:
        """Those of `trainer.text.tokens`."""
        plain = pc.string_is_ascii(texts)
        others = pc.ascii_lower(texts) if self.lowercase else texts
        texts = _where(pc.invert(plain), self._normalize, texts, others)
        texts = _replace(texts, (characters.ALONE,))
        separated = _replace(texts, characters.SEPARATE)
        numbers = pc.match_substring_regex(texts, characters.HAS_NUMBERS)
        texts = _where(numbers, lambda some: _replace(some, characters.SEPARATE_NUMBERS), texts, separated)
        return pc.replace_substring(texts, "\u03c2", "\u03c3") if self.lowercase else texts

    def _normalize(self, texts: Texts) -> Texts:
        texts = pc.replace_substring_regex(texts, characters.UNSEEN, "")
        joining = pc.match_substring_regex(texts, characters.NEEDS_JOINING)
        texts = _where(joining, lambda some: _replace(some, characters.JOIN), texts, texts)
        return _each(texts, self._normal_form)

    def _normal_form(self, text: str) -> str:
        text = unicodedata.normalize("NFKC", text)
        return text.lower() if self.lowercase else text

    def _cut_pieces(self, texts: Texts) -> Texts:
        """Words as in `trainer.text.pieces`; here ideographs stand alone whatever the BERT's rules."""
        texts = _replace(texts, (*CLEAN, IDEOGRAPHS_ALONE))
        if self.strip_accents:
            texts = _each(texts, lambda text: unicodedata.normalize("NFD", text))
            texts = pc.replace_substring_regex(texts, MARKS, "")
        texts = _replace(texts, (PUNCTUATION_ALONE,))
        if not self.lowercase:
            return texts
        return pc.replace_substring_regex(_each(texts, _casefold), _IGNORABLE, "")


def _translate(texts: Texts, lowercase: bool) -> Texts:
    """Plain texts after all steps, byte by byte and all at once: an eighth of their time."""
    _, offsets, content = texts.buffers()
    made = (b"" if content is None else content.to_pybytes()).translate(_LOWERED if lowercase else _SEPARATED)
    return pa.StringArray.from_buffers(len(texts), offsets, pa.py_buffer(made), offset=texts.offset)


def _casefold(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def _replace(texts: Texts, steps: Sequence[tuple[str, str]]) -> Texts:
    for pattern, replacement in steps:
        texts = pc.replace_substring_regex(texts, pattern, replacement)
    return texts


def _each(texts: Texts, change: Callable[[str], str]) -> Texts:
    """`change` for every text that is not ASCII alone, which all changes here leave as it is or lower."""
    return pa.array([change(text) for text in texts.to_pylist()], pa.string())


def _where(needed: pa.BooleanArray, change: Callable[[Texts], Texts], texts: Texts, others: Texts) -> Texts:
    """`change(texts)` where it is needed, `others` elsewhere."""
    if not pc.any(needed).as_py():
        return others
    return pc.replace_with_mask(others, needed, change(texts.filter(needed)))
