"""How good scores are: plain functions on arrays, used for models and baselines alike."""

from __future__ import annotations

import warnings

import numpy as np
from scipy import stats
from sklearn import metrics as skl

from trainer.features import Label


def pair_metrics(label: np.ndarray, score: np.ndarray, kind: Label) -> dict[str, float]:
    """Metrics of text-pair scores.

    Args:
      label: [rows], in the label's own range.
      score: [rows], in the label's own range; for `binary` a probability.
      kind: What the labels mean.

    Returns:
      Name to value; NaN where a metric is not defined, such as a correlation with constant scores.
    """
    label = np.asarray(label, np.float64).ravel()
    score = np.asarray(score, np.float64).ravel()
    if label.shape != score.shape:
        raise ValueError(f"{label.size} labels but {score.size} scores")
    return _score_metrics(label, score) if kind.kind == "score" else _binary_metrics(label, score)


def _score_metrics(label: np.ndarray, score: np.ndarray) -> dict[str, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.ConstantInputWarning)  # NaN says it
        varied = label.size > 1
        return {
            "spearman": float(stats.spearmanr(label, score).statistic) if varied else float("nan"),
            "pearson": float(stats.pearsonr(label, score).statistic) if varied else float("nan"),
            "mse": float(np.mean((label - score) ** 2)) if label.size else float("nan"),
        }


def _binary_metrics(label: np.ndarray, score: np.ndarray) -> dict[str, float]:
    decided = score >= 0.5
    both = 0 < label.sum() < label.size
    return {
        "average_precision": float(skl.average_precision_score(label, score)) if both else float("nan"),
        "auc": float(skl.roc_auc_score(label, score)) if both else float("nan"),
        "accuracy": float(np.mean(decided == label)) if label.size else float("nan"),
        "f1": float(skl.f1_score(label, decided, zero_division=0.0)) if label.size else float("nan"),
        "mcc": float(skl.matthews_corrcoef(label, decided)) if both else float("nan"),
    }


def class_metrics(label: np.ndarray, probabilities: np.ndarray, classes: int) -> dict[str, float]:
    """Metrics of class probabilities.

    Args:
      label: [rows], the index of each row's class.
      probabilities: [rows, classes].
      classes: How many there are; one that no row has counts nothing in `macro_f1`.
    """
    label = np.asarray(label, np.int64).ravel()
    if not label.size:
        return dict.fromkeys(("accuracy", "macro_f1", "cross_entropy"), float("nan"))
    probabilities = np.asarray(probabilities, np.float64).reshape(-1, classes)
    decided = probabilities.argmax(axis=1)
    present = np.unique(label)
    return {
        "accuracy": float(np.mean(decided == label)),
        "macro_f1": float(skl.f1_score(label, decided, labels=present, average="macro", zero_division=0.0)),
        "cross_entropy": float(skl.log_loss(label, probabilities, labels=np.arange(classes))),
    }
