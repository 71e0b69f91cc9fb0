import keras
import numpy as np
import pytest

from trainer.pair.encoders import build_tower, inverse_document_frequency
from trainer.pair.heads import HEADS, Cosine, build_head, build_pair
from trainer.pair.pair_config import PairModel

ROWS = 9
A = np.array([[1, 2, 3], [4, 0, 0], [0, 0, 0], [5, 6, 0]])
B = np.array([[3, 2], [0, 0], [0, 0], [5, 6]])


def scores(pair, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return pair({"ids_a": a, "ids_b": b}).numpy()


def build(model: PairModel, rows: int = ROWS, weights=None, classes: int = 0):
    return build_pair(model, build_tower(model, rows, weights), classes)


def small(**choices) -> PairModel:
    return PairModel(embedding_dim=8, units=4, **choices)


def test_cosine_against_numpy() -> None:
    u, v = np.array([[1.0, 2.0, 2.0], [1.0, 0.0, 0.0]]), np.array([[2.0, 1.0, -2.0], [-3.0, 0.0, 0.0]])
    np.testing.assert_allclose(Cosine()(u, v).numpy(), [[0.0], [-1.0]], atol=1e-6)


def test_cosine_with_nothing_is_0_and_its_gradient_finite() -> None:
    import tensorflow as tf

    u, v = tf.zeros([1, 3]), tf.ones([1, 3])
    with tf.GradientTape() as tape:
        tape.watch(u)
        cosine = Cosine()(u, v)
    assert float(cosine[0, 0]) == 0
    assert np.isfinite(tape.gradient(cosine, u).numpy()).all()


@pytest.mark.parametrize("encoder", ["average", "lstm", "bilstm", "cnn", "attention"])
@pytest.mark.parametrize("head", sorted(HEADS))
def test_scores_are_probabilities_and_padding_changes_nothing(encoder: str, head: str) -> None:
    pair = build(small(encoder=encoder, head=head))
    found = scores(pair, A, B)
    assert found.shape == (4, 1)
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    assert (found <= 1).all()
    padded = scores(pair, np.pad(A, ((0, 0), (0, 5))), np.pad(B, ((0, 0), (0, 7))))
    np.testing.assert_allclose(padded, found, atol=1e-6)


@pytest.mark.parametrize("head", ["cosine", "interaction"])
def test_swapping_the_texts_gives_the_same_score(head: str) -> None:
    pair = build(small(head=head))
    np.testing.assert_allclose(scores(pair, A, B), scores(pair, B, A), atol=1e-6)


def test_the_score_of_classes_is_not_symmetric_and_its_rows_are_probabilities() -> None:
    pair = build(small(), classes=3)
    one, other = scores(pair, A, B), scores(pair, B, A)
    assert one.shape == (4, 3)
    np.testing.assert_allclose(one.sum(axis=1), 1, atol=1e-6)
    assert np.abs(one - other)[0].max() > 1e-4
    np.testing.assert_allclose(one[2:], other[2:], atol=1e-6)  # the same text twice


def compared(pair, a: list[int], b: list[int]) -> np.ndarray:
    """What the head's network sees of two embeddings."""
    tower, head = pair.get_layer("tower"), pair.get_layer("head")
    return keras.Model(head.inputs, head.get_layer("pair").output)(
        [tower(np.array([a])), tower(np.array([b]))]
    ).numpy()[0]


def test_what_both_texts_share_cancels_out_in_the_difference() -> None:
    pair = build(small(), classes=3)
    # [u - v; |u - v|; u * v; cos]
    alone, beside = compared(pair, [3], [4, 5]), compared(pair, [1, 2, 3], [4, 2, 5, 1])
    assert len(alone) == 3 * 8 + 1
    one, other = alone[:8] / np.linalg.norm(alone[:8]), beside[:8] / np.linalg.norm(beside[:8])
    np.testing.assert_allclose(one, other, atol=1e-5)
    np.testing.assert_allclose(np.abs(beside[:8]), beside[8:16], atol=1e-6)
    assert np.abs(compared(pair, [1, 2], [2, 1])[:16]).max() < 1e-6
    # A text without tokens is no larger than others.
    assert np.abs(compared(pair, [0], [1, 2])).max() <= 2**0.5


def test_the_head_of_a_pretrained_tower_that_is_trained_sees_numbers_of_about_one() -> None:
    for frozen, length in ((True, 1.0), (False, 8.0**0.5)):
        model = PairModel(encoder="pretrained", weights="unused", frozen=frozen, head="interaction")
        head = build_head(model, 8, 3)
        features = keras.Model(head.inputs, head.get_layer("pair").output)
        u = np.random.default_rng(0).normal(size=(1, 8)).astype(np.float32)
        found = features([u, -u]).numpy()[0]
        np.testing.assert_allclose(np.linalg.norm(found[:8]), 2 * length, rtol=1e-5)


@pytest.mark.parametrize(("encoder", "head"), [("lstm", "concatenation"), ("cnn", "cosine")])
def test_one_pass_for_both_texts_is_the_same_as_two(encoder: str, head: str) -> None:
    pair = build(small(encoder=encoder, head=head))
    # Whose halves are exchanged shows under a head that is not symmetric.
    assert np.allclose(scores(pair, A, B), scores(pair, B, A), atol=1e-4) is (head == "cosine")
    tower, head = pair.get_layer("tower"), pair.get_layer("head")
    np.testing.assert_allclose(scores(pair, A, B), head([tower(A), tower(B)]).numpy(), atol=1e-6)  # type: ignore[operator]
    again = keras.Model.from_config(pair.get_config())
    again.set_weights(pair.get_weights())
    np.testing.assert_allclose(scores(again, A, B), scores(pair, A, B), atol=1e-6)


def test_one_cosine_tells_no_classes_apart() -> None:
    with pytest.raises(ValueError, match="cosine"):
        build(small(head="cosine"), classes=3)


def test_the_same_text_scores_highest_under_the_cosine_head() -> None:
    pair = build(small())
    same, other = scores(pair, A[:1], A[:1])[0, 0], scores(pair, A[:1], B[3:])[0, 0]
    assert same == pytest.approx(1 / (1 + np.exp(-2.0)), abs=1e-5)  # sigmoid(4 cos - 2) before training
    assert other < same


def test_the_tower_shares_the_weights_of_the_pair() -> None:
    pair = build(small())
    tower = pair.get_layer("tower")
    tower.get_layer("token_weights").set_weights([np.zeros((ROWS, 1), np.float32)])
    np.testing.assert_allclose(scores(pair, A, B), 1 / (1 + np.exp(2.0)), atol=1e-6)


def test_the_untrained_score_ranks_like_tfidf() -> None:
    """With random token vectors of many dimensions and idf weights the start is TF-IDF's cosine."""
    generator = np.random.default_rng(0)
    rows, pairs, length = 200, 300, 8
    ids = np.array([generator.choice(rows - 1, length, replace=False) + 1 for _ in range(pairs)])
    shared = generator.integers(0, length + 1, pairs)
    others = np.array([generator.choice(rows - 1, length, replace=False) + 1 for _ in range(pairs)])
    others = np.where(np.arange(length)[None, :] < shared[:, None], ids, others)
    weights = inverse_document_frequency(generator.integers(1, 600, rows), 600)
    pair = build(PairModel(embedding_dim=256), rows, weights)
    bags = [np.zeros((pairs, rows)) for _ in range(2)]
    for bag, texts in zip(bags, (ids, others), strict=True):
        np.put_along_axis(bag, texts, weights[texts], axis=1)
    u, v = (bag / np.linalg.norm(bag, axis=1, keepdims=True) for bag in bags)
    assert np.corrcoef(scores(pair, ids, others).ravel(), (u * v).sum(1))[0, 1] > 0.95


def test_training_learns_the_scores() -> None:
    pair = build(small())
    pair.compile("adam", "mse")
    labels = np.array([1.0, 0.0, 0.0, 1.0], np.float32)
    before = pair.evaluate({"ids_a": A, "ids_b": B}, labels, verbose=0)
    pair.fit({"ids_a": A, "ids_b": B}, labels, epochs=20, verbose=0)
    assert pair.evaluate({"ids_a": A, "ids_b": B}, labels, verbose=0) < before


def test_the_model_is_rebuilt_from_its_configuration() -> None:
    pair = build(small(), ROWS, np.linspace(1, 2, ROWS))
    again = keras.Model.from_config(pair.get_config())
    again.set_weights(pair.get_weights())
    np.testing.assert_allclose(scores(again, A, B), scores(pair, A, B), atol=1e-6)
