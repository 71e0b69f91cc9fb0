import numpy as np
import tensorflow as tf

from trainer.batching import make_dataset

SIZE = 8


def pools(rows: int, pool: int, sparse: bool = False) -> tf.data.Dataset:
    """Rows whose ids are the row's number, 1 + number % 5 times in a and 1 + number % 3 times in b."""
    features = {
        "ids_a": tf.ragged.constant([[n] * (1 + n % 5) for n in range(1, rows + 1)], dtype=tf.int64),
        "ids_b": tf.ragged.constant([[n] * (1 + n % 3) for n in range(1, rows + 1)], dtype=tf.int64),
        "label": np.arange(1, rows + 1, dtype=np.float32)[:, None],
    }
    parts = tf.data.Dataset.from_tensor_slices(features).batch(pool)
    if sparse:
        parts = parts.map(
            lambda p: {k: v.to_sparse() if isinstance(v, tf.RaggedTensor) else v for k, v in p.items()}
        )
    return parts


def order(batches: tf.data.Dataset) -> list[int]:
    return [int(label) for _, labels in batches for label in labels]


def test_each_row_comes_once_with_its_own_texts_and_padding_of_zeros() -> None:
    for training in (True, False):
        seen = []
        for texts, labels in make_dataset(pools(53, 20), SIZE, training=training):
            assert texts["ids_a"].dtype == tf.int64
            assert labels.dtype == tf.float32
            assert len(labels) <= SIZE
            for a, b, label in zip(
                texts["ids_a"].numpy(), texts["ids_b"].numpy(), labels.numpy(), strict=True
            ):
                n = int(label)
                assert a[a > 0].tolist() == [n] * (1 + n % 5) == a[: 1 + n % 5].tolist()
                assert b[b > 0].tolist() == [n] * (1 + n % 3) == b[: 1 + n % 3].tolist()
                seen.append(n)
        assert sorted(seen) == list(range(1, 54))


def test_evaluation_keeps_the_order() -> None:
    assert order(make_dataset(pools(53, 20), SIZE, training=False)) == list(range(1, 54))


def test_sparse_and_ragged_rows_give_the_same_batches() -> None:
    ragged, sparse = (make_dataset(pools(21, 10, kind), SIZE, training=False) for kind in (False, True))
    for (one, label), (other, other_label) in zip(ragged, sparse, strict=True):
        for name in ("ids_a", "ids_b"):
            np.testing.assert_array_equal(one[name], other[name])
        np.testing.assert_array_equal(label, other_label)


def test_the_seed_decides_the_order_of_every_epoch() -> None:
    def epochs(seed: int, cache: bool) -> list[list[int]]:
        batches = make_dataset(pools(60, 20), SIZE, training=True, seed=seed, cache=cache)
        return [order(batches) for _ in range(3)]

    first = epochs(1, cache=False)
    assert first == epochs(1, cache=False) == epochs(1, cache=True)
    assert first != epochs(2, cache=False)
    assert first[0] != first[1] != first[2] != first[0]


def test_training_batches_hold_texts_of_similar_length() -> None:
    def padding(training: bool) -> int:
        batches = make_dataset(pools(400, 400), SIZE, training=training)
        return sum(int(tf.reduce_sum(tf.cast(texts["ids_a"] == 0, tf.int32))) for texts, _ in batches)

    assert padding(training=True) < padding(training=False) / 4


def test_texts_without_tokens_stay_in_their_rows() -> None:
    empty = {
        "ids_a": tf.sparse.from_dense(np.array([[0, 0], [7, 8], [0, 0]], np.int64)),
        "ids_b": tf.sparse.from_dense(np.array([[5], [0], [0]], np.int64)),
        "label": np.array([0.0, 0.5, 1.0], np.float32),
    }
    ((texts, labels),) = list(make_dataset(tf.data.Dataset.from_tensors(empty), SIZE, training=False))
    assert texts["ids_a"].numpy().tolist() == [[0, 0], [7, 8], [0, 0]]
    assert texts["ids_b"].numpy().tolist() == [[5], [0], [0]]
    assert labels.numpy().tolist() == [0.0, 0.5, 1.0]


def test_no_rows_no_batches() -> None:
    assert list(make_dataset(pools(5, 5).take(0), SIZE, training=True)) == []
