"""Metrics of scores: plain functions on arrays, used for models and baselines alike."""

from __future__ import annotations

import warnings

import numpy as np
from scipy import stats
from sklearn import metrics as skl

from trainer.features import Label
from trainer.undefined import Undefined, defined

DEFAULT_THRESHOLD = 0.5
# No score reaches half-way from 1 to here.
_NEVER = 3.0
_BINS = 10
# Of labels of each kind.
_NAMES = {
    "score": ("spearman", "pearson", "mse"),
    "binary": ("average_precision", "auc", "accuracy", "f1", "mcc", "calibration_error", "best_threshold"),
    "classes": ("accuracy", "macro_f1", "cross_entropy", "calibration_error"),
}


def pair_metrics(label: np.ndarray, score: np.ndarray, kind: Label) -> dict[str, float]:
    """Metrics of scores of text pairs.

    Args:
      label: [rows], in the label's own range; of classes the index.
      score: [rows] or [rows, 1], in the label's own range. For `binary` a probability, and behind it, where
        there are two columns, the decision: 0 or 1; with one column it falls at 0.5. For `classes` [rows,
        classes], the probabilities.
      kind: What the labels mean.

    Returns:
      Name to value; `Undefined` where there is none, such as a correlation with constant scores.
    """
    label = np.asarray(label, np.float64).ravel()
    score = np.asarray(score, np.float64)
    if len(score) != len(label):
        raise ValueError(f"{len(label)} labels but {len(score)} scores")
    if kind.kind == "classes":
        return class_metrics(label, score, kind.count)
    score = score.reshape(len(label), -1) if len(label) else np.zeros((0, 1))
    if unusable := _unusable(score):
        return dict.fromkeys(_NAMES[kind.kind], Undefined(unusable))
    if kind.kind == "score":
        return _score_metrics(label, score[:, 0])
    return _binary_metrics(label, score[:, 0], decisions(score))


def decisions(score: np.ndarray) -> np.ndarray:
    """Decisions, bool [rows], by the scores of binary labels: [rows, 1 or 2], as `pair_metrics` has them."""
    return score[:, 1] > 0.5 if score.shape[1] > 1 else score[:, 0] >= DEFAULT_THRESHOLD


def best_threshold(label: np.ndarray, score: np.ndarray, metric: str = "f1") -> float:
    """The highest score from which on to say 1 so that a metric is highest; 0.5 where labels are all alike.

    It lies half-way between two scores, so that the same scores rounded otherwise are decided alike. Scores
    are compared as float32, in which a model gives them, and the threshold is a float32 too: whoever compares
    with it, in a graph or in Python, decides the same.

    Args:
      label: [rows], 0 or 1.
      score: [rows], in 0..1.
      metric: `f1`, `accuracy` or `mcc`. Where it is highest if nothing is 1, the threshold is above 1.
    """
    label, score = np.asarray(label).ravel() > 0.5, np.asarray(score).ravel().astype(np.float32)
    if not 0 < label.sum() < label.size:
        return DEFAULT_THRESHOLD
    order = np.argsort(-score, kind="stable")
    ranked = np.concatenate([[np.float32(_NEVER)], score[order], [np.float32(-1.0)]])
    # Rows that are called 1, none of them to all, and how many of them are.
    called, hits = np.arange(label.size + 1), np.append(0, np.cumsum(label[order]))
    values = _by_called(called, hits, int(label.sum()), label.size)[metric]
    # A cut falls between different scores only.
    at = int(np.argmax(np.where(ranked[:-1] > ranked[1:], values, -np.inf)))
    if at == label.size:
        return float(ranked[at])
    middle = np.float32((float(ranked[at]) + float(ranked[at + 1])) / 2)
    # Between two neighbours there is no float32, and one of them is the lower score.
    return float(middle if at == 0 or middle > ranked[at + 1] else ranked[at])


def _by_called(called: np.ndarray, hits: np.ndarray, positive: int, rows: int) -> dict[str, np.ndarray]:
    """Metrics where so many rows are `called` 1, [cuts], and `hits` of them are 1."""
    # Where all rows are called the same MCC is 0.
    spread = called * (rows - called) * float(positive) * (rows - positive)
    return {
        "f1": 2 * hits / (called + positive),
        "accuracy": (rows - positive - called + 2 * hits) / rows,
        "mcc": (rows * hits - called * float(positive)) / np.sqrt(np.maximum(spread, 1.0)),
    }


