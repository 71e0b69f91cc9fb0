import numpy as np
import pytest
import tensorflow as tf

from trainer.fitting.order import RowOrder, draws, in_passes
from trainer.pair.batching import lengths, make_dataset, rows_within, steps

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


def shuffled(seed: int = 0, epochs: int = 3) -> RowOrder:
    return RowOrder(draws(seed, epochs, 2))


def order(batches: tf.data.Dataset) -> list[int]:
    return [int(label) for _, labels in batches for label in labels]


def test_each_row_comes_once_with_its_own_texts_and_padding_of_zeros() -> None:
    for chosen in (shuffled(), None):
        seen = []
        for texts, labels in make_dataset(pools(53, 20), SIZE, order=chosen):
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
    assert order(make_dataset(pools(53, 20), SIZE)) == list(range(1, 54))


def test_sparse_and_ragged_rows_give_the_same_batches() -> None:
    ragged, sparse = (make_dataset(pools(21, 10, kind), SIZE) for kind in (False, True))
    for (one, label), (other, other_label) in zip(ragged, sparse, strict=True):
        for name in ("ids_a", "ids_b"):
            np.testing.assert_array_equal(one[name], other[name])
        np.testing.assert_array_equal(label, other_label)


def test_seed_and_epoch_decide_the_order() -> None:
    def epochs(seed: int, *wanted: int) -> list[list[int]]:
        chosen = shuffled(seed)
        batches = make_dataset(pools(60, 20), SIZE, order=chosen)
        found = []
        for epoch in wanted:
            chosen.on_epoch_begin(epoch)
            found.append(order(batches))
        return found

    first = epochs(1, 0, 1, 2)
    assert first == epochs(1, 0, 1, 2)
    assert first[::-1] == epochs(1, 2, 1, 0)
    assert first[2:] == epochs(1, 2)
    assert first != epochs(2, 0, 1, 2)
    assert first[0] != first[1] != first[2] != first[0]


