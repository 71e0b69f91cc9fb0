"""The exported pair model around a transform of ours: what it takes and gives, and that all doors agree."""

from __future__ import annotations

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer.features import Label
from trainer.pair.encoders import build_tower
from trainer.pair.heads import build_pair
from trainer.pair.pair_config import PairModel, PairTraining
from trainer.pair.signatures import PairServing
from trainer.spec import Spec
from trainer.text.tokens import text_features

ROWS = 50
TEXTS_A = ["a man plays", "the stock fell", "", "a man plays", "ひとり 🎸"]
TEXTS_B = ["someone plays a guitar", "a man", "", "a man plays", ""]


class Hashing(tf.Module):
    """Words to ids from 1, as TFT's layer gives them: sparse [batch, (words)]."""

    def __call__(self, texts):
        outputs = {}
        for text, ids in (("text_a", "ids_a"), ("text_b", "ids_b")):
            if text in texts:
                words = text_features(tf.reshape(texts[text], [-1]), 100).to_sparse()
                hashed = tf.strings.to_hash_bucket_fast(words.values, ROWS - 1) + 1
                outputs[ids] = tf.SparseTensor(words.indices, hashed, words.dense_shape)
        return outputs


class Transform:
    """Stands for TFTransformOutput."""

    def transform_features_layer(self):
        return Hashing()


EDGES = [
    "",
    "one",
    "word " * 20_000,  # 100,000 characters
    "x" * 100_000,
    "zzzqx qqxz",
    "🎸🎸 👩‍👩‍👧 ",
    "رجل يعزف على الغيتار",
    "一个男人在弹吉他",
    b"broken \xff\xfe bytes",
    "\x00\n\t ",
]


def serving(label: Label, threshold: float | None = 0.5, encoder: str = "average") -> PairServing:
    keras.utils.set_random_seed(1)
    model = PairModel(encoder=encoder, embedding_dim=8, units=4, dropout=0.5, ngrams=())
    pair = build_pair(model, build_tower(model, ROWS), label.count)
    spec = Spec(label=label, model=model, training=PairTraining())
    return PairServing(pair, Transform(), spec, threshold)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """A model of scores from 1 to 5, saved and loaded again."""
    path = tmp_path_factory.mktemp("pair") / "model"
    module = serving(Label(column="y", kind="score", range=(1, 5)))
    tf.saved_model.save(module, str(path), signatures=module.served())
    return tf.saved_model.load(str(path)).signatures


def score(loaded, a=TEXTS_A, b=TEXTS_B):
    return loaded["serving_default"](text_a=tf.constant(a), text_b=tf.constant(b))["score"].numpy()


def embed(loaded, texts):
    return loaded["embed"](text=tf.constant(texts))["embedding"].numpy()


def example(a: str, b: str, **more: float) -> bytes:
    features = {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[text.encode()]))
        for name, text in (("text_a", a), ("text_b", b))
    }
    features |= {name: tf.train.Feature(float_list=tf.train.FloatList(value=[v])) for name, v in more.items()}
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def test_the_signatures_take_and_give_what_the_contract_says(loaded):
    assert set(loaded) == {"serving_default", "embed", "serve_examples", "evaluate"}
    taken = {name: set(signature.structured_input_signature[1]) for name, signature in loaded.items()}
    assert taken == {
        "serving_default": {"text_a", "text_b"},
        "embed": {"text"},
        "serve_examples": {"examples"},
        "evaluate": {"examples"},
    }
    given = {name: set(signature.structured_outputs) for name, signature in loaded.items()}
    assert given == {
        "serving_default": {"score"},
        "embed": {"embedding"},
        "serve_examples": {"score"},
        "evaluate": {"evaluation"},
    }
    assert loaded["embed"].structured_outputs["embedding"].shape.as_list() == [None, 8]
    for signature in loaded.values():
        for spec in signature.structured_input_signature[1].values():
            assert (spec.dtype, spec.shape.as_list()) == (tf.string, [None])


def test_scores_are_in_the_range_of_the_label(loaded):
    found = score(loaded)
    assert found.shape == (5,)
    assert found.dtype == np.float32
    assert np.all((found >= 1) & (found <= 5))
    assert found[3] > found[0] > found[1]  # the same text, words in common, next to none


def test_a_score_is_what_the_cosine_of_the_embeddings_says(loaded):
    a, b = embed(loaded, TEXTS_A), embed(loaded, TEXTS_B)
    assert a.shape == (5, 8)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosine = np.sum(a * b, axis=1) / np.maximum(norms, 1e-9)
    # The untrained head: sigmoid(4 cos - 2), stretched over 1..5.
    np.testing.assert_allclose(score(loaded), 1 + 4 / (1 + np.exp(2 - 4 * cosine)), atol=1e-5)


def test_serialized_examples_score_as_their_texts_do(loaded):
    rows = [example(a, b, label=3.0, other=1.0) for a, b in zip(TEXTS_A, TEXTS_B, strict=True)]
    found = loaded["serve_examples"](examples=tf.constant(rows))["score"].numpy()
    np.testing.assert_array_equal(found, score(loaded))
    without = [example(a, b) for a, b in zip(TEXTS_A, TEXTS_B, strict=True)]
    np.testing.assert_array_equal(
        loaded["serve_examples"](examples=tf.constant(without))["score"].numpy(), found
    )
    evaluated = loaded["evaluate"](examples=tf.constant(rows))["evaluation"].numpy()
    np.testing.assert_array_equal(evaluated, found[:, None])


def test_a_row_alone_scores_as_in_a_batch(loaded):
    alone = [score(loaded, [a], [b])[0] for a, b in zip(TEXTS_A, TEXTS_B, strict=True)]
    np.testing.assert_allclose(alone, score(loaded), atol=1e-6)


