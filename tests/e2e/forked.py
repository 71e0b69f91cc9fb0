"""`kembar` commands in processes that are copies of one that has imported TFX already.

An import takes ten seconds, and a compiled run has twenty steps. A copy runs `pipeline.__main__.main` with
arguments, environment and output of its own, as the console script does.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

_IMPORTED = (
    "pipeline.graph.pipeline", "pipeline.runs.gc",
    "pipeline.runs.summary", "pipeline.runs.report", "pipeline.runs.run",
    "pipeline.kubeflow.conclude", "pipeline.kubeflow.compile", "pipeline.runs.local",
    "trainer.run_fn", "trainer.tuner", "trainer.pair.family", "trainer.vae.family", "trainer.dense.family",
    "tensorflow_data_validation", "tensorflow_model_analysis", "tfx.components", "kfp.local",
    "sklearn.linear_model",
)  # fmt: skip


class Ran(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str


class Forked:
    """The process that copies are made of."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def launch(self, command: list[str], environment: dict[str, str], log: Path) -> _Ended:
        """Runs `kembar ...` to its end, with both streams in `log`."""
        return _Ended(self._run(command, environment, Path.cwd(), log, log))

    def run(self, command: list[str], environment: Mapping[str, str], folder: Path) -> Ran:
        """Runs `kembar ...` in a folder to its end."""
        with TemporaryDirectory() as scratch:
            out, err = Path(scratch, "out"), Path(scratch, "err")
            status = self._run(command, environment, folder, out, err)
            return Ran(status, out.read_text(), err.read_text())

    def _run(
        self, command: list[str], environment: Mapping[str, str], folder: Path, out: Path, err: Path
    ) -> int:
        assert Path(command[0]).name == "kembar"
        job = {
            "arguments": command[1:],
            "environment": dict(environment),
            "folder": str(folder),
            "streams": [str(out), str(err)],
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(job), file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())

    @staticmethod
    def ended(status: int) -> _Ended:
        """A process that ended so without being one."""
        return _Ended(status)

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)
        self._process.stdout.close()


class _Ended:
    """What is left of a process that has ended, as subprocess.Popen has it."""

    def __init__(self, status: int) -> None:
        self.returncode = status

    def wait(self, timeout: float) -> int:
        del timeout
        return self.returncode


def _run(job: dict[str, Any]) -> None:
    from pipeline.__main__ import main

    for stream, path in enumerate(job["streams"], 1):
        os.dup2(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_TRUNC, 0o644), stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.clear()
    os.environ.update(job["environment"])
    os.chdir(job["folder"])
    sys.argv = ["kembar", *job["arguments"]]
    main()


def _serve() -> None:
    sys.path[0] = str(Path(__file__).parents[2])
    for name in _IMPORTED:
        importlib.import_module(name)
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                _run(json.loads(line))
            finally:
                os._exit(70)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), file=answers, flush=True)


if __name__ == "__main__":
    _serve()
