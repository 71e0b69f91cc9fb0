"""Two `kembar retrain` at the same moment: one runs, the other ends with exit code 5 and names it."""

from __future__ import annotations

import os
import re
import subprocess

import pytest

pytestmark = pytest.mark.e2e

# The one span is not complete, so there is nothing to do; the notification, which is told under the lock,
# takes its time.
CONFIG = """
[pipeline]
name = "twins"

[data]
format = "csv"
pattern = "days/{SPAN}.csv"
text_a = "a"
text_b = "b"
label = { column = "score", kind = "score", range = [0, 5] }

[data.spans]
marker = "days/{SPAN}.done"

[retraining]

[notify]
command = ["sleep", "3"]
on = ["unchanged"]
"""


@pytest.mark.parametrize("repetitions", [1, pytest.param(50, marks=pytest.mark.slow)])
def test_one_runs_and_one_says_who(project, repetitions):
    project.config.write_text(CONFIG)
    (project.root / "days").mkdir(exist_ok=True)
    (project.root / "days" / "1.csv").write_text("a,b,score\n")
    for _ in range(repetitions):
        both = [
            subprocess.Popen(
                project.command("retrain"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                cwd=project.root, env=project.environment,
            )
            for _ in range(2)
        ]  # fmt: skip
        said = [process.communicate(timeout=120) for process in both]
        assert sorted(process.returncode for process in both) == [0, 5]
        [first] = [process for process in both if process.returncode == 0]
        [(out, _)] = [text for process, text in zip(both, said, strict=True) if process.returncode == 0]
        [(_, error)] = [text for process, text in zip(both, said, strict=True) if process.returncode == 5]
        assert out.startswith("twins: unchanged: nothing is in service; no new data")
        holder = re.search(r"another run is at work: process (\d+) on ", error)
        assert holder is not None, error
        assert int(holder[1]) == first.pid
        assert not os.path.exists(f"/proc/{first.pid}")