@pytest.mark.parametrize("encoder", ["average", "lstm", "cnn", "attention"])
@pytest.mark.parametrize(("rows_a", "rows_b"), [(5, 3), (3, 1), (1, 3), (0, 2), (1, 0)])
def test_texts_of_unequal_number_are_refused(encoder, rows_a, rows_b):
    served = unequal(encoder)
    with pytest.raises(tf.errors.InvalidArgumentError, match="text_a and text_b: as many rows in both"):
        served["serving_default"](
            text_a=tf.constant(TEXTS_A[:rows_a], tf.string), text_b=tf.constant(TEXTS_B[:rows_b], tf.string)
        )


@functools.cache
def unequal(encoder):
    return serving(Label(column="y", kind="score", range=(1, 5)), encoder=encoder).served()


def test_swapping_the_texts_changes_nothing(loaded):
    np.testing.assert_allclose(score(loaded, TEXTS_B, TEXTS_A), score(loaded), atol=1e-6)


def test_an_empty_text_is_like_nothing_and_never_nan(loaded):
    # cosine 0: sigmoid(-2), stretched over 1..5.
    np.testing.assert_allclose(score(loaded, ["", "a man"], ["", ""]), 1 + 4 / (1 + np.exp(2)), atol=1e-5)
    np.testing.assert_array_equal(embed(loaded, [""]), np.zeros((1, 8)))


def test_a_batch_of_no_rows_has_no_scores(loaded):
    none = tf.constant([], tf.string)
    assert loaded["serving_default"](text_a=none, text_b=none)["score"].shape == (0,)
    assert loaded["embed"](text=none)["embedding"].shape == (0, 8)


def test_serving_does_not_drop_tokens_at_random(loaded):
    np.testing.assert_array_equal(score(loaded), score(loaded))


def test_a_binary_label_is_decided_at_a_half():
    module = serving(Label(column="y", kind="binary"))
    served = module.served()
    texts = {"text_a": tf.constant(TEXTS_A), "text_b": tf.constant(TEXTS_B)}
    answer = served["serving_default"](**texts)
    assert set(answer) == {"score", "label"}
    assert answer["label"].dtype == tf.int64
    np.testing.assert_array_equal(answer["label"].numpy(), answer["score"].numpy() >= 0.5)
    assert set(answer["label"].numpy()) == {0, 1}
    rows = [example(a, b) for a, b in zip(TEXTS_A, TEXTS_B, strict=True)]
    again = served["serve_examples"](examples=tf.constant(rows))
    np.testing.assert_array_equal(again["label"].numpy(), answer["label"].numpy())
    evaluated = served["evaluate"](examples=tf.constant(rows))["evaluation"].numpy()
    np.testing.assert_array_equal(evaluated, np.stack([answer["score"], answer["label"]], axis=1))


@pytest.mark.parametrize("encoder", ["average", "lstm", "bilstm", "cnn", "attention"])
def test_odd_texts_have_sane_scores_alone_and_together(encoder):
    module = serving(Label(column="y", kind="score", range=(1, 5)), encoder=encoder)
    a, b = EDGES, [EDGES[0], *EDGES[:0:-1]]

    def ask(a, b):
        return module.score_texts(tf.constant(a), tf.constant(b))["score"].numpy()

    together = ask(a, b)
    assert np.all((together >= 1) & (together <= 5))
    np.testing.assert_allclose(ask(a[::-1], b[::-1])[::-1], together, atol=1e-6)
    # A row alone is padded to its own length, in a batch to the longest.
    alone = [ask([x], [y])[0] for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(alone, together, atol=1e-6)


def test_a_score_that_is_the_threshold_is_a_match():
    texts = tf.constant(TEXTS_A), tf.constant(TEXTS_B)
    usual = serving(Label(column="y", kind="binary"))
    scores = usual.score_texts(*texts)["score"].numpy()
    middle = float(np.sort(scores)[len(scores) // 2])
    module = serving(Label(column="y", kind="binary"), threshold=middle)
    found = module.score_texts(*texts)
    np.testing.assert_array_equal(found["score"], scores)
    assert found["label"].numpy().tolist() == (scores >= middle).astype(int).tolist()
    assert (scores == middle).any()


def test_binary_labels_are_not_exported_without_a_threshold():
    with pytest.raises(TypeError, match="expected float"):
        serving(Label(column="y", kind="binary"), threshold=None).served()


def test_the_stored_threshold_decides():
    module = serving(Label(column="y", kind="binary"), threshold=0.9)
    texts = {"text_a": tf.constant(["a man", "a man"]), "text_b": tf.constant(["a man", "guitar"])}
    answer = module.served()["serving_default"](**texts)
    assert answer["score"].numpy().max() > 0.5
    np.testing.assert_array_equal(answer["label"].numpy(), [0, 0])


def test_classes_have_probabilities_and_a_name():
    names = ("entails", "neither", "contradicts")
    served = serving(Label(column="y", kind="classes", classes=names)).served()
    answer = served["serving_default"](text_a=tf.constant(TEXTS_A), text_b=tf.constant(TEXTS_B))
    assert set(answer) == {"probabilities", "label"}
    probabilities = answer["probabilities"].numpy()
    assert probabilities.shape == (5, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert [names[at] for at in probabilities.argmax(axis=1)] == [n.decode() for n in answer["label"].numpy()]
    rows = tf.constant([example(a, b) for a, b in zip(TEXTS_A, TEXTS_B, strict=True)])
    evaluated = served["evaluate"](examples=rows)["evaluation"].numpy()
    np.testing.assert_array_equal(evaluated, probabilities)
