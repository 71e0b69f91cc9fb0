"""The number that README shows of its first command."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
KEMBAR = Path(sys.executable).with_name("kembar")


def test_sts_benchmark_comes_out_as_readme_says(tmp_path):
    done = subprocess.run(
        [KEMBAR, "run", ROOT / "configs" / "sts.toml", "--workdir", tmp_path / "work"],
        capture_output=True, text=True, cwd=tmp_path, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    measured = json.loads((tmp_path / "work" / "summary.json").read_text())["metrics"]["test"]["spearman"]
    assert measured == pytest.approx(0.7657, abs=0.002)
    [shown] = re.findall(
        r"^\| default \(`configs/sts\.toml`\) \| ([0-9.]+) \|", (ROOT / "README.md").read_text(), re.M
    )
    assert measured == pytest.approx(float(shown), abs=0.002)
