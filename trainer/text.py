"""From text to tokens, in TensorFlow ops alone.

The same functions run inside the `preprocessing_fn` of TF Transform and inside the exported serving graph, so
nothing here may need Python or a library at run time. RE2, which stands behind `tf.strings.regex_replace`,
knows Unicode classes and scripts.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import tensorflow as tf

from trainer.unicode import nfkc

# Scripts written without spaces between words: each character, with the marks that belong to it, is a token.
# U+30FC, the long-vowel sign, belongs to no script but never stands alone.
_UNSPACED = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}][\p{M}ー]*"
# Symbols carry meaning (currencies, signs of arithmetic, emoji) where punctuation hardly does.
_ALONE = rf"({_UNSPACED}|\p{{S}})"
# A dot or comma between digits belongs to the number: 3.5 and 1,000 are one token each. RE2 cannot look
# ahead, so these two are hidden behind characters of the private use area while punctuation is taken out.
_HIDDEN_DOT, _HIDDEN_COMMA = "\ue000", "\ue001"
# Nor is a space, but it already is what these are replaced by, and each replacement costs.
_NOT_KEPT = r"[^\p{L}\p{M}\p{N}\p{S} ]+"
_NEITHER_KEPT_NOR_HIDDEN = rf"[^\p{{L}}\p{{M}}\p{{N}}\p{{S}} {_HIDDEN_DOT}{_HIDDEN_COMMA}]+"
_WITH_SEPARATOR = r"(?s).*\p{N}[.,]\p{N}.*"
_ASCII = r"[\x00-\x7F]*"

# Characters without width: soft hyphen, zero-width space, word joiner, byte-order mark. The joiners U+200C
# and U+200D stay out of the list, because they change letters in Persian and Hindi.
_NO_WIDTH = r"[\x{00AD}\x{200B}\x{2060}\x{FEFF}]"


def normalize(texts: tf.Tensor, lowercase: bool = True) -> tf.Tensor:
    """Brings spellings of the same text together.

    Invalid UTF-8 becomes U+FFFD instead of an error, characters without width go, what Unicode calls
    compatible becomes one (NFKC: full-width forms, ligatures, a letter and its accent).

    Args:
        texts: string [batch], UTF-8.
        lowercase: whether upper case becomes lower case, in all scripts.

    Returns:
        string [batch], valid UTF-8.
    """
    plain = tf.strings.regex_full_match(texts, _ASCII)
    others = tf.strings.lower(texts) if lowercase else texts
    return _where(~plain, functools.partial(_normalize_unicode, lowercase=lowercase), texts, others)


def _normalize_unicode(texts: tf.Tensor, lowercase: bool) -> tf.Tensor:
    texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")
    texts = tf.strings.regex_replace(texts, _NO_WIDTH, "")
    # TensorFlow's `lower` for UTF-8 takes a NUL for the end of the text.
    texts = tf.strings.regex_replace(texts, r"\x00", " ")
    texts = tf.strings.unicode_encode(nfkc(tf.strings.unicode_decode(texts, "UTF-8")), "UTF-8")
    return tf.strings.lower(texts, encoding="utf-8") if lowercase else texts


def tokenize(texts: tf.Tensor, max_tokens: int, lowercase: bool = True) -> tf.RaggedTensor:
    """Cuts texts into words, numbers and symbols; punctuation separates and is dropped.

    Args:
        texts: string [batch], UTF-8; invalid bytes become U+FFFD.
        max_tokens: tokens kept of each text, from its beginning.
        lowercase: whether upper and lower case are one.

    Returns:
        string [batch, (tokens)], ragged; an empty text is an empty row.
    """
    texts = tf.strings.regex_replace(normalize(texts, lowercase), _ALONE, r" \1 ")
    has_numbers = tf.strings.regex_full_match(texts, _WITH_SEPARATOR)
    separated = tf.strings.regex_replace(texts, _NOT_KEPT, " ")
    return tf.strings.split(_where(has_numbers, _separate_numbers, texts, separated))[:, :max_tokens]


def _separate_numbers(texts: tf.Tensor) -> tf.Tensor:
    """Takes punctuation out, but for dots and commas between digits."""
    texts = tf.strings.regex_replace(texts, f"[{_HIDDEN_DOT}{_HIDDEN_COMMA}]", " ")
    for sign, hidden in ((r"\.", _HIDDEN_DOT), (",", _HIDDEN_COMMA)):
        # Matches do not overlap, so 1.2.3 takes two rounds.
        for _ in range(2):
            texts = tf.strings.regex_replace(texts, rf"(\p{{N}}){sign}(\p{{N}})", rf"\1{hidden}\2")
    texts = tf.strings.regex_replace(texts, _NEITHER_KEPT_NOR_HIDDEN, " ")
    texts = tf.strings.regex_replace(texts, _HIDDEN_DOT, ".")
    return tf.strings.regex_replace(texts, _HIDDEN_COMMA, ",")


def _where(
    needed: tf.Tensor, change: Callable[[tf.Tensor], tf.Tensor], texts: tf.Tensor, others: tf.Tensor
) -> tf.Tensor:
    """`change(texts)` for the rows that need it, `others` elsewhere: most texts need no rare, costly step."""
    rows = tf.where(needed)
    return tf.tensor_scatter_nd_update(others, rows, change(tf.gather_nd(texts, rows)))


def character_ngrams(tokens: tf.RaggedTensor, sizes: Sequence[int]) -> tf.RaggedTensor:
    """Spells tokens as overlapping runs of characters, so that `walk` and `walking` have something in common.

    Subword units of Bojanowski et al. 2017, "Enriching Word Vectors with Subword Information", section 3.2:
    each token is put between `<` and `>`, so that beginnings and ends of words differ from their middles.

    Args:
        tokens: string [batch, (tokens)].
        sizes: lengths of the runs, in characters; a run longer than its token is left out.

    Returns:
        string [batch, (runs)], ragged, all runs of the first size first.
    """
    characters = tf.strings.unicode_split(tf.strings.join(["<", tokens, ">"]), "UTF-8")
    runs = [tf.strings.ngrams(characters, size, separator="").merge_dims(1, 2) for size in sizes]
    return tf.concat(runs, axis=1)


def text_features(
    texts: tf.Tensor, max_tokens: int, ngrams: Sequence[int] = (), lowercase: bool = True
) -> tf.RaggedTensor:
    """The strings that the vocabulary is made of and that become ids: tokens, then their character n-grams.

    Args:
        texts: string [batch], UTF-8.
        max_tokens: tokens kept of each text; all n-grams of the tokens kept are kept.
        ngrams: lengths of the character n-grams; none for an encoder that reads words in order.
        lowercase: whether upper and lower case are one.

    Returns:
        string [batch, (features)], ragged.
    """
    return _features(max_tokens, tuple(ngrams), lowercase)(texts)


@functools.cache
def _features(
    max_tokens: int, ngrams: tuple[int, ...], lowercase: bool
) -> Callable[[tf.Tensor], tf.RaggedTensor]:
    """One function for all graphs: TF Transform traces each text many times, and NFKC has many ops."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    def features(texts: tf.Tensor) -> tf.RaggedTensor:
        tokens = tokenize(texts, max_tokens, lowercase)
        return tf.concat([tokens, character_ngrams(tokens, ngrams)], axis=1) if ngrams else tokens

    return features