def not_finite(score: np.ndarray) -> str:
    """A reason that counts the predictions [rows, numbers] that are not finite; empty where all are."""
    bad = np.flatnonzero(~np.isfinite(score).all(axis=1))
    if not bad.size:
        return ""
    return f"the model gives no finite number for {bad.size} of {len(score)} rows"


def same_label(label: np.ndarray) -> str:
    """A reason that labels [rows] of 0 and 1 are all the same; empty where they are not."""
    if not label.size:
        return "there are no rows"
    if label.min() != label.max():
        return ""
    return f"all {label.size} labels are {label[0]:g}, none is {1 - label[0]:g}"


def calibration_error(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Expected calibration error in ten bins of the same width.

    Guo et al. 2017, "On Calibration of Modern Neural Networks", section 2.

    Args:
      confidence: [rows], probabilities of what was predicted.
      correct: [rows], whether it was so.
    """
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    gaps = np.bincount(bins, weights=confidence - correct, minlength=_BINS)
    return float(np.abs(gaps).sum() / len(confidence))


def _unusable(score: np.ndarray) -> str:
    """Why no metric is defined of scores [rows, numbers]; empty where one may be."""
    return not_finite(score) if len(score) else "there are no rows"


def _score_metrics(label: np.ndarray, score: np.ndarray) -> dict[str, float]:
    alike = [
        f"all {len(values)} {name} are {values[0]:.4g}"
        for name, values in (("labels", label), ("scores", score))
        if values.min() == values.max()
    ]
    mse = {"mse": float(np.mean((label - score) ** 2))}
    if alike:
        reason = "there is one row alone" if label.size == 1 else " and ".join(alike)
        return {**dict.fromkeys(("spearman", "pearson"), Undefined(reason)), **mse}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        spearman, pearson = stats.spearmanr(label, score), stats.pearsonr(label, score)
    correlations = {"spearman": spearman.statistic, "pearson": pearson.statistic}
    hardly = "labels or scores hardly vary"
    return {**{name: defined(value, hardly) for name, value in correlations.items()}, **mse}


def _binary_metrics(label: np.ndarray, score: np.ndarray, decided: np.ndarray) -> dict[str, float]:
    reason = same_label(label)
    measured: dict[str, float] = dict.fromkeys(_NAMES["binary"], Undefined(reason))
    measured |= {
        "accuracy": float(np.mean(decided == label)),
        "f1": float(skl.f1_score(label, decided, zero_division=0.0)),
        "calibration_error": calibration_error(score, label),
    }
    if not reason:
        measured |= {
            "average_precision": float(skl.average_precision_score(label, score)),
            "auc": float(skl.roc_auc_score(label, score)),
            "mcc": float(skl.matthews_corrcoef(label, decided)),
            "best_threshold": best_threshold(label, score),
        }
    return measured


def class_metrics(label: np.ndarray, probabilities: np.ndarray, classes: int) -> dict[str, float]:
    """Metrics of class probabilities.

    Args:
      label: [rows], the index of each row's class.
      probabilities: [rows, classes].
      classes: How many there are; one that no row has counts nothing in `macro_f1`.
    """
    label = np.asarray(label, np.int64).ravel()
    probabilities = np.asarray(probabilities, np.float64)[: label.size].reshape(-1, classes)
    if unusable := _unusable(probabilities):
        return dict.fromkeys(_NAMES["classes"], Undefined(unusable))
    probabilities = probabilities / probabilities.sum(axis=1, keepdims=True)  # those of float32 are off 1
    decided = probabilities.argmax(axis=1)
    present = np.unique(label)
    correct = decided == label
    macro_f1 = skl.f1_score(label, decided, labels=present, average="macro", zero_division=0.0)
    return {
        "accuracy": float(np.mean(correct)),
        "macro_f1": float(macro_f1),
        "cross_entropy": float(skl.log_loss(label, probabilities, labels=np.arange(classes))),
        "calibration_error": calibration_error(probabilities.max(axis=1), correct),
    }
