"""The vocabulary of a warm start: ids stay, new tokens follow, and what is exported stands alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils

from trainer.exporting.saved_model import hold_variables
from trainer.features import Label
from trainer.fitting import warm_start
from trainer.pair import family as pair
from trainer.pair.encoders import build_tower
from trainer.pair.heads import build_pair
from trainer.pair.pair_config import PairModel
from trainer.pair.signatures import PairServing
from trainer.pair.statistics import vocabulary_rows
from trainer.preprocessing import preprocessing_fn
from trainer.spec import Spec
from trainer.text.vocabulary import vocabulary

OOV = 3
FIRST = [("a cat sat", "a cat"), ("a dog", "a cat")]
SECOND = [("a bird sang sang", "sang a bird"), ("the dog", "the bird bird")]


def spec_of(**changes) -> Spec:
    model = PairModel(**{"ngrams": (), "embedding_dim": 4, "oov_buckets": OOV, **changes})
    return Spec(label=Label(column="y", kind="score", range=(0, 1)), model=model)


def analyze(rows, spec: Spec, folder: Path, base: Path | None = None) -> tft.TFTransformOutput:
    """The graph that Transform makes of pairs of texts."""
    config = {
        "spec": spec.narrowed((*pair.PREPROCESSING, *pair.SHAPE)),
        **({"base": str(base)} if base else {}),
    }
    examples = [{"text_a": [a.encode()], "text_b": [b.encode()], "label": [0.0]} for a, b in rows]
    features = {
        "text_a": tf.io.FixedLenFeature([1], tf.string),
        "text_b": tf.io.FixedLenFeature([1], tf.string),
        "label": tf.io.FixedLenFeature([1], tf.float32),
    }
    metadata = dataset_metadata.DatasetMetadata(schema_utils.schema_from_feature_spec(features))
    with tft_beam.Context(temp_dir=str(folder / "temporary")):
        graph = (examples, metadata) | tft_beam.AnalyzeDataset(
            lambda inputs: preprocessing_fn(inputs, config)
        )
        _ = graph | tft_beam.WriteTransformFn(str(folder))
    return tft.TFTransformOutput(str(folder))


def ids_of(graph: tft.TFTransformOutput, text: str) -> list[int]:
    return (
        graph.transform_features_layer()({"text_a": tf.constant([[text]])})["ids_a"].values.numpy().tolist()
    )


@pytest.fixture(scope="module")
def first(tmp_path_factory) -> tuple[tft.TFTransformOutput, Path]:
    """The transform of a first training, and what its model left."""
    folder, left = tmp_path_factory.mktemp("first"), tmp_path_factory.mktemp("left")
    graph = analyze(FIRST, spec_of(), folder)
    leave(graph, spec_of(), left)
    return graph, left


def leave(graph, spec, folder):
    tower = build_tower(spec.model, vocabulary_rows(graph, spec))
    warm_start.leave(str(folder), build_pair(spec.model, tower), spec, vocabulary(graph))


@pytest.fixture(scope="module")
def second(first, tmp_path_factory) -> tft.TFTransformOutput:
    """The transform of a second training, which starts from the first one's model."""
    return analyze(SECOND, spec_of(), tmp_path_factory.mktemp("second"), first[1])


def test_ids_stay_and_new_tokens_follow_by_frequency(first, second):
    assert vocabulary(first[0]) == [b"a", b"cat", b"sat", b"dog"]
    assert vocabulary(second) == [b"a", b"cat", b"sat", b"dog", b"bird", b"sang", b"the"]
    # Id 0 is padding.
    assert ids_of(first[0], "dog a cat") == ids_of(second, "dog a cat") == [4, 1, 2]
    assert ids_of(second, "the bird sat") == [7, 5, 3]


def test_the_buckets_of_unknown_words_move_behind_them(first, second):
    unknown = "zebra yak gnu emu"
    before, after = ids_of(first[0], unknown), ids_of(second, unknown)
    # The same word shares the same bucket as before.
    assert [number - 4 for number in before] == [number - 7 for number in after]
    assert all(1 <= number - 7 <= OOV for number in after)
    assert vocabulary_rows(second, spec_of()) == 1 + 7 + OOV


def test_what_is_exported_needs_neither_the_base_nor_the_transform(second, first, tmp_path):
    graph, left = tmp_path / "graph", tmp_path / "left"
    shutil.copytree(first[1], left)
    found = analyze(SECOND, spec_of(), graph, left)
    model = build_pair(spec_of().model, build_tower(spec_of().model, vocabulary_rows(found, spec_of())))
    module = PairServing(model, found, spec_of())
    signatures = module.served()
    texts = {"text_a": ["a bird", "cat gnu"], "text_b": ["the dog", "sat emu"]}
    expected = signatures["serving_default"](**{name: tf.constant(value) for name, value in texts.items()})
    hold_variables(module, model)
    tf.saved_model.save(module, str(tmp_path / "served"), signatures=signatures)
    shutil.rmtree(graph)
    shutil.rmtree(left)
    moved = (tmp_path / "served").rename(tmp_path / "moved")
    # As TF Serving loads it.
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        loaded = tf.compat.v1.saved_model.load(session, ["serve"], str(moved))
        signature = loaded.signature_def["serving_default"]
        feed = {signature.inputs[name].name: value for name, value in texts.items()}
        scores = session.run(signature.outputs["score"].name, feed)
    np.testing.assert_allclose(scores, expected["score"].numpy(), atol=1e-6)
    [tokens] = (moved / "assets").iterdir()
    assert tokens.read_bytes().splitlines() == vocabulary(second)


@pytest.mark.parametrize(("size", "tokens"), [(5, [b"bird"]), pytest.param(4, [], marks=pytest.mark.slow)])
def test_vocabulary_size_is_the_cap_of_the_whole(size, tokens, first, tmp_path):
    spec = spec_of(vocabulary_size=size)
    graph = analyze(SECOND, spec, tmp_path / "graph", first[1])
    assert vocabulary(graph) == [b"a", b"cat", b"sat", b"dog", *tokens]
    assert ids_of(graph, "dog cat") == [4, 2]
    known, rows = 4 + len(tokens), vocabulary_rows(graph, spec)
    assert all(rows - OOV <= number < rows for number in ids_of(graph, "sang the gnu"))
    leave(graph, spec, tmp_path / "left")
    assert len(warm_start.find(str(tmp_path / "left"), spec).tokens) == known
