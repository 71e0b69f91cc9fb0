"""The compiled pipeline in real containers: our image, kfp's own runner, podman."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import docker
import pytest
from kfp import local
from kfp.components import load_component_from_file

from pipeline.graph.fingerprint import ROOT, code_fingerprint

PYTHON = Path(sys.base_prefix)
MISSING = [name for name in ("podman", "runc", "debootstrap") if shutil.which(name) is None]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1_800),
    pytest.mark.skipif(bool(MISSING) or os.geteuid() != 0, reason=f"needs root and {', '.join(MISSING)}"),
    pytest.mark.skipif(Path("/usr") == PYTHON, reason="needs a Python 3.11 that can be copied into a base"),
]

BASE, IMAGE = "localhost/kembar-base:test", "localhost/kembar:test"
# What Python's own modules link to.
LIBRARIES = "ca-certificates,libbz2-1.0,libffi8,liblzma5,libsqlite3-0,libssl3t64,zlib1g"
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
ENGINE = """
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=20000:20000"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
KUBEFLOW = f"""
[kubeflow]
image = "{IMAGE}"
volume_claim = "kembar"

[kubeflow.overrides.data]
train = "data/train.csv"
eval = "data/eval.csv"
test = "data/test.csv"
"""


def call(*command: str, environment: dict[str, str], **options) -> str:
    done = subprocess.run(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options
    )
    assert done.returncode == 0, f"{command}: {done.stdout[-3_000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    engine = tmp_path_factory.mktemp("engine") / "containers.conf"
    engine.write_text(ENGINE)
    return {**os.environ, "CONTAINERS_CONF": str(engine)}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> str:
    """`make image`, on a Debian 13 of this test's own, with this machine's Python where Docker's has one."""
    base = tmp_path_factory.mktemp("base")
    root = base / "root"
    call(
        "debootstrap", "--variant=minbase", f"--include={LIBRARIES}", "trixie", str(root),
        "http://deb.debian.org/debian", environment=environment,
    )  # fmt: skip
    ignored = shutil.ignore_patterns("site-packages", "test", "__pycache__")
    shutil.copytree(PYTHON, root / "usr" / "local", symlinks=True, dirs_exist_ok=True, ignore=ignored)
    (root / "usr/local/lib/python3.11/site-packages").mkdir()
    shutil.copy(AUTHORITIES, root / AUTHORITIES[1:])  # a network may have an authority of its own
    call("ldconfig", "-r", str(root), environment=environment)
    with tarfile.open(base / "root.tar", "w") as archive:
        archive.add(root, arcname=".")
    path = "PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
    changes = ["--change", f"ENV {path}", "--change", f"ENV PIP_CERT={AUTHORITIES}"]
    call("podman", "import", *changes, str(base / "root.tar"), BASE, environment=environment)
    call(
        "make", "image", f"PYTHON={sys.executable}", f"IMAGE={IMAGE}",
        f"BUILD=--network host --build-arg BASE={BASE}", cwd=ROOT, environment=environment,
    )  # fmt: skip
    return IMAGE


class Engine(NamedTuple):
    """Podman behind Docker's protocol."""

    address: str
    client: docker.DockerClient


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Iterator[Engine]:
    socket = tmp_path_factory.mktemp("podman") / "socket"
    address = f"unix://{socket}"
    service = subprocess.Popen(["podman", "system", "service", "--time=0", address], env=environment)
    while not socket.exists():
        assert service.poll() is None
        time.sleep(0.1)
    client = docker.DockerClient(address, timeout=600)
    yield Engine(address, client)
    client.close()
    service.terminate()
    service.wait(timeout=60)


def test_the_image_is_what_its_label_says(image, engine):
    attributes = engine.client.images.get(image).attrs
    code = code_fingerprint("pipeline", "components", "trainer", "schemas")
    assert attributes["Config"]["Labels"]["kembar.code"] == code
    assert attributes["Config"]["User"] == "1000:1000"
    inside = (
        "import os, shutil; from pipeline.graph.fingerprint import code_fingerprint as code; "
        "print(os.getuid(), shutil.which('g++'), shutil.which('uv'), "
        "code('pipeline', 'components', 'trainer', 'schemas'))"
    )
    said = engine.client.containers.run(image, ["python", "-c", inside], network_mode="none", remove=True)
    assert said.decode().split() == ["1000", "None", "None", code]


def test_the_compiled_pipeline_pushes_a_model(image, engine, project, pairs, tmp_path, monkeypatch):
    mount, outputs = project.root / "mnt", project.root / "outputs"
    (mount / "data").mkdir(parents=True)
    outputs.mkdir()
    for split, rows in {"train": 300, "eval": 100, "test": 100}.items():
        project.write(split, pairs[split][:rows]).rename(mount / "data" / f"{split}.csv")
    call("chown", "-R", "1000:1000", str(mount), str(outputs), environment=project.environment)
    with project.config.open("a") as file:
        file.write(KUBEFLOW)
    compiled = project.root / "pipeline.yaml"
    kembar = project.command("compile")[0]
    call(kembar, "compile", str(project.config), "--output", str(compiled), environment=project.environment)

    monkeypatch.setenv("DOCKER_HOST", engine.address)
    volume = docker.types.Mount("/mnt/kembar", str(mount), type="bind")
    local.init(
        local.DockerRunner(network_mode="none", mounts=[volume]),
        pipeline_root=str(outputs),
        raise_on_error=False,
    )
    pipeline = load_component_from_file(str(compiled))
    # kfp.local runs the DAG, and then refuses the exit task; tests of the commands run that one too.
    with pytest.raises(NotImplementedError, match="ExitHandler"):
        pipeline()

    # It calls a container that failed a success, so what counts is what is there.
    [version] = [path for path in (mount / "twins/serving/twins").iterdir() if path.name.isdigit()]
    assert (version / "saved_model.pb").is_file()
    assert version.stat().st_uid == 1000
    [metrics] = outputs.rglob("quality-gate/executor_output.json")
    shown = json.loads(metrics.read_text())["artifacts"]["metrics"]["artifacts"][0]["metadata"]
    assert -1 <= shown["test_spearman"] <= 1
