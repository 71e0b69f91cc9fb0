"""Thirty days of retraining with accidents and kills. The figures are in docs/lab/month.md."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "month.py"


@pytest.mark.slow
@pytest.mark.e2e
@pytest.mark.timeout(3 * 3600)
def test_a_month_goes_by_itself(tmp_path):
    done = subprocess.run(
        [sys.executable, str(BENCHMARK), "--folder", str(tmp_path / "month")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)
    # Reasons, spans read and trained on, and the size of the folder are looked at there.
    assert found["wrong"] == []
    assert found["kills"] == 10
    days = {one["day"]: one for one in found["days"]}
    assert [day for day, one in days.items() if one["status"] == "data_rejected"] == [5, 17]
    assert [day for day, one in days.items() if one["status"] == "unchanged"] == [9, 13]
    qualities = [one["quality"] for one in found["days"]]
    assert min(qualities) >= 0.6
    assert qualities[-1] >= qualities[0] - 0.05
    assert max(one["versions"] for one in found["days"]) <= 5
    assert done.returncode == 0
