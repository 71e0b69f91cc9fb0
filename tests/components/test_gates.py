"""The gates and the pusher as components, on what the Evaluator leaves of two small models."""

from __future__ import annotations

import copy
import json
import shutil
import uuid
from pathlib import Path
from types import SimpleNamespace

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf
from apache_beam.options.pipeline_options import PipelineOptions
from scipy.stats import spearmanr
from tfx.types import Artifact, standard_artifacts
from tfx.utils import path_utils

from components.atomic_pusher.component import Executor
from components.champion import MODEL_ID, PUSHED_DESTINATION
from components.data_gate.verdict import DataVerdict
from components.evaluator.component import Evaluator
from components.live_metrics.component import LiveMetrics
from components.quality_gate.component import QualityGate
from components.quality_gate.decision import Gates
from components.quality_gate.noise import bootstrap
from components.retraining_gate.component import RetrainingDecision, RetrainingGate
from components.retraining_gate.retraining_config import Retraining
from components.schema_gen.default import default_schema
from components.serving_gate import component as serving_gate
from components.serving_gate.check import Deployment, run_probe
from components.serving_gate.component import ServingGate
from components.serving_gate.golden import Golden
from components.version_folder.log import read_log
from components.version_folder.push import versions
from trainer.errors import ServingError
from trainer.exporting.inference import with_inference
from trainer.exporting.warmup import write_warmup
from trainer.features import Label
from trainer.spec import Spec

SPEC = Spec(label=Label(column="score", kind="score", range=(0, 5)))
ROWS = 60


class Longer(tf.Module):
    """Scores a pair by the length of its text `by`, with the signatures of the family `pair`."""

    def __init__(self, by: str) -> None:
        super().__init__()
        self._by = by

    def _score(self, texts: dict[str, tf.Tensor]) -> tf.Tensor:
        return tf.cast(tf.strings.length(texts[self._by]), tf.float32) / 20

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name) for name in ("text_a", "text_b")])
    def score(self, text_a, text_b):
        return {"score": self._score({"text_a": text_a, "text_b": text_b})}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")])
    def score_examples(self, examples):
        texts = {name: tf.io.FixedLenFeature([], tf.string) for name in ("text_a", "text_b")}
        return {"score": self._score(tf.io.parse_example(examples, texts))}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")])
    def evaluate(self, examples):
        return {"evaluation": self.score_examples(examples)["score"][:, tf.newaxis]}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text")])
    def embed(self, text):
        return {"embedding": tf.cast(tf.strings.length(text), tf.float32)[:, tf.newaxis]}

    def save(self, path: str) -> None:
        served = {"serving_default": self.score, "serve_examples": self.score_examples,
                  "evaluate": self.evaluate, "embed": self.embed}  # fmt: skip
        signatures = with_inference({name: call.get_concrete_function() for name, call in served.items()})  # type: ignore[attr-defined]
        tf.saved_model.save(self, path, signatures=signatures)
        write_warmup(path, signatures, {"serving_default": {"text_a": ["x"], "text_b": ["y"]}})


def artifact(kind: type[Artifact], folder: Path, number: int = 0) -> Artifact:
    found = kind()
    found.uri, found.id = str(folder), number
    folder.mkdir(parents=True, exist_ok=True)
    return found


def rows_of(split: str) -> list[tuple[float, str, str]]:
    """Label and texts; in `test` the length of the first text is nearer to the label, in `eval` that of the
    second.
    """
    random = np.random.default_rng(len(split))
    label = random.uniform(1, 4, ROWS)
    near, far = (np.rint(20 * (label + random.normal(0, noise, ROWS))).clip(1) for noise in (0.3, 0.9))
    a, b = (near, far) if split == "test" else (far, near)
    return [(score, "x" * int(m), "y" * int(n)) for score, m, n in zip(label, a, b, strict=True)]


