"""The real server in a process of its own."""

import json
import os
import re
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[3]
PROGRAM = """
import json, sys
from pipeline.serving.limits import RequestLimits
from pipeline.serving.server import serve
limits = RequestLimits(**json.loads(sys.argv[3]))
serve(sys.argv[1], "twin", port=0, grpc_port=int(sys.argv[2]), limits=limits, poll_seconds=0.1)
"""
LINE = re.compile(
    r"serving twin version 1 at (http://127\.0\.0\.1:\d+/v1/models/twin), gRPC at (127\.0\.0\.1:\d+)\n"
)


@contextmanager
def running_server(base_dir, grpc_port="0", **limits):
    """A server in a process of its own: the process, its REST and its gRPC address."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2"}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(base_dir), grpc_port, json.dumps(limits)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=ROOT,
    ) as process:
        try:
            assert process.stdout is not None
            announced = LINE.fullmatch(process.stdout.readline())
            assert announced
            yield process, announced[1], announced[2]
        finally:
            if process.poll() is None:
                process.kill()