@pytest.mark.parametrize("tokens", [None, 60])
def test_pools_batches_and_rows_of_a_batch_are_shuffled(tokens) -> None:
    """Three pools whose rows have the same lengths, so that an order that they share would show."""
    chosen = shuffled()
    batches = make_dataset(pools(135, 45), SIZE, order=chosen, tokens=tokens)
    pool_orders, together, rising = [], [], []
    for epoch in range(3):
        chosen.on_epoch_begin(epoch)
        found = [[int(label) - 1 for label in labels] for _, labels in batches]
        numbers = list(dict.fromkeys(rows[0] // 45 for rows in found))
        pool_orders.append(numbers)
        by_pool = [[[row % 45 for row in rows] for rows in found if rows[0] // 45 == n] for n in numbers]
        for of_one in by_pool:
            # The last one is what is left of the longest rows, and stays where it is.
            widths = [max(1 + max((row + 1) % 5, (row + 1) % 3) for row in rows) for rows in of_one[:-1]]
            rising.append(widths == sorted(widths))
        assert by_pool[0] != by_pool[1] != by_pool[2] != by_pool[0]
        together.append({frozenset(rows) for rows in found})
    # From short to long, as they were cut, by chance alone.
    assert sum(rising) < 3
    assert len({*map(tuple, pool_orders)}) > 1
    assert together[0] != together[1]


def test_rows_that_devices_cannot_share_are_left_out() -> None:
    for parts, left in ((1, 60), (4, 60), (3, 54)):
        batches = make_dataset(pools(60, 20), 12, order=shuffled(), parts=parts)
        sizes = [len(label) for _, label in batches]
        assert sum(sizes) == left
        assert len(sizes) == steps([np.ones(20)] * 3, 12, parts)
        assert {size % parts for size in sizes} == {0}


def test_training_batches_hold_texts_of_similar_length() -> None:
    def padding(chosen: RowOrder | None) -> int:
        batches = make_dataset(pools(400, 400), SIZE, order=chosen)
        return sum(int(tf.reduce_sum(tf.cast(texts["ids_a"] == 0, tf.int32))) for texts, _ in batches)

    assert padding(shuffled()) < padding(None) / 4


def test_texts_without_tokens_stay_in_their_rows() -> None:
    empty = {
        "ids_a": tf.sparse.from_dense(np.array([[0, 0], [7, 8], [0, 0]], np.int64)),
        "ids_b": tf.sparse.from_dense(np.array([[5], [0], [0]], np.int64)),
        "label": np.array([0.0, 0.5, 1.0], np.float32),
    }
    ((texts, labels),) = list(make_dataset(tf.data.Dataset.from_tensors(empty), SIZE))
    assert texts["ids_a"].numpy().tolist() == [[0, 0], [7, 8], [0, 0]]
    assert texts["ids_b"].numpy().tolist() == [[5], [0], [0]]
    assert labels.numpy().tolist() == [0.0, 0.5, 1.0]


def test_no_rows_no_batches() -> None:
    assert list(make_dataset(pools(5, 5).take(0), SIZE, order=shuffled())) == []


def test_a_batch_of_empty_texts_has_one_column_of_padding() -> None:
    empty = {name: tf.sparse.from_dense(np.zeros((2, 3), np.int64)) for name in ("ids_a", "ids_b")}
    batches = make_dataset(tf.data.Dataset.from_tensors({**empty, "label": np.zeros(2, np.float32)}), SIZE)
    ((texts, _),) = list(batches)
    assert texts["ids_a"].numpy().tolist() == [[0], [0]]


def test_lengths_can_be_multiples() -> None:
    plain, padded = (list(make_dataset(pools(10, 10), 4, multiple=multiple)) for multiple in (1, 4))
    for (texts, _), (longer, _) in zip(plain, padded, strict=True):
        for name, ids in texts.items():
            assert longer[name].shape[1] == -(-ids.shape[1] // 4) * 4
            np.testing.assert_array_equal(longer[name][:, : ids.shape[1]], ids)
            assert not longer[name][:, ids.shape[1] :].numpy().any()


@pytest.mark.parametrize(("parts", "multiple"), [(1, 1), (2, 1), (3, 4)])
def test_a_budget_of_tokens_holds_and_loses_no_row(parts, multiple) -> None:
    budget = 72
    chosen = shuffled()
    options = {"parts": parts, "multiple": multiple, "tokens": budget}
    batches = list(make_dataset(pools(60, 30), SIZE * parts, order=chosen, **options))
    sizes = [len(labels) for _, labels in batches]
    assert sum(sizes) == 60
    assert len({*sizes}) > 1
    assert {size % parts for size in sizes} == {0}
    for texts, labels in batches:
        padded = 2 * len(labels) * max(ids.shape[1] for ids in texts.values())
        assert padded <= budget or len(labels) == parts
        assert len(labels) <= SIZE * parts
    rows = [lengths(pool).numpy() for pool in pools(60, 30)]
    assert len(batches) == steps(rows, SIZE * parts, **options)
    assert sorted(order(batches)) == list(range(1, 61))


def test_a_budget_is_used_up() -> None:
    rows = {"ids_a": [1, 1, 1, 1, 1, 2, 4, 4], "ids_b": [1, 0, 1, 1, 1, 3, 1, 2]}
    pool: dict[str, object] = {
        name: tf.ragged.constant([[7] * length for length in found], dtype=tf.int64)
        for name, found in rows.items()
    }
    pool["label"] = np.zeros(8, np.float32)
    batches = make_dataset(tf.data.Dataset.from_tensors(pool), 4, order=shuffled(), tokens=16)
    # Longest texts 1 1 1 1 1 3 4 4: four pairs at most, then 2 * 2 * 3 tokens, then 2 * 2 * 4.
    shapes = sorted(tuple(texts["ids_a"].shape) for texts, _ in batches)
    assert shapes == [(2, 2), (2, 4), (4, 1)]


def test_passes_over_all_epochs_give_each_epoch_its_own_batches() -> None:
    chosen = shuffled(1, epochs=4)
    apart = make_dataset(pools(60, 20), SIZE, order=chosen)
    whole = make_dataset(pools(60, 20), SIZE, order=chosen, all_epochs=True)
    count = steps([np.ones(20)] * 3, SIZE)
    passes = in_passes(whole, count)
    assert len(passes) == count == 9
    for epoch in (1, 2, 3):  # resumed behind the first one
        chosen.on_epoch_begin(epoch)
        iter(passes)  # Keras makes one that it does not use
        assert order(passes) == order(apart)
    with pytest.raises(tf.errors.InvalidArgumentError, match="End of sequence"):
        order(passes)  # more steps than there are would be noticed


def test_seed_and_epoch_decide_the_order_under_a_budget() -> None:
    def epochs(seed: int, *wanted: int) -> list[list[int]]:
        chosen = shuffled(seed)
        batches = make_dataset(pools(60, 20), SIZE, order=chosen, tokens=40)
        found = []
        for epoch in wanted:
            chosen.on_epoch_begin(epoch)
            found.append(order(batches))
        return found

    first = epochs(1, 0, 1, 2)
    assert first == epochs(1, 2, 1, 0)[::-1]
    assert first[2:] == epochs(1, 2)
    assert first != epochs(2, 0, 1, 2)
    assert first[0] != first[1]


def test_a_pair_longer_than_the_budget_is_a_batch_of_its_own() -> None:
    sizes = [len(labels) for _, labels in make_dataset(pools(12, 12), SIZE, order=shuffled(), tokens=1)]
    assert sizes == [1] * 12


@pytest.mark.parametrize(("tokens", "rows"), [(10_000, 100), (50, 5), (10, 1), (3, 1)])
def test_one_long_text_makes_batches_of_fewer_rows(tokens: int, rows: int) -> None:
    long = tf.ragged.constant([[1], [1] * 10, []], dtype=tf.int64)
    pool = {"ids_a": long, "ids_b": long[::-1], "label": [0.0] * 3}
    found = rows_within([pool], 100, tokens)
    assert found == rows
    batches = [ids["ids_a"].shape for ids, _ in make_dataset(tf.data.Dataset.from_tensors(pool), found)]
    assert sum(height for height, _ in batches) == 3
    assert all(height == 1 or height * width <= tokens for height, width in batches)


def test_no_rows_or_no_tokens_are_no_reason_for_fewer_rows() -> None:
    empty = tf.ragged.constant([[]], dtype=tf.int64, ragged_rank=1)
    assert rows_within([], 100, 10) == 10
    assert rows_within([{"ids_a": empty, "ids_b": empty, "label": [0.0]}], 100, 1_000) == 100
