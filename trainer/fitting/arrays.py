"""Arrays by name in a file, in numpy's format, on any file system that TensorFlow knows."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
import tensorflow as tf


def read_arrays(path: str) -> dict[str, np.ndarray]:
    """All arrays of a file; no pickle is read."""
    with tf.io.gfile.GFile(path, "rb") as file:
        content: bytes = file.read()
    arrays: Mapping[str, np.ndarray] = np.load(io.BytesIO(content), allow_pickle=False)
    return dict(arrays)


def write_arrays(path: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes a file whose folder is there."""
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **arrays)
    with tf.io.gfile.GFile(path, "wb") as file:
        file.write(content.getvalue())
