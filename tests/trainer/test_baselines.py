from __future__ import annotations

import math

import numpy as np
import pytest

from trainer.baselines import average_label, tfidf_cosine
from trainer.features import Label

SCORE = Label(column="y", kind="score", range=(1, 5))
BINARY = Label(column="y", kind="binary")


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