def measured(by: str, *splits: str) -> float:
    """Spearman's coefficient of the model on splits together."""
    rows = [row for split in splits for row in rows_of(split)]
    return float(spearmanr([len(row[1 if by == "text_a" else 2]) for row in rows], [r[0] for r in rows])[0])


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> SimpleNamespace:
    """Models `good` and `poor`, and the evaluation of the first with the second as champion."""
    root = tmp_path_factory.mktemp("gates")
    good = artifact(standard_artifacts.Model, root / "good", 1)
    poor = artifact(standard_artifacts.Model, root / "poor", 2)
    for model, by in ((good, "text_a"), (poor, "text_b")):
        Longer(by).save(path_utils.serving_model_path(model.uri))
    examples = artifact(standard_artifacts.Examples, root / "examples", 3)
    examples.split_names = json.dumps(["train", "eval", "test"])
    for split in ("train", "eval", "test"):
        folder = root / "examples" / f"Split-{split}"
        folder.mkdir()
        with tf.io.TFRecordWriter(str(folder / "data.gz"), "GZIP") as file:
            for score, *texts in rows_of(split):
                features = {
                    name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[text.encode()]))
                    for name, text in zip(("text_a", "text_b"), texts, strict=True)
                }
                features["label"] = tf.train.Feature(float_list=tf.train.FloatList(value=[score]))
                example = tf.train.Example(features=tf.train.Features(feature=features))
                file.write(example.SerializeToString())
    schema = artifact(standard_artifacts.Schema, root / "schema")
    data = SimpleNamespace(vector=None, label=SPEC.label)
    (root / "schema" / "schema.pbtxt").write_text(default_schema(data))
    evaluation = artifact(standard_artifacts.ModelEvaluation, root / "evaluation", 4)
    options = PipelineOptions(["--runner=FnApiRunner"])
    Evaluator.EXECUTOR_SPEC.executor_class._FUNCTION(
        examples=[examples], schema=schema, model=good, champion=poor, evaluation=evaluation,
        spec=SPEC.narrowed(()), code="", beam_pipeline=beam.Pipeline(options=options),
    )  # fmt: skip
    return SimpleNamespace(root=root, good=good, poor=poor, examples=examples, evaluation=evaluation)


@pytest.fixture
def judge(world, tmp_path):
    """Calls the quality gate on test, or another split; returns what it says, and its blessing."""
    baselines = artifact(standard_artifacts.ModelEvaluation, tmp_path / "baselines")
    values = {split: {"spearman": value} for split, value in (("eval", 0.99), ("test", 0.1))}
    (tmp_path / "baselines" / "baselines.json").write_text(json.dumps({"length": values}))

    def call(champion: bool = True, **gates) -> tuple[dict, Artifact]:
        blessing = artifact(standard_artifacts.ModelBlessing, tmp_path / f"blessing-{uuid.uuid4().hex}")
        QualityGate.EXECUTOR_SPEC.executor_class._FUNCTION(
            model=world.good, evaluation=world.evaluation, baselines=baselines, blessing=blessing,
            spec=SPEC.narrowed(()), gates=Gates(**gates).model_dump_json(), code="",
            champion=world.poor if champion else None,
        )  # fmt: skip
        said = json.loads(Path(blessing.uri, "decision.json").read_text())
        assert sorted(path.name for path in Path(blessing.uri).iterdir()) == [
            "BLESSED" if said["blessed"] else "NOT_BLESSED", "decision.json",
        ]  # fmt: skip
        assert blessing.get_int_custom_property("blessed") == int(said["blessed"])
        return said, blessing

    return call


def test_a_challenger_wins_by_its_own_numbers_against_the_champions(judge):
    said, blessing = judge(confidence=0.0)
    good, poor = measured("text_a", "test"), measured("text_b", "test")
    assert good > poor + 0.1
    assert said["metrics"]["test"]["spearman"] == pytest.approx(good)
    assert said["metrics"]["eval"]["spearman"] == pytest.approx(measured("text_a", "eval"))
    assert said["passed"] == [
        f"spearman {good:.4f} beats length 0.1000",
        f"spearman {good:.4f} holds against the champion {poor:.4f}",
    ]
    assert (said["blessed"], said["interval"]) == (True, {})
    assert blessing.get_int_custom_property("current_model_id") == 1


def test_a_challenger_loses_to_a_better_champion_and_baseline(judge):
    """On `eval` the other model is the better one."""
    said, _ = judge(split="eval", confidence=0.0)
    good, poor = measured("text_a", "eval"), measured("text_b", "eval")
    assert good < poor - 0.1
    assert said["failed"] == [
        f"spearman {good:.4f} does not beat the baseline length 0.9900 ([gates] beat_baselines)",
        f"spearman {good:.4f} loses to the champion {poor:.4f} ([gates] champion_margin = 0)",
    ]
    assert judge(split="eval", champion=False, beat_baselines=False, confidence=0.0)[0]["blessed"]


def test_what_chance_could_do_is_that_of_both_models_predictions(judge):
    label, good, poor = (np.array(column) for column in zip(*rows_of("test"), strict=True))
    good, poor = ([[len(text) / 20] for text in texts] for texts in (good, poor))  # type: ignore[assignment]

    def spearman(label: np.ndarray, score: np.ndarray) -> float:
        return float(spearmanr(label, score)[0])

    noise = bootstrap("spearman", spearman, label, np.array(good), np.array(poor), 0.95)
    assert 0 < noise.gain < measured("text_a", "test") - measured("text_b", "test")
    said, _ = judge()
    assert said["blessed"]
    assert said["interval"]["spearman"] == pytest.approx([noise.low, noise.high], abs=1e-6)
    said, _ = judge(champion_margin=noise.gain + 0.01)
    assert not said["blessed"]
    assert f"the gain is only known to be above {noise.gain:.4f} ([gates]" in said["reason"]


