"""One small pair pipeline, from CSV files to a served version, through everything that may happen to it."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from components.evaluator.predictions import load_predictions
from trainer.text.form import TextForm

pytestmark = pytest.mark.e2e

KEPT = {"train": 400, "eval": 150, "test": 151}
# What a CSV file may hold and many readers stumble over.
AWKWARD = ["4.5", 'Two lines:\nand "quotes", commas; a tab\t.', "Two lines: and «quotes», commas; a tab."]
BAD_ROWS = (
    ('"1.0","no second text"\r\n', "wrong column count"),
    ("1.0,,empty\r\n", "empty text"),
    ("1.0,empty,  \r\n", "empty text"),
    ("5.1,a,b\r\n", "label out of range"),
    ("good,a,b\r\n", "bad label"),
    ('3.0,"never closed,b\r\n', "malformed quotes"),
    ("3.0,caf\udce9,b\r\n", "bad encoding"),
)


@pytest.fixture(scope="module")
def pushed(project, pairs):
    """The first run: all components at work, one version pushed."""
    for split, rows in KEPT.items():
        project.write(split, [*pairs[split][:150], AWKWARD] if split == "test" else pairs[split][:rows])
    with (project.root / "train.csv").open(
        "a", newline="", encoding="utf-8", errors="surrogateescape"
    ) as file:
        file.writelines(row for row, _ in BAD_ROWS)
    ran = project.kembar_alone("run")
    assert ran.status == 0, ran.err
    return project, ran, project.summary


@pytest.fixture(scope="module")
def evaluated(pushed):
    """What the Evaluator saw and said of the test split: examples and scores."""
    project, _, _ = pushed
    [uri] = (project.workdir / "artifacts" / "Evaluator" / "evaluation").iterdir()
    table = load_predictions(str(uri), "test")
    scores = np.array([row for [row] in table["score"].to_pylist()])
    return table["serialized"].to_pylist(), scores


@pytest.fixture(scope="module")
def features(evaluated):
    """Text a, text b and label of the evaluated examples."""
    found = []
    for serialized in evaluated[0]:
        feature = tf.train.Example.FromString(serialized).features.feature
        texts = [feature[name].bytes_list.value[0].decode() for name in ("text_a", "text_b")]
        found.append((*texts, feature["label"].float_list.value[0]))
    return found


@pytest.fixture(scope="module")
def model(pushed):
    """The version in service, loaded from disk."""
    return tf.saved_model.load(pushed[2]["model"]["path"])


@pytest.fixture(scope="module")
def scores(model, features):
    """`serving_default` of all evaluated rows in one batch."""
    return score_texts(model, features)


def score_texts(model, rows):
    texts = {name: tf.constant([row[at] for row in rows]) for at, name in enumerate(("text_a", "text_b"))}
    return model.signatures["serving_default"](**texts)["score"].numpy()


def states(summary):
    return {component["id"]: component["state"] for component in summary["components"]}


def test_the_summary_accounts_for_every_row(pushed, pairs):
    _, _, summary = pushed
    assert summary["status"] == "pushed"
    assert summary["pipeline"] == "twins"
    assert set(summary) == {
        "status", "reason", "pipeline", "run_id", "started", "seconds", "peak_memory_mb",
        "components", "data", "metrics", "baselines", "interval", "slices", "model",
        "retraining", "undefined",
    }  # fmt: skip
    reasons = Counter(reason for _, reason in BAD_ROWS)
    texts = {
        # The awkward row's texts are in no other.
        split: {*TextForm().forms([text.encode() for row in pairs[split][:150] for text in row[1:]])}
        for split in ("eval", "test")
    }
    texts["train"] = {*TextForm().forms([text.encode() for row in pairs["train"][:400] for text in row[1:]])}
    # These parts of STS Benchmark share more rows than all of it does.
    assert [sentence[:40] for sentence in summary["data"]["warnings"]] == [
        "eval: 3 of the 148 different rows (2.0%)",
        "test: 2 of the 150 different rows (1.3%)",
        "test: 2 of the 150 different rows (1.3%)",
    ]
    assert summary["data"] == {
        "rows_read": sum(KEPT.values()) + len(BAD_ROWS),
        "rows_kept": sum(KEPT.values()),
        "rows_quarantined": len(BAD_ROWS),
        "quarantine_reasons": dict(reasons),
        "splits": KEPT,
        "shared_texts": {
            f"{one} and {other}": len(texts[one] & texts[other])
            for one, other in (("train", "eval"), ("train", "test"), ("eval", "test"))
        },
        "dialect": {split: {'comma, quote ", utf-8': 1} for split in KEPT},
        "remarks": [],
        "warnings": summary["data"]["warnings"],
    }
    assert set(states(summary).values()) == {"ran"}
    assert list(states(summary))[-1] == "AtomicPusher"
    assert all(step["seconds"] > 0 and step["peak_memory_mb"] > 0 for step in summary["components"])
    assert summary["peak_memory_mb"] == max(step["peak_memory_mb"] for step in summary["components"])
    for measured in (summary["metrics"], *summary["baselines"].values()):
        assert set(measured) == {"eval", "test"}
        assert all(set(values) == {"spearman", "pearson", "mse"} for values in measured.values())
    assert set(summary["baselines"]) == {"majority", "tfidf_cosine", "averaged_embeddings"}
    assert summary["baselines"]["majority"]["test"]["spearman"] is None  # JSON knows no NaN
    version = summary["model"]["version"]
    assert summary["model"]["path"].endswith(f"/work/serving/twins/{version}")
    assert summary["model"]["parameters"] > 1_000
    assert summary["model"]["examples_per_second"] > 0
    assert 1 <= summary["model"]["epochs"] <= 3


def test_progress_is_readable_and_noise_goes_to_the_log(pushed):
    project, ran, summary = pushed
    version = summary["model"]["version"]
    assert ran.out == f"twins: pushed: {summary['reason']} ({summary['seconds']:.0f} s)\n"
    assert summary["reason"].startswith(f"version {version}: spearman ")
    lines = ran.err.splitlines()
    assert sum(line.lstrip().startswith("epoch ") for line in lines) == summary["model"]["epochs"]
    shown = [line.split()[1] for line in lines if f"/{len(summary['components'])} " in line]
    assert shown == [step["id"] for step in summary["components"]]
    assert "  7 of 708 rows quarantined: empty text (2), bad " in ran.err
    assert not any(word in ran.err for word in ("WARNING", "Traceback", "\x1b", "\r"))
    assert (project.workdir / "run.log").stat().st_size > 1_000


def test_the_quarantine_names_every_bad_row(pushed):
    project, _, _ = pushed
    [uri] = project.workdir.glob("artifacts/*ExampleGen/examples/*")
    lines = [
        json.loads(line)
        for file in sorted((uri / "quarantine").glob("train*.jsonl"))
        for line in file.read_text(encoding="utf-8").splitlines()
    ]
    text = (project.root / "train.csv").read_bytes().decode("utf-8", "surrogateescape")
    first = text.count("\n") - len(BAD_ROWS) + 1
    file = str(project.root / "train.csv")
    assert [(row["file"], row["line"], row["reason"]) for row in lines] == [
        (file, first + at, reason) for at, (_, reason) in enumerate(BAD_ROWS)
    ]
    assert lines[0]["raw"] == '"1.0","no second text"'
    assert lines[3]["detail"] == "column 'score': '5.1' is not within 0..5"
    assert lines[-1]["raw"] == "3.0,caf\\udce9,b"
    for split in ("eval", "test"):
        assert all(not path.read_text() for path in (uri / "quarantine").glob(f"{split}*.jsonl"))


def test_every_kept_row_was_evaluated_once_and_as_written(pushed, features):
    with (pushed[0].root / "test.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    written = sorted((a.strip(), b.strip(), float(np.float32(score))) for score, a, b in rows)
    assert sorted(features) == written
    assert (AWKWARD[1], AWKWARD[2], 4.5) in features


def test_the_pushed_model_gives_what_the_evaluator_saw(evaluated, scores):
    assert scores.shape == (KEPT["test"],)
    np.testing.assert_allclose(scores, evaluated[1], atol=1e-5)
    assert scores.min() >= 0
    assert scores.max() <= 5
    assert scores.std() > 0.01


def test_serialized_examples_score_as_their_texts_do(model, evaluated, scores):
    answer = model.signatures["serve_examples"](examples=tf.constant(evaluated[0]))
    assert set(answer) == {"score"}
    np.testing.assert_allclose(answer["score"].numpy(), scores, atol=1e-5)


def test_a_row_alone_scores_as_in_a_batch(model, features, scores):
    alone = [score_texts(model, [row])[0] for row in features[:25]]
    np.testing.assert_allclose(alone, scores[:25], atol=1e-5)


def test_swapping_the_texts_changes_nothing(model, features, scores):
    np.testing.assert_allclose(score_texts(model, [(b, a) for a, b, _ in features]), scores, atol=1e-5)


def test_the_metrics_are_those_of_the_served_scores(pushed, features, scores):
    labels = np.array([row[2] for row in features])
    measured = pushed[2]["metrics"]["test"]
    assert measured["spearman"] == pytest.approx(stats.spearmanr(labels, scores).statistic, abs=1e-5)
    assert measured["pearson"] == pytest.approx(stats.pearsonr(labels, scores).statistic, abs=1e-5)
    assert measured["mse"] == pytest.approx(np.mean((labels - scores) ** 2), abs=1e-5)


def test_predict_scores_a_file_in_its_order(pushed, features, scores):
    project, _, _ = pushed
    source, output = project.root / "questions.csv", project.root / "answers.jsonl"
    with source.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(
            [["text_a", "text_b", "id"], *((a, b, at) for at, (a, b, _) in enumerate(features))]
        )
    ran = project.kembar_alone("predict", "--input", str(source), "--output", str(output))
    assert (ran.status, ran.out) == (0, "")
    assert ran.err.startswith(f"{len(features)} rows read, {len(features)} answered, 0 with an error (")
    answers = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert [answer["id"] for answer in answers] == [str(at) for at in range(len(features))]
    assert [(answer["text_a"], answer["text_b"]) for answer in answers] == [row[:2] for row in features]
    np.testing.assert_allclose([answer["score"] for answer in answers], scores, atol=1e-5)


def test_versions_lists_the_one_in_service(pushed):
    project, _, summary = pushed
    ran = project.kembar("versions")
    assert ran.status == 0
    heading, line = ran.out.splitlines()
    assert heading.split() == ["version", "pushed", "state", "test", "metrics", "sha256"]
    assert line.startswith(f"{summary['model']['version']}  20")
    assert "in service" in line
    assert f"spearman {summary['metrics']['test']['spearman']:.4f}" in line


def test_a_second_run_has_nothing_to_do(pushed):
    project, _, first = pushed
    ran = project.kembar("run")
    summary = project.summary
    assert ran.status == 0
    assert summary["status"] == "unchanged"
    assert summary["reason"] == f"version {first['model']['version']} is in service and nothing has changed"
    working = {name for name, state in states(summary).items() if state != "cached"}
    assert working <= {"ChampionResolver", "AcceptedResolver"}
    same = ("data", "metrics", "baselines", "model")
    assert {key: summary[key] for key in same} == {key: first[key] for key in same}


def test_a_version_that_was_deleted_is_pushed_again(pushed):
    project, _, first = pushed
    shutil.rmtree(first["model"]["path"])
    ran = project.kembar("run")
    summary = project.summary
    assert ran.status == 0, ran.err
    assert summary["status"] == "pushed"
    assert summary["model"]["version"] > first["model"]["version"]
    assert project.served == [str(summary["model"]["version"])]
    assert {name for name, state in states(summary).items() if state == "ran"} <= {
        "ChampionResolver",
        "AcceptedResolver",
        "AtomicPusher",
    }
    assert {**summary["metrics"]} == first["metrics"]


def test_a_killed_run_leaves_the_served_version_alone_and_locks_nobody_out(pushed):
    project, _, _ = pushed
    before = project.served, checksums(project)
    changed = ("--set", "training.seed=2")
    with subprocess.Popen(
        project.command("run", *changed),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=project.root,
        env=project.environment,
    ) as process:
        try:
            assert process.stderr is not None
            assert process.stderr.readline().startswith("twins: work, ")
            second = project.kembar("run")
            assert second.status == 5
            assert second.out == ""
            [line] = second.err.splitlines()
            assert line.startswith(
                f"kembar: error: {project.workdir}/lock: another run is at work: process {process.pid} on "
            )
            assert any("epoch 1/3" in line for line in process.stderr)
        finally:
            process.send_signal(signal.SIGKILL)
        assert process.wait(timeout=20) == -signal.SIGKILL
    assert (project.served, checksums(project)) == before

    ran = project.kembar("run", *changed)
    summary = project.summary
    assert ran.status == 0, ran.err
    assert summary["status"] == "pushed"
    assert states(summary)["Transform"] == "cached"
    assert states(summary)["Trainer"] == "ran"
    assert [path for path in project.served if path not in before[0]] == [str(summary["model"]["version"])]
    assert "holds against the champion" in summary["reason"]
    assert {path: digest for path, digest in checksums(project).items() if path in before[1]} == before[1]


def test_a_challenger_has_the_metrics_of_the_first_model(pushed):
    project, _, first = pushed
    assert set(project.summary["metrics"]["test"]) == set(first["metrics"]["test"])


def test_a_model_below_the_floor_is_not_served(pushed):
    project, _, _ = pushed
    before = project.served, checksums(project)
    ran = project.kembar("run", "--set", "training.seed=2", "--set", "gates.floors={spearman = 1.01}")
    summary = project.summary
    assert ran.status == 4
    assert summary["status"] == "not_blessed"
    reached = summary["metrics"]["test"]["spearman"]
    assert summary["reason"] == f"spearman {reached:.4f} is below the floor 1.01 ([gates] floors)"
    assert summary["model"]["version"] is None
    assert states(summary)["Trainer"] == "cached"
    assert (project.served, checksums(project)) == before
    listed = [line for line in project.kembar("versions").out.splitlines() if line[0].isdigit()]
    assert [line.split()[0] for line in listed if "in service" in line] == [before[0][-1]]
    assert [("gone" in line, "kept" in line) for line in listed[:-1]] == [(True, False), (False, True)]


def test_a_challenger_that_loses_to_the_champion_is_not_served(pushed):
    project, _, _ = pushed
    before = project.served, checksums(project)
    ran = project.kembar("run", "--set", "training.seed=2", "--set", "gates.champion_margin=0.5")
    summary = project.summary
    assert ran.status == 4
    assert summary["status"] == "not_blessed"
    reached = summary["metrics"]["test"]["spearman"]
    assert summary["reason"].startswith(f"spearman {reached:.4f} loses to the champion ")
    assert states(summary)["Evaluator"] == "cached"
    assert (project.served, checksums(project)) == before


def test_a_model_that_the_serving_gate_rejects_is_not_served(pushed):
    project, _, _ = pushed
    before = project.served, checksums(project)
    golden = '[{ inputs = { text_a = ["a cat"], text_b = ["a dog"] }, outputs = { score = [99.0] } }]'
    limits = ("serving.max_p50_ms=1e-6", "serving.max_memory_mb=2000", f"serving.golden={golden}")
    ran = project.kembar(
        "run", "--set", "training.seed=2", *(part for it in limits for part in ("--set", it))
    )
    summary = project.summary
    assert ran.status == 4, ran.err
    assert summary["status"] == "serving_rejected"
    wrong, slow = summary["reason"].split("; ")
    assert wrong.startswith("golden request to 'serving_default': output 'score' is [")
    assert wrong.endswith("], not [99.0]")
    assert slow.startswith("one row took, p50, ")
    assert slow.endswith(" ms, more than 1e-06 ([serving] max_p50_ms)")
    assert states(summary)["QualityGate"] == "cached"
    assert (project.served, checksums(project)) == before


def test_clean_up_leaves_what_is_served_and_a_cache_that_is_right(pushed):
    project, _, _ = pushed
    rejected = ("--set", "training.seed=2", "--set", "gates.floors={spearman = 1.01}")
    before = project.served, checksums(project)
    assert (
        project.kembar("gc", "--keep", "0", "--dry-run").out.splitlines()[-1].startswith("would be removed ")
    )
    cleaned = project.kembar("gc", "--keep", "0")
    assert cleaned.status == 0, cleaned.err
    # Of the rejected run only its verdict is not the pushed model's too; what the killed one left is gone.
    kinds = {line.split()[0] for line in cleaned.out.splitlines()}
    assert "QualityGate" in kinds
    assert "Trainer" not in kinds
    assert project.kembar("gc", "--keep", "0").out.splitlines()[1:][0].split() == ["removed", "0", "0"]
    assert (project.served, checksums(project)) == before
    ran = project.kembar("run", *rejected)
    assert ran.status == 4, ran.err
    again = {name for name, state in states(project.summary).items() if state == "ran"}
    resolvers = {"ChampionResolver", "AcceptedResolver"}
    assert again == {"QualityGate", "AtomicPusher"} | resolvers
    assert project.kembar("run", *rejected[:2]).status == 0
    assert project.summary["status"] == "unchanged"
    assert {name for name, state in states(project.summary).items() if state == "ran"} == resolvers


def checksums(project) -> dict[str, bytes]:
    """Every file of every served version."""
    folder = project.workdir / "serving" / "twins"
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and Path(path.relative_to(folder)).parts[0].isdigit()
    }
