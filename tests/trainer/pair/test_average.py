"""The served sum of token vectors against the one that is trained."""

import numpy as np
import pytest
import tensorflow as tf

from trainer.pair import average
from trainer.pair.average import SparseWeightedSum
from trainer.pair.encoders import build_tower
from trainer.pair.pair_config import PairModel

ROWS, DIM = 50, 16


@pytest.fixture
def tower():
    weights = np.random.default_rng(0).uniform(1, 5, ROWS).astype(np.float32)
    return build_tower(PairModel(encoder="average", embedding_dim=DIM), ROWS, weights)


def sparse(rows):
    return tf.RaggedTensor.from_row_lengths(
        np.concatenate([*rows, []]).astype(np.int64), [len(row) for row in rows]
    ).to_sparse()


@pytest.mark.parametrize("seed", range(5))
def test_it_is_what_the_trained_layer_gives(tower, seed):
    random = np.random.default_rng(seed)
    rows = [random.integers(1, ROWS, random.integers(0, 80)) for _ in range(40)]
    rows[0], rows[20], rows[-1] = [], [], []  # type: ignore[call-overload]
    ids = sparse(rows)
    expected = tower(tf.sparse.to_dense(ids)).numpy()
    np.testing.assert_allclose(SparseWeightedSum(tower)(ids).numpy(), expected, rtol=1e-5, atol=1e-5)
    assert np.abs(expected).max() > 1


def test_a_text_is_the_same_to_the_last_bit_in_any_company(tower):
    random = np.random.default_rng(1)
    rows = [random.integers(1, ROWS, length) for length in (3, 0, 70, 1, 300)]
    summed = SparseWeightedSum(tower)
    together = summed(sparse(rows)).numpy()
    np.testing.assert_array_equal(summed(sparse(rows[::-1])).numpy()[::-1], together)
    for row, expected in zip(rows, together, strict=True):
        np.testing.assert_array_equal(summed(sparse([row])).numpy()[0], expected)


@pytest.mark.parametrize("at_once", [1, 70, 75, 10_000])
def test_many_ids_are_taken_in_parts_and_give_the_same_to_the_last_bit(tower, monkeypatch, at_once):
    random = np.random.default_rng(2)
    lengths = [0, 0, 3, 70, 0, 1, 1, 300, 5, 0]
    ids = sparse([random.permutation(np.arange(1, ROWS))[:length] for length in lengths])
    expected = SparseWeightedSum(tower)(ids).numpy()
    monkeypatch.setattr(average, "AT_ONCE", at_once)
    in_graph = tf.function(
        SparseWeightedSum(tower), input_signature=[tf.SparseTensorSpec([None, None], tf.int64)]
    )
    np.testing.assert_array_equal(in_graph(ids).numpy(), expected)


def test_a_token_counts_once(tower):
    one, many = SparseWeightedSum(tower)(sparse([[7, 3], [7, 3, 7, 7]])).numpy()
    np.testing.assert_array_equal(many, one)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_texts_without_tokens_are_zero_vectors(tower, count):
    np.testing.assert_array_equal(
        SparseWeightedSum(tower)(sparse([[]] * count)).numpy(), np.zeros((count, DIM))
    )
