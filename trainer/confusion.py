"""The confusion matrix and the ROC curve of a classifier, for laptop and cluster alike."""

from __future__ import annotations

from typing import Any

import numpy as np

from trainer.families import family_of
from trainer.features import Label
from trainer.metrics import decisions
from trainer.spec import Spec

# More classes than that make a table that nobody reads, and that a metadata database should not hold.
MOST_CLASSES = 100
# Points of a ROC curve that a page can draw.
_POINTS = 200


def shown_classes(spec: Spec) -> tuple[str, ...]:
    """The classes that the model decides between; none where it does not, or between too many to show."""
    nothing = np.zeros((0, 1))
    if spec.label is None or "accuracy" not in family_of(spec).metrics(nothing, nothing, spec):
        return ()
    names = _names(spec.label)
    return names if len(names) <= MOST_CLASSES else ()


def confusion(label: np.ndarray, score: np.ndarray, kind: Label) -> dict[str, Any]:
    """The confusion matrix, and the ROC curve of a binary label, as JSON.

    Args:
      label: [rows] or [rows, 1], the true class's number.
      score: [rows, numbers], as an evaluation holds it: `pair_metrics` says what the columns mean.
      kind: What the label is.

    Returns:
      `classes` (names), `matrix` (a row for each true class, a column for each predicted one) and, of a
      binary label with both classes, `roc` with `false_positive_rate`, `recall` and `threshold`.
    """
    from sklearn.metrics import confusion_matrix, roc_curve

    names = _names(kind)
    label = np.asarray(label).ravel().astype(int)
    score = np.asarray(score, np.float64).reshape(len(label), -1)
    decided = score.argmax(axis=1) if kind.kind == "classes" else decisions(score).astype(int)
    matrix = np.zeros((len(names), len(names)), int)
    if len(label):
        matrix = confusion_matrix(label, decided, labels=range(len(names)))
    document: dict[str, Any] = {"classes": list(names), "matrix": matrix.tolist()}
    if kind.kind == "binary" and len(np.unique(label)) == len(names) and np.isfinite(score[:, 0]).all():
        false, true, threshold = roc_curve(label, score[:, 0])
        at = np.unique(np.linspace(0, len(false) - 1, _POINTS).astype(int))
        document["roc"] = {
            "false_positive_rate": false[at].tolist(),
            "recall": true[at].tolist(),
            # The first threshold is infinite, which JSON cannot say.
            "threshold": np.minimum(threshold[at], 1.0).tolist(),
        }
    return document


def _names(kind: Label) -> tuple[str, ...]:
    return ("0", "1") if kind.kind == "binary" else kind.classes or ()
