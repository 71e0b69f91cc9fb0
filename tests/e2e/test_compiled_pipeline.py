"""The compiled pipeline, step by step in processes of its own, does what the local run does.

The trainer is a command as a container starts it; the other steps are copies of a process that has imported
TFX (forked.py), for an import takes longer than their work.
"""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline.kubeflow import run_configuration
from tests.e2e.compiled import CompiledPipeline, TaskRun, Webhook, start

pytestmark = pytest.mark.e2e

KUBEFLOW = """
[bulk]
input = "bulk.csv"

[kubeflow]
image = "localhost/kembar:test"
volume_claim = "kembar"
mount_path = "{mount}"
webhook = {{ secret = "kembar-webhook", key = "url" }}

[kubeflow.steps.Trainer]
retries = 1

[kubeflow.overrides.data]
train = "data/train.csv"
eval = "data/eval.csv"
test = "data/test.csv"

[kubeflow.overrides.bulk]
input = "data/bulk.csv"
"""
BINARY = (
    ('kind = "score", range = [0, 5]', 'kind = "binary"'),
    ("floors = { spearman = 0.1 }", "floors = { average_precision = 0.1 }"),
)
ROWS = {"train": 300, "eval": 100, "test": 100}
BEFORE_TRAINING = (
    "ExampleGen", "RowGate", "StatisticsGen", "ImportSchemaGen", "ExampleValidator", "DataGate", "Transform",
    "Baselines",
)  # fmt: skip


@pytest.fixture(scope="module")
def webhook() -> Iterator[Webhook]:
    with Webhook() as hook:
        yield hook


@pytest.fixture(scope="module")
def mount(project, pairs) -> Path:
    """What the volume is in a cluster: a folder with the data in it."""
    mount = project.root / "mnt"
    (mount / "data").mkdir(parents=True)
    for split, rows in ROWS.items():
        same = [[str(int(float(score) >= 3)), *texts] for score, *texts in pairs[split][:rows]]
        project.write(split, same).rename(mount / "data" / f"{split}.csv")
    unlabelled = project.write(
        "bulk", [row[1:] for row in pairs["test"][100:150]], ["sentence1", "sentence2"]
    )
    unlabelled.rename(mount / "data" / "bulk.csv")
    text = project.config.read_text() + KUBEFLOW.format(mount=mount)
    for of_scores, of_two_classes in BINARY:
        assert of_scores in text
        text = text.replace(of_scores, of_two_classes)
    project.config.write_text(text)
    return mount


def packed_in(pipeline: CompiledPipeline) -> list[str]:
    """The configurations that the file carries."""
    executors = pipeline.document["deploymentSpec"]["executors"].values()
    words = [executor["container"]["args"] for executor in executors]
    found = [args[args.index("--config") + 1] for args in words if "--config" in args]
    assert len(found) == 2, "the first step's, and a part of it for the last task"
    return found


@pytest.fixture(scope="module")
def pipeline(project, mount, webhook, copies, tmp_path_factory) -> CompiledPipeline:
    output = project.root / "pipeline.yaml"
    compiled = subprocess.run(
        [project.command("compile")[0], "compile", str(project.config), "--output", str(output)],
        capture_output=True, text=True, cwd=project.root, env=project.environment, timeout=120,
    )  # fmt: skip
    assert compiled.returncode == 0, compiled.stderr

    def launch(command: list[str], environment: dict[str, str], log: Path) -> Any:
        return (start if "Trainer" in command else copies.launch)(command, environment, log)

    secrets = {"kembar-webhook": {"url": webhook.url}}
    made = CompiledPipeline(output, tmp_path_factory.mktemp("kfp"), secrets, launch)
    told = output.read_text() + str([run_configuration.unpack(packed) for packed in packed_in(made)])
    assert webhook.url not in told, "a secret is in the compiled file"
    return made


@pytest.fixture(scope="module")
def first(pipeline) -> dict[str, TaskRun]:
    """The trainer's first try is killed when it has saved an epoch."""
    tries: list[int] = []

    def kill(name: str, process: subprocess.Popen) -> None:
        if name != "trainer":
            return
        tries.append(process.pid)
        if len(tries) == 1:
            while not list(pipeline_root(pipeline).glob("artifacts/checkpoints/*/training.npz")):
                assert process.poll() is None, "nothing was saved"
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)

    return pipeline.run("first", on_start=kill)


@pytest.fixture(scope="module")
def second(pipeline, first) -> dict[str, TaskRun]:
    """One more epoch, asked for by a run parameter."""
    return pipeline.run("second", epochs=4)


def pipeline_root(pipeline: CompiledPipeline) -> Path:
    mounts = pipeline._platform["exec-trainer"]["pvcMount"]
    return Path(mounts[0]["mountPath"], pipeline.document["pipelineInfo"]["name"])


def summary_of(pipeline: CompiledPipeline, run: str) -> dict[str, Any]:
    return json.loads((pipeline_root(pipeline) / "runs" / run / "summary.json").read_text())


def test_every_step_succeeds_at_last_and_a_version_is_served(pipeline, first):
    statuses = {name: [0] for name in first} | {"trainer": [-signal.SIGKILL, 0]}
    assert {name: run.statuses for name, run in first.items()} == statuses
    assert len(first) == 18
    summary = summary_of(pipeline, "first")
    assert summary["status"] == "pushed"
    served = pipeline_root(pipeline) / "serving" / "twins" / str(summary["model"]["version"])
    assert (served / "saved_model.pb").is_file()