@pytest.fixture(scope="module")
def answered(world) -> tuple[tuple, tuple]:
    """What the serving gate asks the probe about the good model, and what the probe says."""
    asked = []

    def ask(*arguments):
        asked.append((arguments, run_probe(*arguments)))
        return asked[-1][1]

    golden = Golden(inputs={"text_a": ["xx"], "text_b": ["y"]}, outputs={"score": [0.1]})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serving_gate, "run_probe", ask)
        said, blessing = examine(world, Deployment(golden=(golden,)))
    assert (said["blessed"], said["reason"]) == (True, "")
    assert Path(blessing.uri, "INFRA_BLESSED").is_file()
    return asked[0]


def examine(world, limits: Deployment) -> tuple[dict, Artifact]:
    """Calls the serving gate on the good model."""
    blessing = artifact(standard_artifacts.InfraBlessing, world.root / f"serving-{uuid.uuid4().hex}")
    ServingGate.EXECUTOR_SPEC.executor_class._FUNCTION(
        model=world.good, evaluation=world.evaluation, blessing=blessing,
        spec=SPEC.narrowed(()), serving=limits.for_gate(), code="",
    )  # fmt: skip
    said = json.loads(Path(blessing.uri, "serving.json").read_text())
    assert blessing.get_int_custom_property("blessed") == int(said["blessed"])
    assert {path.name for path in Path(blessing.uri).iterdir()} == {
        "INFRA_BLESSED" if said["blessed"] else "INFRA_NOT_BLESSED", "serving.json",
    }  # fmt: skip
    return said, blessing


def test_the_serving_gate_asks_for_what_was_evaluated_and_for_golden_requests(world, answered):
    (model, requests, _, limits, timed), (report, failure) = answered
    assert (model, failure) == (path_utils.serving_model_path(world.good.uri), "")
    assert [request["signature"] for request in requests] == [
        "evaluate", "serving_default", "embed", "serving_default",
    ]  # fmt: skip
    assert len(requests[0]["inputs"]["examples"]) == ROWS == len(timed["inputs"]["examples"])
    assert requests[3]["inputs"] == {"text_a": ["xx"], "text_b": ["y"]}
    assert limits.golden[0].outputs == {"score": [0.1]}
    assert report["memory_mb"] > 0


def shifted(report: dict, by: float) -> None:
    values = report["answers"][0]["outputs"]["evaluation"]["values"]
    values[-1] = [values[-1][0] + by * max(1.0, abs(values[-1][0]))]


@pytest.mark.parametrize(
    ("change", "limits", "wrong"),
    [
        (lambda report: shifted(report, 0.9e-4), {}, ""),
        (
            lambda report: shifted(report, 1.5e-4),
            {},
            "output 'evaluation' differs from what the evaluator saw",
        ),
        (lambda report: report["answers"][3]["outputs"]["score"].update(values=[0.1 + 0.9e-4]), {}, ""),
        (
            lambda report: report["answers"][3]["outputs"]["score"].update(values=[0.1 + 1.5e-4]),
            {},
            "golden request to 'serving_default': output 'score' is [0.10015], not [0.1]",
        ),
        (lambda report: report.update(memory_mb=99.0), {"max_memory_mb": 100}, ""),
        (
            lambda report: report.update(memory_mb=101.0),
            {"max_memory_mb": 100},
            "loading and answering took 101 MB, more than 100 ([serving] max_memory_mb)",
        ),
        (
            lambda report: report["latency_ms"]["single"].update(p50=11.0, p99=21.0),
            {"max_p50_ms": 10, "max_p99_ms": 20},
            "one row took, p50, 11 ms, more than 10 ([serving] max_p50_ms); one row took, p99, 21 ms",
        ),
        (
            lambda report: report["latency_ms"]["batch"].update(p99=31.0),
            {"max_batch_p99_ms": 30},
            "a batch of 256 rows took, p99, 31 ms, more than 30 ([serving] max_batch_p99_ms)",
        ),
        (lambda report: report["signatures"].pop("embed"), {}, "signature 'embed' is missing"),
    ],
)
def test_the_serving_gate_blesses_within_its_limits_and_no_further(
    world, answered, monkeypatch, change, limits, wrong
):
    report, _ = copy.deepcopy(answered[1])
    change(report)
    told = []

    def probe(*arguments):
        told.append(arguments[3])
        return report, ""

    monkeypatch.setattr(serving_gate, "run_probe", probe)
    asked = Deployment(golden=answered[0][3].golden, **limits)
    said, _ = examine(world, asked)
    assert told == [asked]
    assert said["blessed"] is (not wrong)
    assert said["reason"].startswith(wrong)


