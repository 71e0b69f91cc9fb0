"""What KFP's pages get of a step."""

from __future__ import annotations

import json

import numpy as np
import pytest
from ml_metadata.proto import metadata_store_pb2 as mlmd

from components.nodes import CONFUSION_FILE
from pipeline.config import configuration
from pipeline.graph.step_result import RAN, StepResult
from pipeline.kubeflow import user_interface
from trainer.confusion import confusion, shown_classes
from trainer.features import Label
from trainer.metrics import pair_metrics

BINARY = Label(column="same", kind="binary")
CLASSES = Label(column="gold", kind="classes", classes=("no", "perhaps", "yes"))
CONFIG = """
[pipeline]
name = "twins"
[data]
format = "csv"
path = "pairs.csv"
"""
PAIRS = """
text_a = "a"
text_b = "b"
label = { column = "y", kind = "binary" }
"""
VECTORS = """
vector = { columns = ["x"], dimension = 1, range = [0, 1] }
label = { column = "y", kind = "classes", classes = ["no", "yes"] }
[model]
family = "dense"
"""
CASES = {
    "binary": PAIRS,
    "classes": VECTORS,
    "score": PAIRS.replace('"binary"', '"score", range = [0, 5]'),
    "none": VECTORS.replace("label", "# label").replace("dense", "vae"),
}


@pytest.fixture
def make_config(tmp_path):
    def make(kind):
        path = tmp_path / "twins.toml"
        path.write_text(CONFIG + CASES[kind])
        return configuration.load(path)

    return make


def matrix(metadata):
    """The confusion matrix as a table: true class by predicted class."""
    shown = metadata["confusionMatrix"]
    names = [one["displayName"] for one in shown["annotationSpecs"]]
    return names, [row["row"] for row in shown["rows"]]


def classification(label, score, kind):
    return user_interface.classification(confusion(label, score, kind))


def test_binary_labels_have_a_confusion_matrix_and_a_roc_curve():
    label = np.array([0, 0, 1, 1])
    score = np.array([[0.1], [0.6], [0.4], [0.9]])
    metadata = classification(label, score, BINARY)
    assert matrix(metadata) == (["0", "1"], [[1, 1], [1, 1]])
    points = metadata["confidenceMetrics"]
    assert points[0] == {"confidenceThreshold": 1.0, "falsePositiveRate": 0.0, "recall": 0.0}
    assert (points[-1]["falsePositiveRate"], points[-1]["recall"]) == (1.0, 1.0)
    assert {"confidenceThreshold": 0.6, "falsePositiveRate": 0.5, "recall": 0.5} in points
    json.dumps(metadata, allow_nan=False)


def test_a_score_of_a_half_is_a_one_in_the_confusion_matrix_as_in_the_metrics():
    label, score = np.array([1, 0]), np.array([[0.5], [0.4999]])
    assert matrix(classification(label, score, BINARY))[1] == [[1, 0], [0, 1]]
    assert pair_metrics(label, score, BINARY)["accuracy"] == 1.0


def test_a_long_roc_curve_is_thinned_out():
    random = np.random.default_rng(1)
    label = random.integers(0, 2, 5_000)
    points = classification(label, random.random((5_000, 1)), BINARY)["confidenceMetrics"]
    assert 190 <= len(points) <= 200
    assert [points[0]["recall"], points[-1]["recall"]] == [0.0, 1.0]


def test_labels_that_are_all_the_same_have_no_roc_curve():
    metadata = classification(np.ones(3), np.full((3, 1), 0.7), BINARY)
    assert "confidenceMetrics" not in metadata
    assert matrix(metadata)[1] == [[0, 0], [0, 3]]


def test_classes_have_their_names_and_no_roc_curve():
    label = np.array([0, 1, 2, 2])
    score = np.array([[0.8, 0.1, 0.1], [0.8, 0.1, 0.1], [0.1, 0.1, 0.8], [0.1, 0.8, 0.1]])
    metadata = classification(label, score, CLASSES)
    assert matrix(metadata) == (["no", "perhaps", "yes"], [[1, 0, 0], [1, 0, 0], [0, 1, 1]])
    assert "confidenceMetrics" not in metadata


@pytest.mark.parametrize(
    ("kind", "there"), [("binary", True), ("classes", True), ("score", False), ("none", False)]
)
def test_the_evaluator_shows_them_where_there_are_classes(make_config, kind, there):
    assert (
        user_interface.CLASSIFICATION in user_interface.outputs_of("Evaluator", make_config(kind))
    ) is there


def test_they_are_those_of_the_split_that_is_gated(make_config, tmp_path):
    label = np.array([1, 0, 1])
    tables = {
        split: confusion(label, np.array(score), BINARY)
        for split, score in {"test": [0.9, 0.2, 0.8], "eval": [0.1, 0.9, 0.1]}.items()
    }
    (tmp_path / CONFUSION_FILE).write_text(json.dumps(tables))
    step = StepResult("Evaluator", RAN, outputs={"evaluation": mlmd.Artifact(uri=str(tmp_path))})
    shown = user_interface.of_step(step, make_config("binary"))[user_interface.CLASSIFICATION]
    assert matrix(shown)[1] == [[1, 0], [0, 2]]


@pytest.mark.parametrize("word", [None, "NaN", "Infinity", float("nan")])
def test_a_metric_without_a_value_is_left_out(make_config, tmp_path, word):
    decision = {"blessed": False, "metrics": {"test": {"auc": word, "accuracy": 0.5}}}
    (tmp_path / "decision.json").write_text(json.dumps(decision))
    step = StepResult("QualityGate", RAN, outputs={"blessing": mlmd.Artifact(uri=str(tmp_path))})
    shown = user_interface.of_step(step, make_config("binary"))
    assert shown == {user_interface.METRICS: {"test_accuracy": 0.5, "blessed": 0.0}}


def test_of_the_two_numbers_of_a_binary_label_the_second_decides_and_the_first_ranks():
    label, score = np.array([[0.0], [1.0], [1.0], [0.0]]), np.array([[0.1, 0], [0.4, 1], [0.3, 0], [0.35, 1]])
    metadata = classification(label, score, BINARY)
    assert matrix(metadata)[1] == [[1, 1], [1, 1]]
    assert {"confidenceThreshold": 0.35, "falsePositiveRate": 0.5, "recall": 0.5} in metadata[
        "confidenceMetrics"
    ]


def test_more_classes_than_anybody_reads_are_not_shown(make_config):
    spec = make_config("classes").spec
    assert shown_classes(spec) == ("no", "yes")
    many = spec.label.model_copy(update={"classes": tuple(map(str, range(101)))})
    assert shown_classes(spec.model_copy(update={"label": many})) == ()


def test_kfp_gets_back_what_it_declared(tmp_path):
    declared = {"name": "metrics", "type": {"schemaTitle": "system.Metrics"}, "uri": "minio://x/metrics"}
    told = {
        "outputs": {
            "artifacts": {"metrics": {"artifacts": [declared]}},
            "outputFile": str(tmp_path / "deep" / "output.json"),
        }
    }
    user_interface.write(told, {"metrics": {"test_spearman": 0.5}, "unknown": {"x": 1}})
    written = json.loads((tmp_path / "deep" / "output.json").read_text())
    assert written == {
        "artifacts": {"metrics": {"artifacts": [{**declared, "metadata": {"test_spearman": 0.5}}]}}
    }
    user_interface.write({}, {"metrics": {}})  # a KFP that wants nothing
