"""Spans in the compiled pipeline, step by step in processes: a backlog with a bad day, and an idle run."""

from __future__ import annotations

import csv
import json
import subprocess
from pathlib import Path

import pytest

from tests.e2e.compiled import CompiledPipeline
from tests.e2e.days import CONFIG

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

KUBEFLOW = """
[kubeflow]
image = "localhost/kembar:test"
volume_claim = "kembar"
mount_path = "{mount}"

[kubeflow.overrides.data]
pattern = "days/{{YYYY}}-{{MM}}-{{DD}}.csv"
"""


@pytest.fixture(scope="module")
def mount(project, pairs) -> Path:
    mount = project.root / "mnt"
    (mount / "days").mkdir(parents=True)
    project.config.write_text(CONFIG + KUBEFLOW.format(mount=mount))
    return mount


@pytest.fixture(scope="module")
def pipeline(project, mount, tmp_path_factory) -> CompiledPipeline:
    output = project.root / "pipeline.yaml"
    compiled = subprocess.run(
        [project.command("compile")[0], "compile", str(project.config), "--output", str(output)],
        capture_output=True, text=True, cwd=project.root, env=project.environment, timeout=120,
    )  # fmt: skip
    assert compiled.returncode == 0, compiled.stderr
    return CompiledPipeline(output, tmp_path_factory.mktemp("kfp"))


def write(mount: Path, pairs, day: int) -> None:
    with (mount / "days" / f"2026-11-{day:02d}.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(
            [["score", "sentence1", "sentence2"], *pairs["train"][day * 150 : (day + 1) * 150]]
        )


def summary(mount: Path, run: str):
    return json.loads((mount / "twins" / "runs" / run / "summary.json").read_text())


def test_the_cluster_does_what_the_laptop_does(project, pipeline, mount, pairs):
    for day in (1, 2, 3):
        write(mount, pairs, day)
    (mount / "days" / "2026-11-02.csv").write_bytes(b"\x00\xff garbage \x00" * 500)
    first = pipeline.run("first")
    assert {name: run.statuses[-1] for name, run in first.items()} == dict.fromkeys(first, 0)
    told = summary(mount, "first")
    assert told["status"] == "pushed"
    spans = told["retraining"]["spans"]
    assert spans["trained"] == spans["accepted"] == ["2026-11-01", "2026-11-03"]
    assert set(spans["rejected"]) == {"2026-11-02"}
    local = mount / "local"
    pattern = f"data.pattern={mount}/days/{{YYYY}}-{{MM}}-{{DD}}.csv"
    ran = subprocess.run(
        [*project.command("retrain")[:3], "--workdir", str(local), "--set", pattern],
        capture_output=True, text=True, cwd=project.root, env=project.environment, timeout=300,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    here = json.loads((local / "summary.json").read_text())
    assert here["retraining"] == told["retraining"]
    assert here["metrics"]["test"] == pytest.approx(told["metrics"]["test"], abs=1e-6)


def test_a_run_without_new_data_leaves_everything_out(pipeline, mount):
    idle = pipeline.run("idle")
    assert {name: run.statuses for name, run in idle.items()} == {name: [0] for name in idle}
    told = summary(mount, "idle")
    assert told["status"] == "unchanged"
    assert "no new data up to 2026-11-03; rejected before: 2026-11-02" in told["reason"]
    assert "left out: nothing is to be trained" in idle["trainer"].log
    [version] = [path for path in (mount / "twins" / "serving" / "twins").iterdir() if path.name.isdigit()]
    assert int(version.name) == summary(mount, "first")["model"]["version"]
