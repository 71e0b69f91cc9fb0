"""kill -9 during pushes, while a poller loads what appears. The figures are in docs/lab/kills.md."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "push_chaos.py"


@pytest.mark.parametrize("kills", [3, pytest.param(100, marks=pytest.mark.slow)])
def test_killed_pushes_show_nothing_half_done(kills):
    done = subprocess.run(
        [sys.executable, str(BENCHMARK), "pushes", "--kills", str(kills)],
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)
    assert sum(found["killed"].values()) == kills
    assert found["next_succeeded"] == kills
    assert found["loaded"] == found["versions"] >= kills + 3
    assert found["versions_rise"]
    nothing = ("failed_loads", "wrong_files", "wrong_answers", "left")
    assert [found[key] for key in nothing] == [{}, [], [], []]
    assert done.returncode == 0
