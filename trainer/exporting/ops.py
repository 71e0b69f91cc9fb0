"""Ops that a SavedModel may hold and core TensorFlow does not have."""

from __future__ import annotations

import importlib
from typing import Any

import tensorflow as tf

from trainer.errors import ServingError

# TF Serving links its ops; here it is imported when a model asks for them.
LIBRARY = "tensorflow_text"
_UNKNOWN = "Op type not registered"


def load_model(path: str, tags: list[str] | None = None) -> Any:
    """`tf.saved_model.load`, after whatever registers the model's ops.

    Raises:
      ServingError: the model needs a library that is not installed.
    """
    try:
        return tf.saved_model.load(path, tags=tags)
    # TensorFlow's loader has said it in each of these types.
    except (tf.errors.OpError, OSError, ValueError, RuntimeError) as error:
        if _UNKNOWN not in str(error):
            raise
    try:
        importlib.import_module(LIBRARY)
    except ImportError as missing:
        raise ServingError(
            f"{path}: the model needs {LIBRARY}: pip install 'kembar[pretrained]'"
        ) from missing
    return tf.saved_model.load(path, tags=tags)
