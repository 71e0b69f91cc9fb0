"""Simple methods that a text-pair model has to beat.

Each takes the training columns and gives a function from columns to scores in the label's own range, or to
class probabilities. Columns are `text_a`, `text_b` (str [rows]) and `label` (float [rows]).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import sparse
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import normalize

from trainer.features import LABEL, TEXT_A, TEXT_B, Label

Columns = dict[str, np.ndarray]
Predict = Callable[[Columns], np.ndarray]
# Dimensions of averaged embeddings, and rows that are enough to fit a simple method on.
_DIMENSIONS, _ROWS = 100, 50_000


def average_label(train: Columns, label: Label) -> Predict:
    """The mean training label for every pair; for binary labels the majority class; of classes the shares."""
    if label.classes is not None:
        counts = np.bincount(train[LABEL].astype(int), minlength=label.count)
        return lambda columns: np.tile(counts / counts.sum(), (len(columns[LABEL]), 1))
    value = float(np.mean(train[LABEL]))
    if label.kind == "binary":
        value = float(value >= 0.5)
    return lambda columns: np.full(len(columns[LABEL]), value)


def tfidf_cosine(train: Columns, label: Label) -> Predict:
    """Cosine of TF-IDF vectors (Salton and Buckley 1988), stretched over the label's range."""
    vectorizer = _vectorizer(train)
    if vectorizer is None:
        return _nothing_alike(label)
    return lambda columns: _stretched(*_vectors(vectorizer, columns), label)


def averaged_embeddings(train: Columns, label: Label) -> Predict:
    """Cosine of the texts' mean word vectors, weighted by TF-IDF, stretched over the label's range.

    The word vectors are those of latent semantic analysis: Deerwester et al. 1990, "Indexing by Latent
    Semantic Analysis".
    """
    vectorizer = _vectorizer(train)
    if vectorizer is None:
        return _nothing_alike(label)
    known = _some(train)
    texts = sparse.vstack(_vectors(vectorizer, known))
    dimensions = min(_DIMENSIONS, *(size - 1 for size in texts.shape))
    if dimensions < 1:
        return tfidf_cosine(train, label)
    words = TruncatedSVD(dimensions, random_state=0).fit(texts)

    def predict(columns: Columns) -> np.ndarray:
        a, b = (normalize(words.transform(tfidf)) for tfidf in _vectors(vectorizer, columns))
        return _stretched(sparse.csr_array(a), sparse.csr_array(b), label)

    return predict


def tfidf_logistic(train: Columns, label: Label) -> Predict:
    """Logistic regression on [a; b; |a - b|; a * b; cos(a, b)] of TF-IDF vectors, the probabilities."""
    vectorizer = _vectorizer(train)
    known = _some(train)
    if vectorizer is None or len(np.unique(known[LABEL])) < 2:
        return average_label(train, label)

    def features(columns: Columns) -> sparse.csr_array:
        a, b = _vectors(vectorizer, columns)
        product = a.multiply(b).tocsr()
        return sparse.hstack([a, b, abs(a - b), product, product.sum(axis=1).reshape(-1, 1)]).tocsr()

    fitted = LogisticRegression(C=10.0, solver="newton-cg", max_iter=200).fit(
        features(known), known[LABEL].astype(int)
    )

    def predict(columns: Columns) -> np.ndarray:
        # A class that is not in training has no column.
        probabilities = np.zeros((len(columns[LABEL]), label.count or 2))
        if len(probabilities):
            probabilities[:, fitted.classes_] = fitted.predict_proba(features(columns))
        return probabilities[:, 1] if label.classes is None else probabilities

    return predict


# By the kind of label.
_COSINES = {"tfidf_cosine": tfidf_cosine, "averaged_embeddings": averaged_embeddings}
METHODS: dict[str, dict[str, Callable[[Columns, Label], Predict]]] = {
    "score": {"majority": average_label, **_COSINES},
    "binary": {"majority": average_label, **_COSINES, "tfidf_logistic": tfidf_logistic},
    "classes": {"majority": average_label, "tfidf_logistic": tfidf_logistic},
}


def _vectorizer(train: Columns) -> TfidfVectorizer | None:
    """None where no text has a word of two letters."""
    try:
        return TfidfVectorizer().fit(np.concatenate([train[TEXT_A], train[TEXT_B]]))
    except ValueError:
        return None


def _vectors(vectorizer: TfidfVectorizer, columns: Columns) -> tuple[sparse.csr_array, sparse.csr_array]:
    """TF-IDF vectors of both texts, sparse [rows, words], each of length 1 or empty."""
    a, b = (sparse.csr_array(vectorizer.transform(columns[text])) for text in (TEXT_A, TEXT_B))
    return a, b


def _some(train: Columns) -> Columns:
    """At most `_ROWS` rows, always the same."""
    rows = len(train[LABEL])
    if rows <= _ROWS:
        return train
    kept = np.random.default_rng(0).choice(rows, _ROWS, replace=False)
    return {name: values[kept] for name, values in train.items()}


def _stretched(a: sparse.csr_array, b: sparse.csr_array, label: Label) -> np.ndarray:
    low, high = label.bounds
    cosine = np.asarray(a.multiply(b).sum(axis=1)).ravel()
    return low + (high - low) * np.clip(cosine, 0.0, 1.0)


def _nothing_alike(label: Label) -> Predict:
    return lambda columns: np.full(len(columns[LABEL]), label.bounds[0])
