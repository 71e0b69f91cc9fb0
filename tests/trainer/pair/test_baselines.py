from __future__ import annotations

import math

import numpy as np
import pytest

from trainer.features import Label
from trainer.pair.baselines import METHODS, average_label, averaged_embeddings, tfidf_cosine, tfidf_logistic

SCORE = Label(column="y", kind="score", range=(1, 5))
BINARY = Label(column="y", kind="binary")
CLASSES = Label(column="y", kind="classes", classes=("same", "near", "far"))


def columns(*rows):
    a, b, label = zip(*rows, strict=True)
    return {"text_a": np.array(a, object), "text_b": np.array(b, object), "label": np.array(label, float)}


TRAIN = columns(("red fox", "red hen", 2.0), ("blue fox", "blue owl", 3.0))


def test_tfidf_by_hand():
    # Four documents. "red", "fox" and "blue" stand in two of them, "hen" and "owl" in one; scikit-learn's
    # smoothed weight is ln((1 + 4) / (1 + n)) + 1.
    common, rare = math.log(5 / 3) + 1, math.log(5 / 2) + 1
    predict = tfidf_cosine(TRAIN, SCORE)
    found = predict(
        columns(
            ("red fox", "red fox", 0),  # the same
            ("red fox", "red hen", 0),  # "red" in common
            ("red fox", "blue owl", 0),  # nothing in common
        )
    )
    shared = common**2 / (math.sqrt(2) * common * math.sqrt(common**2 + rare**2))
    np.testing.assert_allclose(found, [5, 1 + 4 * shared, 1])


def test_tfidf_does_not_mind_case_order_and_unknown_words():
    predict = tfidf_cosine(TRAIN, SCORE)
    found = predict(
        columns(("Red FOX", "fox, red!", 0), ("red cat", "red dog", 0), ("cat", "cat", 0), ("", "red", 0))
    )
    np.testing.assert_allclose(found, [5, 5, 1, 1])


def test_tfidf_stays_within_the_range_of_the_label():
    words = ["red", "fox", "hen", "blue", "owl"]
    rows = [(f"{a} {b}", f"{b} {c}", 0) for a in words for b in words for c in words]
    found = tfidf_cosine(TRAIN, BINARY)(columns(*rows))
    assert found.shape == (125,)
    assert found.min() >= 0
    assert found.max() <= 1


def test_texts_without_a_word_are_like_nothing():
    predict = tfidf_cosine(columns(("a", "!", 1.0), ("🎸", "1", 1.0)), SCORE)
    np.testing.assert_allclose(predict(columns(("a", "a", 0))), [1])


def test_the_average_label_is_given_to_all():
    predict = average_label(columns(("", "", 1.0), ("", "", 2.0), ("", "", 4.5)), SCORE)
    np.testing.assert_allclose(predict(columns(("x", "y", 0), ("z", "", 0))), [2.5, 2.5])


@pytest.mark.parametrize(("labels", "majority"), [([1, 1, 0], 1), ([1, 0, 0], 0), ([1, 0], 1)])
def test_of_binary_labels_the_majority_is_given(labels, majority):
    predict = average_label(columns(*(("", "", label) for label in labels)), BINARY)
    np.testing.assert_array_equal(predict(columns(("x", "y", 0))), [majority])


def test_of_classes_the_shares_are_given():
    predict = average_label(columns(("", "", 0), ("", "", 0), ("", "", 2), ("", "", 0)), CLASSES)
    np.testing.assert_allclose(predict(columns(("x", "y", 1), ("z", "", 0))), [[0.75, 0, 0.25]] * 2)


def test_averaged_embeddings_see_words_that_go_together(monkeypatch):
    # "fox" and "hen" stand beside the same words and never in one text: LSA puts them together, TF-IDF not.
    texts = [
        ("red fox", "old fox"),
        ("red hen", "old hen"),
        ("blue owl", "cold owl"),
        ("blue cow", "cold cow"),
    ]
    train = columns(*((a, b, 1.0) for a, b in texts * 3))
    asked = columns(("fox", "hen", 0), ("fox", "owl", 0), ("fox", "fox", 0))
    monkeypatch.setattr("trainer.pair.baselines._DIMENSIONS", 2)
    np.testing.assert_allclose(averaged_embeddings(train, BINARY)(asked), [1, 0, 1], atol=1e-6)
    np.testing.assert_allclose(tfidf_cosine(train, BINARY)(asked)[:2], [0, 0])


def test_logistic_regression_learns_the_classes_and_leaves_a_missing_one_out():
    rows = [
        ("red fox", "red fox", 0),
        ("old hen", "old hen", 0),
        ("red fox", "blue owl", 2),
        ("old hen", "owl", 2),
    ]
    found = tfidf_logistic(columns(*rows * 5), CLASSES)(columns(*rows))
    np.testing.assert_array_equal(found.argmax(axis=1), [0, 0, 2, 2])
    np.testing.assert_allclose(found.sum(axis=1), 1)
    np.testing.assert_array_equal(found[:, 1], 0)
    binary = [(a, b, float(label == 0)) for a, b, label in rows]
    np.testing.assert_array_equal(
        tfidf_logistic(columns(*binary * 5), BINARY)(columns(*binary)) > 0.5, [1, 1, 0, 0]
    )


@pytest.mark.parametrize("label", [SCORE, BINARY, CLASSES])
def test_every_method_bears_odd_data(label):
    few = columns(("", "", 1.0), ("!", "?", 1.0))
    one_kind = columns(("red fox", "hen", 1.0), ("owl", "", 1.0))
    for train in (few, one_kind, few | {k: v[:1] for k, v in one_kind.items()}):
        for method in METHODS[label.kind].values():
            found = method(train, label)(one_kind)
            assert len(found) == 2
            assert np.isfinite(found).all()
