"""Every label kind and family, plain, over spans, and with a search and bulk answers, as compiled commands.

What comes out has to be what `kembar` makes of the same data on this machine.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.e2e.compiled import CompiledPipeline, Webhook
from tests.e2e.forked import Forked

# Two whole runs, on a machine that may have others to do.
pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(1800)]

PAIR = """
text_a = "a"
text_b = "b"

[model]
embedding_dim = 8
ngrams = []
oov_buckets = 10
"""
VECTOR = """
vector = { columns = ["x0..x7"], dimension = 8, range = [0, 1] }

[model]
"""
KINDS = {
    "binary": (PAIR, 'label = { column = "label", kind = "binary" }'),
    "score": (PAIR, 'label = { column = "label", kind = "score", range = [0, 2] }'),
    "classes": (PAIR, 'label = { column = "label", kind = "classes", classes = ["0", "1", "2"] }'),
    "vae": (f'{VECTOR}family = "vae"\nencoder = [8]\nlatent = 2\n', ""),
    "dense": (
        f'{VECTOR}family = "dense"\n',
        'label = { column = "label", kind = "classes", classes = ["0", "1", "2"] }',
    ),
}
REST = """
[training]
epochs = 1
batch_size = 32

[gates]
beat_baselines = false
champion_margin = -1000.0

[validation]
drift = "ignore"