@pytest.mark.parametrize(
    ("name", "by", "why"),
    [
        ("good", "text_a", "the model in service has spearman {} on 180 new rows, below 0.99"),
        ("poor", "text_b", "the model in service has spearman {} on 180 new rows, below 0.99"),
        (None, "", "no model in service can be measured on it"),
    ],
)
def test_the_model_in_service_is_measured_on_all_new_rows_and_is_a_reason(world, tmp_path, name, by, why):
    served = getattr(world, name) if name else None
    live = artifact(standard_artifacts.ModelEvaluation, tmp_path / "live")
    LiveMetrics.EXECUTOR_SPEC.executor_class._FUNCTION(
        examples=world.examples, evaluation=live, spec=SPEC.narrowed(()), code="", served=served
    )
    found = json.loads((tmp_path / "live" / "live.json").read_text())
    assert (found["model"], found["rows"]) == ((served.uri, 3 * ROWS) if served else (None, 0))
    value = measured(by, "train", "eval", "test") if served else float("nan")
    if served:
        assert found["metrics"]["spearman"] == pytest.approx(value)
    verdict, decision = (
        artifact(DataVerdict, tmp_path / "verdict"),
        artifact(RetrainingDecision, tmp_path / "d"),
    )
    (tmp_path / "verdict" / "verdict.json").write_text('{"checks": []}')
    for floor, train in ((0.99, True), (0.01, served is None)):
        RetrainingGate.EXECUTOR_SPEC.executor_class._FUNCTION(
            verdict=verdict, live=live, decision=decision, reason="", code="",
            retraining=Retraining(floors={"spearman": floor}).model_dump_json(),
        )  # fmt: skip
        said = json.loads((tmp_path / "d" / "decision.json").read_text())
        assert said["train"] is train
        if train:
            assert said["reason"].startswith(why.format(f"{value:.4f}"))


@pytest.fixture
def push(world, judge, tmp_path):
    """Calls the pusher on blessings of the gates; returns its artifact."""
    served = artifact(standard_artifacts.InfraBlessing, tmp_path / "infra")
    served.set_int_custom_property("blessed", 1)

    def call(model: Artifact, blessing: Artifact, infra: Artifact = served, keep: int = 0) -> Artifact:
        pushed = artifact(standard_artifacts.PushedModel, tmp_path / f"pushed-{uuid.uuid4().hex}")
        inputs = {"model": model, "model_blessing": blessing, "infra_blessing": infra}
        Executor().Do(
            {**{name: [value] for name, value in inputs.items()}, "examples": [world.examples]},
            {"pushed_model": [pushed]},
            {"directory": str(tmp_path / "twins"), "name": "twins", "keep_versions": keep, "mirror": ""},
        )
        return pushed

    return call


def test_what_both_gates_bless_is_pushed_with_what_it_was_judged_by(world, judge, push, tmp_path):
    said, blessed = judge(confidence=0.0)
    _, refused = judge(split="eval", confidence=0.0)
    unanswered = artifact(standard_artifacts.InfraBlessing, tmp_path / "unanswered")
    unanswered.set_int_custom_property("blessed", 0)
    for gates in ((refused,), (blessed, unanswered)):
        assert push(world.good, *gates).get_int_custom_property("pushed") == 0
        assert not (tmp_path / "twins").exists()
    pushed = push(world.good, blessed)
    [version] = versions(tmp_path / "twins")
    assert pushed.get_int_custom_property("pushed") == 1
    assert pushed.get_int_custom_property(MODEL_ID) == world.good.id
    assert pushed.get_string_custom_property(PUSHED_DESTINATION) == str(tmp_path / "twins" / str(version))
    [entry] = read_log(tmp_path / "twins")
    assert (entry["metrics"], entry["reason"]) == (said["metrics"], said["reason"])
    push(world.poor, blessed, keep=1)
    assert versions(tmp_path / "twins") == [read_log(tmp_path / "twins")[1]["version"]]


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (lambda model: (model / "saved_model.pb").write_bytes(b"\xff\xff"), "Error parsing message"),
        (lambda model: shutil.rmtree(model / "assets.extra"), "no warm-up requests in assets.extra/"),
    ],
)
def test_a_model_that_cannot_be_loaded_or_warmed_up_does_not_appear(world, judge, push, tmp_path, harm, why):
    broken = artifact(standard_artifacts.Model, tmp_path / "broken", 5)
    shutil.copytree(world.good.uri, broken.uri, dirs_exist_ok=True)
    harm(Path(path_utils.serving_model_path(broken.uri)))
    with pytest.raises(ServingError, match=f"the copy cannot be served: .*{why}"):
        push(broken, judge(confidence=0.0)[1])
    assert versions(tmp_path / "twins") == read_log(tmp_path / "twins") == []
