"""What is said of labels that are all the same, and of a loss that is no number."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.diagnosis import advice, check_labels, extreme
from trainer.errors import DataRejected
from trainer.features import Label

CLASSES = Label(column="y", kind="classes", classes=("no", "yes"))
SCORE = Label(column="y", kind="score", range=(0, 5))


@pytest.mark.parametrize(("label", "value", "name"), [(CLASSES, 1, "yes"), (SCORE, 2.5, "2.5")])
def test_training_labels_that_are_all_the_same_are_refused(label, value, name):
    with pytest.raises(DataRejected, match=f"column 'y' is '{name}' in all 30 training rows"):
        check_labels(label, value, value, 30)


def test_two_different_training_labels_are_enough():
    check_labels(CLASSES, 0, 1, 2)


def test_the_farthest_value_is_named_as_the_data_has_it():
    scaled = np.zeros((40, 3), np.float32)
    scaled[7, 1] = -30
    found = extreme(scaled, lambda few: few * 2 + 5, "pqr".__getitem__)
    assert found == "column 'q' holds -55, 30 deviations from the mean of the training rows"
    assert extreme(np.clip(scaled, -10, 10), lambda few: few, str) == ""
    assert extreme(scaled[:0], lambda few: few, str) == ""


@pytest.mark.parametrize(
    ("rate", "mixed", "clip", "outlier", "expected"),
    [
        (1e-3, False, False, "", "lower [training] learning_rate"),
        (1e-3, False, True, "", "lower [training] learning_rate or set clip_norm"),
        (1e-3, False, False, "column 'p' holds 1e+37", "column 'p' holds 1e+37: remove or mend such rows; or "
         "lower [training] learning_rate"),
        (0.5, False, False, "column 'p' holds 1e+37", "lower [training] learning_rate; or column 'p' holds "
         "1e+37: remove or mend such rows"),
        (1e-3, True, False, "", "set [training] mixed_precision = false; or lower [training] learning_rate"),
    ],
)  # fmt: skip
def test_the_likeliest_cause_comes_first(rate, mixed, clip, outlier, expected):
    assert advice(rate, mixed, clip, outlier) == expected
