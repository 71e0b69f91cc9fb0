"""A log that no client can fill."""

import logging
import os
import subprocess
import sys
from pathlib import Path

from pipeline.serving.log import Sparse

ROOT = Path(__file__).parents[3]
# The file is what the process writes to; how long it may be is in bytes.
ROTATES = """
import os, sys
from pathlib import Path
from pipeline.serving.log import rotate
log = Path(sys.argv[1])
fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
os.dup2(fd, 1), os.dup2(fd, 2)
for number in range(4):
    os.write(2, b"%d" % number * 60)
    rotate(log, 100)
rotate(Path(sys.argv[2]), 0)
"""


def record(message: str, line: int) -> logging.LogRecord:
    return logging.LogRecord("a", logging.WARNING, "a.py", line, message, (), None)


def test_a_kind_of_message_is_shown_a_few_times_and_then_counted(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("pipeline.serving.log.time.monotonic", lambda: now[0])
    sparse = Sparse(most=2, window=60)
    assert [sparse.filter(record("x", 1)) for _ in range(5)] == [True, True, False, False, False]
    assert sparse.filter(record("y", 2))  # another kind
    now[0] += 61
    late = record("x", 1)
    assert sparse.filter(late)
    assert late.getMessage() == "x (and 3 more like an earlier one)"


def test_a_log_that_is_long_begins_anew(tmp_path):
    log, other = tmp_path / "serve.log", tmp_path / "other"
    other.write_text("not ours")
    subprocess.run(
        [sys.executable, "-c", ROTATES, log, other], check=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert (tmp_path / "serve.log.1").read_text() == "2" * 60 + "3" * 60
    assert log.read_text() == ""
    assert log.stat().st_mode & 0o777 == 0o600
    assert other.read_text() == "not ours"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "serve.log", "serve.log.1"]