def test_killed_step_goes_on_behind_its_last_epoch(pipeline, first):
    assert "resumed after epoch" in first["trainer"].log
    training = json.loads((pipeline_root(pipeline) / "training.json").read_text())
    assert 1 <= training["details"]["resumed_after_epoch"] <= 3
    assert not list(pipeline_root(pipeline).glob("artifacts/checkpoints/*"))


def test_metrics_are_those_of_a_local_run(project, pipeline, first):
    mount = pipeline_root(pipeline).parent
    paths = [f"--set=data.{split}={mount}/data/{split}.csv" for split in ROWS]
    ran = project.kembar("run", *paths, f"--set=bulk.input={mount}/data/bulk.csv")
    assert ran.status == 0, ran.err
    cluster, local = summary_of(pipeline, "first"), project.summary
    for split in ("eval", "test"):
        assert cluster["metrics"][split] == pytest.approx(local["metrics"][split], abs=1e-6)
    assert cluster["baselines"] == local["baselines"]
    assert cluster["data"] == local["data"]
    assert cluster.keys() == local.keys()
    scores = [pq.read_table(root / "bulk.parquet") for root in (pipeline_root(pipeline), project.workdir)]
    assert scores[0].num_rows == cluster["bulk"]["rows_scored"] == 50
    np.testing.assert_allclose(*(table["score"].to_numpy() for table in scores), atol=1e-5)  # type: ignore[call-overload]


def test_metrics_reach_the_user_interface(pipeline, first):
    [shown] = first["quality-gate"].output["artifacts"]["metrics"]["artifacts"]
    measured = summary_of(pipeline, "first")["metrics"]
    assert shown["metadata"]["test_auc"] == measured["test"]["auc"]
    assert shown["metadata"]["blessed"] == 1.0
    [shown] = first["evaluator"].output["artifacts"]["classification"]["artifacts"]
    rows = [row["row"] for row in shown["metadata"]["confusionMatrix"]["rows"]]
    right = (rows[0][0] + rows[1][1]) / ROWS["test"]
    assert right == pytest.approx(measured["test"]["accuracy"])
    assert len(shown["metadata"]["confidenceMetrics"]) > 2
    [shown] = first["atomic-pusher"].output["artifacts"]["metrics"]["artifacts"]
    assert shown["metadata"] == {"version": float(summary_of(pipeline, "first")["model"]["version"])}


def test_the_log_of_the_trainer_tells_devices_and_epochs(first):
    assert "training on  devices CPU" in first["trainer"].log
    assert first["trainer"].log.count("epoch 3/3 ") == 1


def test_report_is_where_kfp_looks_for_it(first):
    [report] = first["conclude"].output["artifacts"]["report"]["artifacts"]
    page = Path(report["uri"]).read_text()
    assert "<html" in page
    assert "pushed" in page


@pytest.mark.slow
def test_what_did_not_change_comes_out_of_the_cache(pipeline, second):
    assert {name: run.statuses for name, run in second.items()} == {name: [0] for name in second}
    assert summary_of(pipeline, "second")["model"]["epochs"] == 4
    states = {step["id"]: step["state"] for step in summary_of(pipeline, "second")["components"]}
    assert {node: states[node] for node in BEFORE_TRAINING} == dict.fromkeys(BEFORE_TRAINING, "cached")
    assert states["Trainer"] == states["Evaluator"] == "ran"


@pytest.mark.slow
def test_champion_is_the_version_that_the_first_run_pushed(pipeline, second):
    before = summary_of(pipeline, "first")["metrics"]["test"]["average_precision"]
    assert f"champion {before:.4f}" in summary_of(pipeline, "second")["reason"]
    served = pipeline_root(pipeline) / "serving" / "twins"
    versions = [summary_of(pipeline, run)["model"]["version"] for run in ("first", "second")]
    assert sorted(int(path.name) for path in served.iterdir() if path.name.isdigit()) == versions


def test_wrong_data_path_ends_at_the_first_step_and_the_webhook_hears_why(pipeline, first, webhook):
    runs = pipeline.run("missing", data_path="nowhere")
    assert runs["example-gen"].statuses == [2]
    # The schema needs no data; everything behind the examples is left out, the exit task is not.
    assert set(runs) <= {"example-gen", "import-schema-gen", "conclude"}
    assert runs["conclude"].statuses == [0]
    summary = summary_of(pipeline, "missing")
    assert summary["status"] == "failed"
    assert "nowhere/train.csv" in summary["reason"]
    served = [
        path for path in (pipeline_root(pipeline) / "serving" / "twins").iterdir() if path.name.isdigit()
    ]
    assert [heard["status"] for heard in webhook.heard] == ["pushed"] * len(served) + ["failed"]
    assert webhook.heard[-1]["reason"] == summary["reason"]


def test_steps_of_another_run_on_the_same_data_come_out_of_the_cache(pipeline, first):
    """The first two; the whole of such a run is a slow test."""
    steps = {"example-gen": "ExampleGen", "import-schema-gen": "ImportSchemaGen"}
    runs = pipeline.run("again", only=steps)
    assert [runs[name].statuses for name in steps] == [[0], [0]]
    states = {step["id"]: step["state"] for step in summary_of(pipeline, "again")["components"]}
    assert {states[node] for node in steps.values()} == {"cached"}
