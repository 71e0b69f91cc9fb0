"""Steps that do not need each other, side by side, with MariaDB as the metadata database."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.compiled import CompiledPipeline

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("mariadbd") is None, reason="needs mariadbd: apt-get install mariadb-server"
    ),
]

PASSWORD = "only-for-this-test"
KUBEFLOW = """
[kubeflow]
image = "localhost/kembar:test"
volume_claim = "kembar"
mount_path = "{mount}"
database = {{ host = "127.0.0.1", port = {port}, secret = "kembar-database" }}

[kubeflow.overrides.data]
train = "data/train.csv"
eval = "data/eval.csv"
test = "data/test.csv"
"""


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a MariaDB server of this test's own, on loopback."""
    folder = tmp_path_factory.mktemp("mariadb")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = ["--no-defaults", f"--datadir={folder}/data"]
    user = ["--user=root"]
    subprocess.run(
        ["mariadb-install-db", *common, *user, "--auth-root-authentication-method=normal"],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    setup = folder / "setup.sql"
    setup.write_text(  # a statement a line, or the server takes none
        "CREATE DATABASE kembar;\n"
        f"CREATE USER 'kembar'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';\n"
        "GRANT ALL ON kembar.* TO 'kembar'@'127.0.0.1';\n"
    )
    listen = [
        f"--port={port}",
        "--bind-address=127.0.0.1",
        f"--socket={folder}/socket",
        "--skip-name-resolve",
    ]
    server = subprocess.Popen(
        ["mariadbd", *common, *user, *listen, f"--init-file={setup}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    account = ["--no-defaults", "-h127.0.0.1", f"-P{port}", "-ukembar", f"-p{PASSWORD}", "kembar"]
    deadline = time.monotonic() + 60
    while subprocess.run(["mariadb", *account, "-e", "SELECT 1"], capture_output=True, timeout=20).returncode:
        assert time.monotonic() < deadline, "mariadbd did not let the account in"
        time.sleep(0.2)
    yield port
    server.terminate()
    server.wait(timeout=60)


def test_independent_steps_run_side_by_side(project, pairs, database, tmp_path):
    mount = project.root / "mnt"
    (mount / "data").mkdir(parents=True)
    for split, rows in {"train": 300, "eval": 100, "test": 100}.items():
        project.write(split, pairs[split][:rows]).rename(mount / "data" / f"{split}.csv")
    with project.config.open("a") as file:
        file.write(KUBEFLOW.format(mount=mount, port=database))
    output = project.root / "pipeline.yaml"
    subprocess.run(
        [project.command("compile")[0], "compile", str(project.config), "--output", str(output)],
        check=True, capture_output=True, cwd=project.root, env=project.environment, timeout=120,
    )  # fmt: skip
    assert PASSWORD not in output.read_text()
    secrets = {"kembar-database": {"username": "kembar", "password": PASSWORD}}
    pipeline = CompiledPipeline(output, tmp_path, secrets)
    together: list[tuple[str, str]] = []
    working: dict[str, subprocess.Popen] = {}

    def seen(name: str, process: subprocess.Popen) -> None:
        together.extend((other, name) for other, one in working.items() if one.poll() is None)
        working[name] = process

    runs = pipeline.run("parallel", workers=2, on_start=seen)
    failed = {name: run.log[-3_000:] for name, run in runs.items() if run.statuses != [0]}
    assert not failed, "\n".join(f"{name}:\n{log}" for name, log in failed.items())
    assert together, "no two steps ran at the same time"
    summary = json.loads((mount / "twins" / "runs" / "parallel" / "summary.json").read_text())
    assert summary["status"] == "pushed"
    assert not Path(mount / "twins" / "metadata.sqlite").exists()
