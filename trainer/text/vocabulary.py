"""The vocabulary that Transform made of the training texts."""

from __future__ import annotations

import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_transform.analyzers import get_empy_vocabulary_dummy_value

VOCABULARY = "tokens"
PADDING = 0
# What the vocabulary calls 0 is the first id behind it.
FIRST_ID = 1
_NOTHING = get_empy_vocabulary_dummy_value(tf.string)[1]


def vocabulary(transform: tft.TFTransformOutput) -> list[bytes]:
    """The tokens in the order of their ids; none where the transform has no vocabulary."""
    if transform.vocabulary_file_by_name(VOCABULARY) is None:
        return []
    tokens = transform.vocabulary_by_name(VOCABULARY)
    # What TFT writes where it found nothing new has a row, but is no token.
    return tokens[:-1] if tokens[-1] == _NOTHING else tokens
