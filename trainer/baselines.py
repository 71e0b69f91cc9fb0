"""Simple methods that a text-pair model has to beat.

Each takes the training columns and gives a function from columns to scores in the label's own range.
Columns are `text_a`, `text_b` (str [rows]) and `label` (float [rows]).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from trainer.features import LABEL, TEXT_A, TEXT_B, Label

Columns = dict[str, np.ndarray]
Predict = Callable[[Columns], np.ndarray]


def average_label(train: Columns, label: Label) -> Predict:
    """The mean training label for every pair; for binary labels the majority class."""
    value = float(np.mean(train[LABEL]))
    if label.kind == "binary":
        value = float(value >= 0.5)
    return lambda columns: np.full(len(columns[LABEL]), value)


def tfidf_cosine(train: Columns, label: Label) -> Predict:
    """Cosine of TF-IDF vectors (Salton and Buckley 1988), stretched over the label's range."""
    vectorizer = TfidfVectorizer()
    low, high = label.bounds
    try:
        vectorizer.fit(np.concatenate([train[TEXT_A], train[TEXT_B]]))
    except ValueError:  # no word of two letters in any text: nothing is like anything
        return lambda columns: np.full(len(columns[LABEL]), low)

    def predict(columns: Columns) -> np.ndarray:
        a, b = vectorizer.transform(columns[TEXT_A]), vectorizer.transform(columns[TEXT_B])
        cosine = np.asarray(a.multiply(b).sum(axis=1)).ravel()
        return low + (high - low) * np.clip(cosine, 0.0, 1.0)

    return predict