[kubeflow]
image = "localhost/kembar:test"
volume_claim = "kembar"
mount_path = "@mount"
"""
PLAIN = 'path = "@mount/data.csv"\nsplit = { train = 6, eval = 2, test = 2 }'
MODES = {
    "plain": (PLAIN, ""),
    "spans": (
        'pattern = "@mount/days/{YYYY}-{MM}-{DD}.csv"\nsplit = { train = 6, eval = 2, test = 2 }',
        "\n[retraining]\nwarm_start = true\n",
    ),
    "search": (
        PLAIN,
        '\n[tuning]\ntrials = 2\nepochs = 1\n[tuning.space]\ntraining.learning_rate = [1e-3, 1e-2]\n'
        '[bulk]\ninput = "@mount/bulk.csv"\n',
    ),
}  # fmt: skip
ROWS, BULK_ROWS = 240, 20
RANKED = ("spearman", "average_precision", "auc", "best_threshold")


def write(path: Path, kind: str, rows: int, seed: int) -> None:
    """Rows whose label hangs on what they hold."""
    random = np.random.default_rng(seed)
    lines: list[list[Any]] = []
    for label in random.integers(0, 2 if kind == "binary" else 3, rows):
        if kind in ("vae", "dense"):
            lines.append([*np.clip(random.normal(0.2 + 0.3 * label, 0.1, 8), 0, 1).round(4), label])
            continue
        words = random.integers(0, 50, 6)
        other = np.concatenate([words[: 3 * label], random.integers(50, 90, 6 - 3 * min(label, 2))])
        lines.append([" ".join(f"w{word}" for word in text) for text in (words, other)] + [label])
    head = [f"x{n}" for n in range(8)] if kind in ("vae", "dense") else ["a", "b"]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([[*head, "label"], *lines])


def kembar(copies: Forked, folder: Path, *arguments: str) -> str:
    """Runs a command; what it printed."""
    log = folder / f"{arguments[0]}.log"
    ended = copies.launch(["kembar", *arguments], {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}, log)
    assert ended.returncode == 0, log.read_text()[-3_000:]
    return log.read_text()


def project(folder: Path, kind: str, mode: str) -> Path:
    """Data on a volume, and a configuration; returns the volume."""
    mount = folder / "mnt"
    write(mount / "data.csv", kind, ROWS, 0)
    write(mount / "bulk.csv", kind, BULK_ROWS, 1)
    for day in (1, 2, 3):
        write(mount / "days" / f"2026-11-{day:02d}.csv", kind, ROWS, day)
    (where, extra), (what, label) = MODES[mode], KINDS[kind]
    text = f'[pipeline]\nname = "twins"\n\n[data]\nformat = "csv"\n{where}\n{label}\n{what}{REST}{extra}'
    (folder / "twins.toml").write_text(text.replace("@mount", str(mount)))
    return mount


def weights(root: Path, summary: dict[str, Any]) -> bytes:
    """What the version that a run pushed has learned."""
    version = root / "serving" / "twins" / str(summary["model"]["version"])
    return (version / "variables" / "variables.data-00000-of-00001").read_bytes()


@pytest.mark.parametrize(("kind", "mode"), list(product(KINDS, MODES)))
def test_the_cluster_does_what_the_laptop_does(copies, tmp_path, kind, mode):
    mount = project(tmp_path, kind, mode)
    config = str(tmp_path / "twins.toml")
    kembar(copies, tmp_path, "compile", config, "--output", str(tmp_path / "pipeline.yaml"))
    pipeline = CompiledPipeline(tmp_path / "pipeline.yaml", tmp_path / "kfp", launch=copies.launch)
    runs = pipeline.run("first")
    failed = {name: run.log[-3_000:] for name, run in runs.items() if run.statuses != [0]}
    assert not failed, "\n".join(f"{name}:\n{log}" for name, log in failed.items())
    here = tmp_path / "here"
    kembar(copies, tmp_path, "retrain" if mode == "spans" else "run", config, "--workdir", str(here))
    cluster, local = (
        json.loads((root / "summary.json").read_text()) for root in (mount / "twins" / "runs" / "first", here)
    )
    assert cluster["status"] == local["status"] == "pushed"
    assert cluster.keys() == local.keys()
    assert sorted(one["id"] for one in cluster["components"]) == sorted(
        one["id"] for one in local["components"]
    )
    for split in ("eval", "test"):
        here_too = local["metrics"][split]
        assert cluster["metrics"][split].keys() == here_too.keys()
        for name, value in cluster["metrics"][split].items():
            # The models are equal to the bit, but Beam cuts the rows that it evaluates into batches as their
            # files' names fall, which changes last digits: those rank what is alike, and here much is.
            assert value == pytest.approx(here_too[name], abs=0.01 if name in RANKED else 1e-5), name
    assert weights(mount / "twins", cluster) == weights(here, local), "trained on other rows, or otherwise"
    assert cluster["baselines"] == local["baselines"]
    assert cluster["data"] == local["data"]
    assert cluster["retraining"]["spans"] == local["retraining"]["spans"]
    assert cluster["retraining"]["served"] == local["retraining"]["served"]
    assert cluster["model"]["tuned"] == local["model"]["tuned"]
    if mode == "spans":
        assert len(cluster["retraining"]["spans"]["trained"]) == 3
    if mode == "search":
        assert cluster["bulk"]["rows_scored"] == local["bulk"]["rows_scored"] == BULK_ROWS
        tables = [pq.read_table(root / "bulk.parquet") for root in (mount / "twins", here)]
        assert tables[0].drop(["file"]).schema == tables[1].drop(["file"]).schema
    shown = runs["evaluator"].output.get("artifacts", {})
    assert bool(shown) == (kind in ("binary", "classes", "dense"))
    for one in shown.values():
        assert sum(
            map(sum, (row["row"] for row in one["artifacts"][0]["metadata"]["confusionMatrix"]["rows"]))
        )


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with Webhook() as server:
        yield server


def test_a_run_that_kfp_retries_is_told_as_it_ended(copies, tmp_path, hook):
    """One step's pod does not come up; after KFP's Retry all is well, and the exit task never runs again."""
    mount = project(tmp_path, "dense", "plain")
    config = tmp_path / "twins.toml"
    with config.open("a") as file:
        file.write('webhook = { secret = "hook", key = "url" }\n')
    kembar(copies, tmp_path, "compile", str(config), "--output", str(tmp_path / "pipeline.yaml"))
    broken = ["ServingGate"]

    def launch(command: list[str], environment: dict[str, str], log: Path) -> Any:
        if broken and broken[0] in command:
            broken.clear()
            log.touch()
            return copies.ended(1)
        return copies.launch(command, environment, log)

    secrets = {"hook": {"url": hook.url}}
    pipeline = CompiledPipeline(tmp_path / "pipeline.yaml", tmp_path / "kfp", secrets, launch)
    first = pipeline.run("first")
    assert [name for name, run in first.items() if run.statuses != [0]] == ["serving-gate"]
    root = mount / "twins"
    assert json.loads((root / "summary.json").read_text())["status"] == "failed"
    again = pipeline.retry("first", first)
    assert {run.statuses[-1] for run in again.values()} == {0}
    assert json.loads((root / "summary.json").read_text())["status"] == "pushed"
    assert [(heard["run_id"], heard["status"]) for heard in hook.heard] == [
        ("first", "failed"),
        ("first", "pushed"),
    ]
    history = kembar(copies, tmp_path, "history", str(config), "--workdir", str(root)).splitlines()
    assert [line.split()[2] for line in history if line.startswith("20")] == ["pushed"]
