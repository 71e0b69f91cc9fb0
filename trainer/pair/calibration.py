"""Scores that mean what they say: a trained head, bent to the eval split, and the threshold of `label`.

The head ends in sigmoid(w x + b) or softmax(w x + b). Both methods below multiply and shift what stands in
the brackets, so they become part of w and b: the exported model is as large and as fast as before, and ranks
the same way.
"""

from __future__ import annotations

import keras
import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, logit, softmax

from trainer.features import Label
from trainer.metrics import best_threshold
from trainer.pair.pair_config import PairTraining
from trainer.spec import Spec, narrow

# Fewer rows than that say too little.
LEAST = 20
_TINY = 1e-7
# Of the logarithm of the slope: a head that knows nothing of the eval split must not lose its order to
# rounding.
_BOUNDS = (-3.0, 3.0)


def calibrate_model(model: keras.Model, labels: np.ndarray, scores: np.ndarray, spec: Spec) -> float | None:
    """Calibrates a trained model on the eval split, where that is configured.

    Args:
      model: As it will be served.
      labels: [rows], scaled to 0..1; of classes the index.
      scores: [rows, 1] or [rows, classes], what the model gives for them.
      spec: The use case.

    Returns:
      The threshold of binary labels: the score from which on `label` is 1, as `[training] threshold` has it.
      None for other labels.
    """
    label, training = narrow(spec.label, Label), narrow(spec.training, PairTraining)
    if training.calibrated:
        head = narrow(model.get_layer("head"), keras.Model)
        scores = calibrate(narrow(head.get_layer("score"), keras.layers.Dense), labels, scores, label)
    if label.kind != "binary":
        return None
    choice = training.threshold
    return best_threshold(labels, scores, choice) if isinstance(choice, str) else choice


def calibrate(layer: keras.layers.Dense, labels: np.ndarray, scores: np.ndarray, label: Label) -> np.ndarray:
    """Bends the last layer so that `scores` fit `labels`, and gives the scores that it has then.

    Args:
      layer: The dense layer called `score`; its weights are changed.
      labels: [rows], scaled to 0..1; of classes the index.
      scores: [rows, 1] or [rows, classes], what the layer gave for them.
      label: What they mean.

    Returns:
      Scores of the same shape. Where there are too few rows, or one label alone, nothing is changed.
    """
    labels = np.asarray(labels, np.float64).ravel()
    scores = np.asarray(scores, np.float64).reshape(len(labels), -1)
    if len(labels) < LEAST or len(np.unique(labels)) < 2:
        return scores
    slope, shift = _temperature(labels, scores) if label.classes else _sigmoid(labels, scores, label.kind)
    kernel, bias = layer.get_weights()
    layer.set_weights([kernel * slope, bias * slope + shift])
    if label.classes:
        return softmax(_log(scores) * slope, axis=1)
    return expit(_logit(scores) * slope + shift)


def _sigmoid(labels: np.ndarray, scores: np.ndarray, kind: str) -> tuple[float, float]:
    """Slope and shift for binary labels by the likelihood, for scores by the squared error.

    Platt 1999, "Probabilistic Outputs for Support Vector Machines", section 2.
    """
    logits = _logit(scores).ravel()

    def error(parameters: np.ndarray) -> float:
        log_slope, shift = parameters
        bent = np.clip(expit(logits * np.exp(log_slope) + shift), _TINY, 1 - _TINY)
        if kind == "score":
            return float(np.mean((bent - labels) ** 2))
        return float(-np.mean(labels * np.log(bent) + (1 - labels) * np.log(1 - bent)))

    # The slope is an exponential: it stays above 0, so the order of the scores stays too.
    optimum = minimize(error, [0.0, 0.0], method="Nelder-Mead", bounds=[_BOUNDS, (None, None)])
    return float(np.exp(optimum.x[0])), float(optimum.x[1])


def _temperature(labels: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    """One over the temperature: Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2."""
    logs = _log(scores)
    true_classes = np.arange(len(labels)), labels.astype(int)

    def error(temper: float) -> float:
        return float(-np.mean(_log(softmax(logs * np.exp(temper), axis=1)[true_classes])))

    return float(np.exp(minimize_scalar(error, bounds=_BOUNDS).x)), 0.0


def _log(scores: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(scores, np.finfo(np.float32).tiny))


def _logit(scores: np.ndarray) -> np.ndarray:
    return logit(np.clip(scores, _TINY, 1 - _TINY))
