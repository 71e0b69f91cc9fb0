"""The preset to copy, on a file that is made here, as its first lines say."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
KEMBAR = Path(sys.executable).with_name("kembar")
WHO = ["a man", "a woman", "the dog", "two children", "an old sailor", "my neighbour", "the cook", "a nurse"]
DOES = ["plays", "eats", "sells", "paints", "drops", "carries", "washes", "hides"]
WHAT = ["the guitar", "an apple", "a red car", "the fence", "his hat", "seven boxes", "a fish", "the piano"]


def test_it_runs_as_it_is_and_pushes(tmp_path):
    sentences = [f"{a} {b} {c}" for a in WHO for b in DOES for c in WHAT]
    np.random.default_rng(1).shuffle(sentences)
    # Every sentence once: with itself, word order and filler changed, or with the next one.
    rows = []
    for at in range(0, 500, 2):
        one, other = sentences[at : at + 2]
        rows.append([one, f"{one.split(' ', 2)[-1]}: {one} today", 1] if at % 4 else [one, other, 0])
    with (tmp_path / "pairs.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["text_a", "text_b", "label"], *rows])
    config = shutil.copy(ROOT / "configs" / "pairs_template.toml", tmp_path)
    work = tmp_path / "work"
    done = subprocess.run(
        [
            str(KEMBAR),
            "run",
            config,
            "--workdir",
            str(work),
            "--set",
            "gates.beat_baselines=false",
            "--set",
            "training.epochs=4",
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads((work / "summary.json").read_text())
    assert summary["status"] == "pushed"
    assert summary["data"]["rows_kept"] == len(rows)
    assert summary["metrics"]["test"]["average_precision"] > 0.9
