"""The stubs against the libraries that they describe."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIBRARIES = ("tensorflow", "keras", "keras_tuner", "tensorflow_transform", "pyarrow")
# A stub says less than the library has; this is what it must not say.
WRONG = re.compile(
    r"not present at runtime|runtime does not have|differs from runtime|different from stub|incompatible with"
    r"|is not keyword-only|failed to import"
)


def test_names_and_parameters_are_those_of_the_libraries():
    options = ["--ignore-missing-stub", "--ignore-positional-only", "--concise"]
    options += ["--mypy-config-file", "pyproject.toml", "--allowlist", "stubs/allowlist.txt"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", *options, *LIBRARIES],
        cwd=ROOT,
        env={**os.environ, "MYPYPATH": "stubs", "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    lines = done.stdout.splitlines()
    assert any("stub does not have parameter" in line for line in lines), done.stdout + done.stderr
    assert [line for line in lines if WRONG.search(line)] == []
