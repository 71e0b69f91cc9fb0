"""What TFMA hands over as a word is a number or undefined with a reason behind `load_metrics`."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from components.evaluator import component, results
from components.evaluator.predictions import labels_and_scores
from components.nodes import CONFUSION_FILE, REASONS_FILE
from components.serving_gate.component import with_real_vectors
from trainer.features import Label
from trainer.spec import Spec, VectorSpec
from trainer.undefined import UNKNOWN
from trainer.vae.vae_config import Vae, VaeTraining

BINARY = Spec(label=Label(column="y", kind="binary"))
GAUSSIAN = Spec(
    vector=VectorSpec(dimension=2, names=("p0", "p1")),
    model=Vae(likelihood="gaussian", encoder=(4,), latent=1),
    training=VaeTraining(),
)


def example(**features: list[float]) -> bytes:
    lists = {
        name: tf.train.Feature(float_list=tf.train.FloatList(value=values))
        for name, values in features.items()
    }
    return tf.train.Example(features=tf.train.Features(feature=lists)).SerializeToString()


@pytest.fixture
def evaluation(tmp_path):
    """Writes the predictions of both splits and returns the evaluation's folder."""

    def write(examples: list[bytes], scores: list[list[float]]) -> str:
        (tmp_path / "predictions").mkdir()
        table = pa.table({"serialized": examples, "score": scores, "champion": [[]] * len(scores)})
        for split in ("eval", "test"):
            pq.write_table(table, tmp_path / "predictions" / f"{split}-00000-of-00001.parquet")
        return str(tmp_path)

    return write


@pytest.fixture
def tfma_says(monkeypatch):
    """Lets TFMA's reader give these values for every split of a model that is alone."""

    def say(found: dict[str, object]) -> None:
        measured = {name: {"doubleValue": value} for name, value in found.items()}

        def load(path: str, model_name: str):
            if model_name:
                raise ValueError("no such model")
            return SimpleNamespace(get_metrics_for_slice=lambda: measured)

        monkeypatch.setattr(results.tfma, "load_eval_result", load)

    return say


def test_words_become_undefined_with_the_reason_that_the_predictions_give(evaluation, tfma_says):
    uri = evaluation([example(label=[0.0])] * 3, [[0.1, 0.0], [0.2, 0.0], [0.9, 1.0]])
    component.write_reasons(uri, ["candidate"], BINARY)
    tfma_says({"auc": "NaN", "accuracy": 0.5, "example_count": 3.0, "auc_diff": "NaN"})
    found = results.load_metrics(uri, "candidate")
    assert found["test"]["auc"].reason == "all 3 labels are 0, none is 1"  # type: ignore[attr-defined]
    assert {name: value for name, value in found["test"].items() if name != "auc"} == {"accuracy": 0.5}


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_a_word_that_no_reason_was_left_for_is_undefined_all_the_same(evaluation, tfma_says, word):
    uri = evaluation([example(label=[0.0])], [[0.1, 0.0]])
    Path(uri, REASONS_FILE).write_text("{}")
    tfma_says({"nll": word})
    found = results.load_metrics(uri, "candidate")["test"]["nll"]
    assert math.isnan(found)
    assert found.reason == UNKNOWN  # type: ignore[attr-defined]


def test_the_value_that_a_vector_fails_by_is_named(evaluation):
    rows = [example(vector=[0.5, 1.0]), example(vector=[2.0, 9.96921e36])]
    uri = evaluation(rows, [[1.0] * 5, [math.nan, math.inf, 1.0, 1.0, 1.0]])
    component.write_reasons(uri, ["candidate"], GAUSSIAN)
    with open(f"{uri}/undefined.json") as file:
        stored = json.load(file)["candidate"]["test"]
    assert set(stored) == {"elbo", "negative_elbo"}
    [reason] = set(stored.values())
    assert reason.startswith(
        "the model gives no finite number for 1 of 2 rows, such as the one whose column 'p1'"
    )
    assert reason.endswith(" holds 9.96921e+36")


def test_the_serving_gate_asks_about_vectors_that_there_are():
    asked = {"score": {"vector": [[0.0, 0.0]]}, "sample": {"seed": [7]}}
    rows = [example(vector=[1.0, 2.0]), example(vector=[3.0, 4.0]), example(vector=[5.0, 6.0])]
    assert with_real_vectors(asked, rows, GAUSSIAN) == {
        "score": {"vector": [[1.0, 2.0], [3.0, 4.0]]},
        "sample": {"seed": [7]},
    }
    bounded = GAUSSIAN.model_copy(update={"vector": VectorSpec(dimension=2, range=(0, 1))})
    for spec, examples in ((BINARY, rows), (bounded, rows), (GAUSSIAN, [])):
        assert with_real_vectors(asked, examples, spec) == asked


def test_labels_and_scores_are_those_of_a_model(evaluation):
    uri = evaluation([example(label=[0.0]), example(label=[1.0])], [[0.1, 0.0], [0.2, 1.0]])
    label, score = labels_and_scores(uri, "test", "candidate")
    np.testing.assert_array_equal(label, [[0], [1]])
    np.testing.assert_array_equal(score, [[0.1, 0], [0.2, 1]])
    assert labels_and_scores(uri, "test", "champion")[1].shape == (2, 0)


def test_the_confusion_matrix_is_of_the_rows_with_a_finite_score(evaluation, monkeypatch):
    uri = evaluation(
        [example(label=[1.0]), example(label=[0.0]), example(label=[1.0])], [[0.9], [math.nan], [0.2]]
    )
    monkeypatch.setattr(component, "read_table", lambda examples, split: None)
    monkeypatch.setattr("trainer.pair.family.slices", lambda train, rows, spec: {})
    component.write_slices(uri, None, BINARY)
    shown = json.loads(Path(uri, CONFUSION_FILE).read_text())
    assert shown["test"]["matrix"] == shown["eval"]["matrix"] == [[0, 0], [1, 1]]
