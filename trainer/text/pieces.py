"""WordPiece in a graph, as BERT's own tokenizer has it.

KerasHub's tokenizer gives the vocabulary. Its way of cutting is not taken: it folds case by NFKC, so that
Korean is unknown and an ellipsis three dots, and of Hugging Face's settings it reads `do_lower_case` alone.
tensorflow-text comes with the extra `pretrained` and is imported only when a tokenizer is made.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf

from trainer.errors import ConfigError
from trainer.features import IDS_A, IDS_B, LABEL, TEXT_A, TEXT_B
from trainer.text import piece_rules
from trainer.text.piece_rules import PieceRules, rules_of
from trainer.text.vocabulary import PADDING

_UNKNOWN = "[UNK]"
# In UTF-8.
_BYTES_OF_A_CHARACTER = 4


class WordPiece(tf.Module):
    """Texts to ids as the pretrained model had them, in the graph: [CLS], the pieces, [SEP].

    Wu et al. 2016, "Google's Neural Machine Translation System", section 4.1. Two things differ from Hugging
    Face's tokenizer on purpose: `[SEP]` in a text is punctuation and letters, and characters that Unicode has
    not assigned are kept.
    """

    def __init__(self, folder: Path, max_tokens: int) -> None:
        """`max_tokens` counts [CLS] and [SEP]; what is longer loses its end.

        Raises:
          ConfigError: the folder's padding has another id than 0.
        """
        super().__init__()
        import keras_hub
        import tensorflow_text

        tokenizer = keras_hub.models.BertTokenizer.from_preset(str(folder))
        if tokenizer.pad_token_id != PADDING:
            raise ConfigError(
                f"[model] weights = '{folder}': its padding has id {tokenizer.pad_token_id}, not {PADDING}"
            )
        self._ends = tokenizer.cls_token_id, tokenizer.sep_token_id
        self._kept = max(0, max_tokens - 2)
        self._rules = rules_of(folder)
        self._pieces = tensorflow_text.FastWordpieceTokenizer(
            tokenizer.get_vocabulary(),
            unknown_token=_UNKNOWN,
            max_bytes_per_word=_BYTES_OF_A_CHARACTER * piece_rules.CHARACTERS_OF_A_WORD,
            token_out_type=tf.int64,
            no_pretokenization=True,
        )

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def __call__(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """String [batch] to int64 [batch, (tokens)], ragged; an empty text is [CLS] [SEP]."""
        pieces = self._pieces.tokenize(words_of(texts, self._rules)).merge_dims(-2, -1)[:, : self._kept]
        ends = [tf.fill([pieces.nrows(), 1], tf.constant(end, tf.int64)) for end in self._ends]
        return tf.concat([ends[0], pieces, ends[1]], axis=1)

    def pool(self, pool: dict[str, tf.Tensor]) -> dict[str, Any]:
        """Raw rows, as the pools of a split give them, to ids."""
        texts = {ids: tf.reshape(pool[text], [-1]) for ids, text in ((IDS_A, TEXT_A), (IDS_B, TEXT_B))}
        return {LABEL: pool[LABEL], **{ids: self(text) for ids, text in texts.items()}}


def words_of(texts: tf.Tensor, rules: PieceRules) -> tf.RaggedTensor:
    """String [batch] to the words that are cut into pieces, string [batch, (words)]."""
    import tensorflow_text

    texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")
    for pattern, replacement in piece_rules.CLEAN:
        texts = tf.strings.regex_replace(texts, pattern, replacement)
    if rules.split_ideographs:
        texts = tf.strings.regex_replace(texts, *piece_rules.IDEOGRAPHS_ALONE)
    if rules.strip_accents:
        texts = tf.strings.regex_replace(tensorflow_text.normalize_utf8(texts, "NFD"), piece_rules.MARKS, "")
    if rules.lowercase:
        # TensorFlow would write a sigma at the end of a word in another way than BERT.
        texts = tf.strings.lower(tf.strings.regex_replace(texts, "\u03a3", "\u03c3"), encoding="utf-8")
    words = tf.strings.split(tf.strings.regex_replace(texts, *piece_rules.PUNCTUATION_ALONE))
    is_long = tf.strings.length(words.flat_values, unit="UTF8_CHAR") > piece_rules.CHARACTERS_OF_A_WORD
    return words.with_flat_values(tf.where(is_long, _UNKNOWN, words.flat_values))
