"""From text to tokens, in TensorFlow ops alone.

The same functions run inside the `preprocessing_fn` of TF Transform and inside the exported serving graph, so
nothing here may need Python or a library at run time. `trainer.text.characters` has the patterns.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import tensorflow as tf

from trainer.text import characters
from trainer.text.unicode import nfkc

_ASCII = r"[\x00-\x7F]*"


def tokenize(texts: tf.Tensor, max_tokens: int, lowercase: bool = True) -> tf.RaggedTensor:
    """Cuts texts into words, numbers and symbols; punctuation separates and is dropped.

    What a reader takes for one symbol is one token: a flag, an emoji with its skin tone, a family.

    Args:
        texts: string [batch], UTF-8; invalid bytes become U+FFFD. Of each the first 64 characters a token
            are read.
        max_tokens: tokens kept of each text, from its beginning.
        lowercase: whether upper and lower case are one.

    Returns:
        string [batch, (tokens)], ragged; an empty text is an empty row.
    """
    most = characters.CHARACTERS_OF_A_TOKEN * max_tokens
    cut = functools.partial(tf.strings.substr, pos=0, len=most, unit="UTF8_CHAR")
    texts = _where(tf.strings.length(texts) > most, cut, texts, texts)
    plain = tf.strings.regex_full_match(texts, _ASCII)
    in_ascii = _replace(tf.strings.lower(texts) if lowercase else texts, [characters.ALONE_IN_ASCII])
    texts = _where(~plain, functools.partial(_normalize, lowercase=lowercase), texts, in_ascii)
    separated = _replace(texts, characters.SEPARATE)
    numbers = functools.partial(_replace, steps=characters.SEPARATE_NUMBERS)
    separated = _where(_contains(texts, characters.HAS_NUMBERS), numbers, texts, separated)
    return tf.strings.split(separated)[:, :max_tokens]


def _normalize(texts: tf.Tensor, lowercase: bool) -> tf.Tensor:
    """Brings spellings of the same text together, and puts spaces around what is a token alone.

    Invalid UTF-8 becomes U+FFFD instead of an error, characters that nobody sees go, what Unicode calls
    compatible becomes one (NFKC: full-width forms, ligatures, a letter and its accent).
    """
    texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")
    texts = tf.strings.regex_replace(texts, characters.UNSEEN, "")
    join = functools.partial(_replace, steps=characters.JOIN)
    texts = _where(_contains(texts, characters.NEEDS_JOINING), join, texts, texts)
    # TensorFlow's `lower` for UTF-8 takes a NUL for the end of the text.
    texts = tf.strings.regex_replace(texts, r"\x00", " ")
    texts = tf.strings.unicode_encode(nfkc(tf.strings.unicode_decode(texts, "UTF-8")), "UTF-8")
    return _replace(tf.strings.lower(texts, encoding="utf-8") if lowercase else texts, [characters.ALONE])


def _replace(texts: tf.Tensor, steps: Sequence[tuple[str, str]]) -> tf.Tensor:
    """Every pattern's replacement, one after the other."""
    for pattern, replacement in steps:
        texts = tf.strings.regex_replace(texts, pattern, replacement)
    return texts


def _contains(texts: tf.Tensor, pattern: str) -> tf.Tensor:
    return tf.strings.regex_full_match(texts, f"(?s).*{pattern}.*")


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
    letters = tf.strings.unicode_split(tf.strings.join(["<", tokens, ">"]), "UTF-8")
    runs = [tf.strings.ngrams(letters, size, separator="").merge_dims(1, 2) for size in sizes]
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
