"""Diagnoses, with remedies, of data that no model can learn from and of a loss that became no number."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from trainer.errors import DataRejected
from trainer.features import Label

# Deviations from the mean that a value of ordinary data does not have.
_FAR = 15.0
# A learning rate of Adam that is high by itself.
_HIGH_RATE = 0.05


def check_labels(label: Label, lowest: float, highest: float, rows: int) -> None:
    """Refuses a training split in which all labels are the same.

    Args:
      label: What they mean.
      lowest: The lowest of them, in the label's own range; of classes the index.
      highest: The highest.
      rows: How many there are.

    Raises:
      DataRejected: naming the label, and what may be the reason.
    """
    if lowest != highest:
        return
    name = label.classes[int(lowest)] if label.classes is not None else f"{lowest:g}"
    raise DataRejected(
        f"[data] label: column {label.column!r} is {name!r} in all {rows} training rows, and a model learns "
        "only from rows that differ: give train rows of other labels; files that are sorted by label have to "
        "be shuffled before they are divided"
    )


def extreme(
    scaled: np.ndarray, raw: Callable[[np.ndarray], np.ndarray | tf.Tensor], name: Callable[[int], str]
) -> str:
    """The value of `scaled` [rows, n] that is farthest from its column's mean; empty where none is far.

    Args:
      scaled: Standardized vectors.
      raw: From scaled vectors to those of the data.
      name: From a column's index to its name.
    """
    sizes = np.abs(np.where(np.isnan(scaled), np.inf, scaled))
    if not scaled.size or sizes.max() < _FAR:
        return ""
    row, column = np.unravel_index(int(sizes.argmax()), scaled.shape)
    value = float(raw(scaled[row : row + 1])[0, column])
    return (
        f"column {name(int(column))!r} holds {value:.6g}, {sizes[row, column]:,.0f} deviations from the mean "
        "of the training rows"
    )


def advice(rate: float, mixed_precision: bool, clip: bool, outlier: str) -> str:
    """Remedies for a loss that became no number, the likeliest cause first.

    Args:
      rate: The learning rate.
      mixed_precision: Whether the model computes in half precision.
      clip: Whether `[training] clip_norm` is there, and not set.
      outlier: A value far outside all others, as `extreme` has it, or nothing.
    """
    remedies = []
    if outlier:
        remedies.append(f"{outlier}: remove or mend such rows")
    if mixed_precision:
        remedies.append("set [training] mixed_precision = false")
    slower = "lower [training] learning_rate" + (" or set clip_norm" if clip else "")
    remedies.insert(0 if rate >= _HIGH_RATE else len(remedies), slower)
    return "; or ".join(remedies)
