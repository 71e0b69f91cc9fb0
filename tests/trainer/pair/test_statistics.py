"""What is measured of the training pairs before training."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from trainer.features import Label
from trainer.pair.statistics import measure_pairs

BINARY = Label(column="l", kind="binary")
A = [[1, 2, 2], [3], [4, 5], []]
B = [[2, 1], [4], [4, 6, 7], [1]]
SHARED = [1.0, 0.0, 0.25, 0.0]


def pools(labels, a=A, b=B, sparse=True):
    made = {name: tf.ragged.constant(rows, dtype=tf.int64) for name, rows in (("ids_a", a), ("ids_b", b))}
    ids = {name: rows.to_sparse() for name, rows in made.items()} if sparse else made
    return tf.data.Dataset.from_tensors({**ids, "label": np.array(labels, np.float32)[:, None]})


@pytest.mark.parametrize("sparse", [True, False])
def test_labels_are_held_against_the_ids_that_both_texts_have(sparse):
    labels = [1.0, 0.0, 1.0, 0.0]
    statistics = measure_pairs(pools(labels, sparse=sparse), 0, BINARY)
    assert statistics.overlap_correlation == pytest.approx(np.corrcoef(labels, SHARED)[0, 1])
    assert (statistics.lowest_label, statistics.highest_label) == (0.0, 1.0)
    assert statistics.class_counts.tolist() == [2, 2]


def test_an_id_counts_once_a_text():
    weights = measure_pairs(pools([1.0, 0.0, 1.0, 0.0]), 8, BINARY).token_weights
    # Of 8 texts id 1 is in three, id 2 in two, id 3 in one.
    assert weights[1] < weights[2] < weights[3] == weights[5]


@pytest.mark.parametrize(
    ("labels", "times", "unlike"),
    [
        ([0.0, 1.0, 0.0, 1.0], 20, True),
        ([0.0, 1.0, 0.0, 1.0], 2, False),  # eight pairs can look so by chance
        ([1.0, 0.0, 1.0, 0.0], 20, False),
        ([1.0, 1.0, 1.0, 1.0], 20, False),
    ],
)
def test_labels_that_clearly_fall_with_the_overlap_mean_unlike(labels, times, unlike):
    statistics = measure_pairs(pools(labels * times, A * times, B * times), 0, BINARY)
    assert statistics.unlike is unlike
