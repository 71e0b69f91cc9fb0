import numpy as np
import pytest
import tensorflow as tf

from trainer.pair.encoders import build_tower, inverse_document_frequency
from trainer.pair.pair_config import PairModel

ROWS = 7
ENCODERS = ("average", "lstm", "bilstm", "cnn", "attention")


def small(encoder: str, **sizes) -> PairModel:
    return PairModel(encoder=encoder, embedding_dim=4, units=3, **sizes)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_more_padding_changes_nothing(encoder: str) -> None:
    tower = build_tower(small(encoder), ROWS)
    ids = np.array([[3, 1, 2], [5, 0, 0], [0, 0, 0]])
    padded = np.pad(ids, ((0, 0), (0, 9)))
    np.testing.assert_allclose(tower(padded).numpy(), tower(ids).numpy(), atol=1e-6)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_text_does_not_depend_on_its_neighbours(encoder: str) -> None:
    tower = build_tower(small(encoder), ROWS)
    together = tower(np.array([[3, 1, 2], [5, 0, 0]])).numpy()
    np.testing.assert_allclose(together[1:], tower(np.array([[5]])).numpy(), atol=1e-6)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_text_without_tokens_is_the_zero_vector(encoder: str) -> None:
    tower = build_tower(small(encoder), ROWS)
    np.testing.assert_array_equal(
        tower(np.zeros((1, 4), np.int64)).numpy(), np.zeros((1, tower.output_shape[-1]))
    )


def test_no_columns_at_all_is_the_zero_vector_too() -> None:
    tower = build_tower(small("average"), ROWS)
    np.testing.assert_array_equal(tower(np.zeros((2, 0), np.int64)).numpy(), np.zeros((2, 4)))


def test_average_is_the_weighted_sum_of_token_vectors_each_token_once() -> None:
    weights = np.arange(ROWS, dtype=np.float32)
    tower = build_tower(small("average"), ROWS, weights)
    vectors = tower.get_layer("tokens").get_weights()[0]
    expected = 2 * vectors[2] + 5 * vectors[5]
    np.testing.assert_allclose(tower(np.array([[2, 5, 5, 5, 0]])).numpy()[0], expected, atol=1e-6)


def test_average_counts_a_token_in_each_text_for_itself() -> None:
    tower = build_tower(small("average"), ROWS)
    ids = np.random.default_rng(1).integers(0, ROWS, (20, 12))
    vectors = tower.get_layer("tokens").get_weights()[0]
    expected = [sum(vectors[token] for token in {*text} - {0}) for text in ids.tolist()]
    np.testing.assert_allclose(tower(ids).numpy(), expected, atol=1e-5)


def test_average_compares_no_token_with_each_other_one() -> None:
    tower = build_tower(small("average"), ROWS)
    graph = tf.function(tower).get_concrete_function(tf.TensorSpec((2, 1_000), tf.int64)).graph
    sizes = [out.shape.num_elements() or 0 for op in graph.get_operations() for out in op.outputs]
    # The largest has a vector of 4 for each token.
    assert max(sizes) == 2 * 1_000 * 4
    ids = np.array([[2, 5] * 500, [2, 5] + [0] * 998])
    np.testing.assert_allclose(*tower(ids).numpy(), rtol=1e-3)  # type: ignore[call-overload]


@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (0, 0)])
def test_average_bears_no_texts_and_no_tokens(shape: tuple[int, int]) -> None:
    tower = build_tower(small("average"), ROWS)
    np.testing.assert_array_equal(tower(np.zeros(shape, np.int64)), np.zeros((shape[0], 4)))


@pytest.mark.parametrize("encoder", ENCODERS)
def test_all_but_the_average_read_tokens_in_order(encoder: str) -> None:
    tower = build_tower(small(encoder), ROWS)
    one, other = (tower(np.array([ids])).numpy() for ids in ([1, 2, 3, 4], [4, 2, 1, 3]))
    assert (np.abs(one - other).max() > 1e-5) == (encoder != "average")


def test_bilstm_is_the_maximum_over_the_states_of_both_directions() -> None:
    tower = build_tower(small("bilstm"), ROWS)
    both, vectors = tower.get_layer("bilstm"), tower.get_layer("tokens").get_weights()[0]
    inputs = vectors[None, [3, 1, 2]]
    forward = both.forward_layer(inputs).numpy()  # type: ignore[attr-defined]
    backward = both.backward_layer(inputs).numpy()  # type: ignore[attr-defined]
    expected = np.concatenate([forward.max(axis=1), backward.max(axis=1)], axis=-1)
    np.testing.assert_allclose(tower(np.array([[3, 1, 2, 0, 0]])).numpy(), expected, atol=1e-6)


def test_cnn_is_the_maximum_of_each_filter_over_the_text() -> None:
    tower = build_tower(small("cnn"), ROWS)
    kernel, bias = tower.get_layer("filters_2").get_weights()
    vectors = tower.get_layer("tokens").get_weights()[0][[3, 1, 2]]
    ends = np.concatenate([vectors[1:], np.zeros((1, 4))])
    runs = np.stack([vectors, ends], axis=1)  # a token and the next; behind the last one nothing
    expected = np.maximum(np.einsum("twd,wdf->tf", runs, kernel) + bias, 0).max(axis=0)
    assert tower.output_shape == (None, 9)
    np.testing.assert_allclose(tower(np.array([[3, 1, 2, 0, 0]])).numpy()[0, :3], expected, atol=1e-6)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_long_text_has_a_finite_vector_and_gradient(encoder: str) -> None:
    import tensorflow as tf

    tower = build_tower(small(encoder), ROWS)
    ids = np.concatenate([np.arange(700) % (ROWS - 1) + 1, [0]]).reshape(1, -1)
    with tf.GradientTape() as tape:
        vector = tower(np.concatenate([ids, np.zeros_like(ids)]))
        loss = tf.reduce_sum(vector)
    assert np.isfinite(vector.numpy()).all()
    for gradient in tape.gradient(loss, tower.trainable_variables):
        assert np.isfinite(tf.convert_to_tensor(gradient).numpy()).all()


@pytest.mark.parametrize("encoder", ENCODERS)
def test_dropout_is_for_training_only(encoder: str) -> None:
    tower = build_tower(small(encoder, dropout=0.5), ROWS)
    ids = np.array([[1, 2, 3, 4, 5, 6]])
    np.testing.assert_array_equal(tower(ids, training=False).numpy(), tower(ids, training=False).numpy())
    assert np.abs(tower(ids, training=True).numpy() - tower(ids, training=False).numpy()).max() > 1e-4


def test_the_classic_lstm_has_the_classic_size() -> None:
    tower = build_tower(PairModel(encoder="lstm", embedding_dim=128, units=32), 10_000)
    assert tower.count_params() == 10_000 * 128 + 4 * 32 * (128 + 32 + 1)
    assert tower.output_shape == (None, 32)


def test_random_token_vectors_start_nearly_orthogonal_and_of_length_one() -> None:
    vectors = build_tower(PairModel(embedding_dim=256), 50).get_layer("tokens").get_weights()[0]
    products = vectors @ vectors.T
    np.testing.assert_allclose(np.diag(products), 1, atol=0.35)
    assert np.abs(products - np.diag(np.diag(products))).max() < 0.35


def test_inverse_document_frequency_against_scikit_learn() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(vocabulary=["a", "b", "c"], analyzer=str.split).fit(["a b", "a", "a a"])
    found = inverse_document_frequency(np.array([3, 1, 0]), 3)
    np.testing.assert_allclose(found, vectorizer.idf_, rtol=1e-6)
    assert found.dtype == np.float32
