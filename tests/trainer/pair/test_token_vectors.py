"""Token vectors from elsewhere: what is taken, what is refused, and that training starts from them."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tests.trainer.small_trainings import OOV, WORDS, Transform, data_of, spec_of
from trainer.errors import ConfigError
from trainer.pair import pretrained, vectors
from trainer.pair.encoders import TOKEN_TABLE
from trainer.pair.fit import fit
from trainer.pair.pair_config import PairModel
from trainer.pair.vectors import check_vectors, start_vectors
from trainer.text.vocabulary import FIRST_ID

VOCABULARY = [b"man", b"guitar", b"<ma", "ひと".encode()]
TABLE = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
GLOVE = "man 1 2 3\nunseen 9 9 9\nguitar 3 2 -1.5e0\n"


def start(tmp_path, text: str) -> np.ndarray:
    path = tmp_path / "vectors.txt"
    path.write_bytes(text.encode())
    return start_vectors(PairModel(embedding_dim=3, token_vectors=path), VOCABULARY, TABLE, 1)


@pytest.mark.parametrize("text", [GLOVE, "3 3\n" + GLOVE, GLOVE.replace("\n", " \r\n"), GLOVE[:-1]])
def test_known_tokens_get_their_vectors_and_all_others_keep_what_they_have(text, tmp_path):
    found = start(tmp_path, text)
    np.testing.assert_array_equal(found[[0, 3, 4, 5, 6]], TABLE[[0, 3, 4, 5, 6]])
    # Two vectors less their mean are each other's opposite, as long as the rows before on the whole.
    half = np.array([-1, 0, 2.25]) / np.linalg.norm([1, 0, 2.25])
    length = np.linalg.norm(TABLE[1:3], axis=1).mean()
    np.testing.assert_allclose(found[1:3], [half * length, -half * length], rtol=1e-5)


def test_coverage_is_logged(tmp_path, caplog):
    caplog.set_level("INFO", "kembar.progress")
    start(tmp_path, GLOVE)
    start(tmp_path, "other 1 2 3\n")
    path = tmp_path / "vectors.txt"
    assert caplog.messages == [
        f"token vectors {path}: 2 of 4 tokens (50 %)",
        f"token vectors {path}: none of 4 tokens is among them",
    ]


def test_of_a_token_that_comes_twice_the_first_counts(tmp_path):
    np.testing.assert_array_equal(start(tmp_path, GLOVE + "man 7 7 7\n"), start(tmp_path, GLOVE))


def test_tokens_may_hold_spaces(tmp_path):
    np.testing.assert_array_equal(start(tmp_path, GLOVE + "man at man 7 7 7\n"), start(tmp_path, GLOVE))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GLOVE + "ひと 1 2\n", "line 4: a token and 3 numbers expected, found 3 fields: mend or remove"),
        (GLOVE + "\n", "line 4: a token and 3 numbers expected, found 1 fields"),
        (GLOVE + "ひと 1 x 2\n", "line 4: what follows 'ひと' is no numbers"),
        (GLOVE + "ひと 1 nan 2\n", "line 4: a number of 'ひと' is not finite"),
        ("9 3\n" + GLOVE, "ends after 3 vectors, its first line promises 9: it was cut off"),
        ("", "ends after 0 vectors: it is empty"),
        ("man 1 2\nguitar 2 1\n", r"its vectors have 2 numbers, \[model\] embedding_dim is 3: set it to 2"),
    ],
)
def test_a_bad_file_is_one_line_with_file_and_place(text, words, tmp_path):
    with pytest.raises(ConfigError, match=words) as caught:
        start(tmp_path, text)
    assert str(tmp_path / "vectors.txt") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_can_be_seen_at_once_is_refused_before_anything_starts(tmp_path):
    path = tmp_path / "vectors.txt"
    with pytest.raises(ConfigError, match="no such file or folder"):
        check_vectors(PairModel(token_vectors=path))
    path.write_text(GLOVE)
    with pytest.raises(ConfigError, match=re.escape("[model] embedding_dim is 256: set it to 3")):
        check_vectors(PairModel(token_vectors=path))
    check_vectors(PairModel(token_vectors=path, embedding_dim=3))
    check_vectors(PairModel())
    with pytest.raises(ConfigError, match=r"no config\.json"):
        check_vectors(PairModel(token_vectors=tmp_path))
    with pytest.raises(ValueError, match="remove token_vectors"):
        PairModel(encoder="pretrained", weights=path, token_vectors=path)


def test_a_pretrained_folder_gives_the_vectors_of_whole_words(tmp_path):
    keras_hub = pytest.importorskip("keras_hub", reason="the extra `pretrained` is not installed")
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "man", "##guitar", "guitar"]
    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=len(pieces), num_layers=1, num_heads=1, hidden_dim=3, intermediate_dim=4
    )
    backbone.save_to_preset(str(tmp_path))
    keras_hub.models.BertTokenizer(vocabulary=pieces).save_to_preset(str(tmp_path))
    (tmp_path / "model.safetensors").touch()  # not read: KerasHub's own file is
    found_pieces, table = pretrained.load_table(tmp_path)
    assert found_pieces == pieces
    np.testing.assert_array_equal(table, backbone.token_embedding.get_weights()[0])
    found = start_vectors(PairModel(embedding_dim=3, token_vectors=tmp_path), VOCABULARY, TABLE, 1)
    np.testing.assert_array_equal(found[3:], TABLE[3:])
    half = table[5] - table[7]
    length = np.linalg.norm(TABLE[1:3], axis=1).mean()
    np.testing.assert_allclose(found[1], half / np.linalg.norm(half) * length, rtol=1e-4)


@pytest.mark.parametrize("encoder", ["average", pytest.param("cnn", marks=pytest.mark.slow)])
def test_training_starts_from_them(encoder, tmp_path, monkeypatch):
    path = tmp_path / "vectors.txt"
    path.write_text("w0 1 2 3 4\nw3 4 3 2 1\n")
    monkeypatch.setattr(
        Transform, "vocabulary_by_name", lambda *_: [f"w{at}".encode() for at in range(WORDS)], raising=False
    )
    spec = spec_of("pair", encoder=encoder, epochs=1, learning_rate=1e-12)
    spec = spec.model_copy(update={"model": spec.model.model_copy(update={"token_vectors": path})})
    model = fit(data_of("pair", tmp_path), spec).model
    [table] = model.get_layer("tower").get_layer(TOKEN_TABLE).get_weights()  # type: ignore[attr-defined]
    assert table.shape == (FIRST_ID + WORDS + OOV, 4)
    one, other = table[FIRST_ID], table[FIRST_ID + 3]
    np.testing.assert_allclose(one, -other, atol=1e-5)
    np.testing.assert_allclose(one / np.linalg.norm(one), np.array([-3, -1, 1, 3]) / 20**0.5, atol=1e-4)
    assert vectors.start_vectors(PairModel(), [], table, 1) is table
