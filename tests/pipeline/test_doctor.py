from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from importlib import metadata
from types import SimpleNamespace

import pytest

from pipeline import doctor


def test_a_healthy_machine_is_ok_on_every_line(monkeypatch, capfd, new_terminal):
    monkeypatch.setattr(
        doctor, "CHECKS", {"python": lambda: ("3.11.7", None), "disk": lambda: ("99 GB", None)}
    )
    assert doctor.examine(new_terminal()) == 0
    assert capfd.readouterr().out == "ok   python             3.11.7\nok   disk               99 GB\n"


def test_one_bad_finding_is_status_1_and_says_what_to_do(monkeypatch, capfd, new_terminal):
    monkeypatch.setattr(
        doctor, "CHECKS", {"python": lambda: ("3.13.0", "run make setup"), "disk": lambda: ("99 GB", None)}
    )
    assert doctor.examine(new_terminal()) == 1
    assert capfd.readouterr().out.splitlines() == [
        "BAD  python             3.13.0: run make setup",
        "ok   disk               99 GB",
    ]


@pytest.mark.parametrize("name", [name for name in doctor.CHECKS if name != "native libraries"])
def test_this_machine_passes(name):
    found, fix = doctor.CHECKS[name]()
    assert found
    assert fix is None


def test_another_python_is_bad(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 12, 0))
    assert doctor._python()[1] == "TFX 1.21 needs Python 3.11: run make setup"


def test_missing_packages_are_named(monkeypatch):
    real = metadata.version

    def version(name):
        if name in ("tfx", "kfp"):
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(metadata, "version", version)
    found, fix = doctor._packages()
    assert fix == "tfx, kfp missing: run make setup"
    assert "tensorflow 2.21" in found
    assert "tfx 1" not in found


@pytest.mark.parametrize(
    ("version", "fix"),
    [
        ("glibc 2.41", None),
        ("glibc 2.38", None),
        ("glibc 2.36", "glibc 2.38 is needed: run make setup"),
        ("", "glibc 2.38 is needed: run make setup"),
        (None, "glibc 2.38 is needed: run make setup"),
    ],
)
def test_the_c_library(monkeypatch, version, fix):
    monkeypatch.setattr(os, "confstr", lambda _: version)
    assert doctor._c_library()[1] == fix


@pytest.mark.parametrize("there", [True, False])
def test_a_private_c_library_is_named(monkeypatch, tmp_path, there):
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    if there:
        (tmp_path / "native").mkdir()
    found, _ = doctor._c_library()
    assert found.endswith(f", private copy in {tmp_path}/native" if there else ", the system's own")


def test_native_libraries_are_tried_in_a_process_of_their_own(monkeypatch):
    said = "Traceback\nImportError: version `GLIBC_2.38' not found\n"
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=1, stderr=said))
    found, fix = doctor._native_libraries()
    assert found == "ml-metadata or tensorflow-data-validation do not load"
    assert fix == "ImportError: version `GLIBC_2.38' not found: run make clean setup"
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=-11, stderr=""))
    assert doctor._native_libraries()[1] == "no message: run make clean setup"
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=0, stderr="noise"))
    assert doctor._native_libraries() == ("ml-metadata and tensorflow-data-validation load", None)


def test_sources_without_bytecode_are_slow(monkeypatch, tmp_path):
    class File:
        def __init__(self, name: str) -> None:
            self.name = name

        def __str__(self) -> str:
            return self.name

        def locate(self):
            return tmp_path / self.name

    files = [File("tfx/__init__.py"), File("tfx/deep/__init__.py"), File("tfx/version.py")]
    for file in files:
        file.locate().parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "tfx" / "__pycache__").mkdir()
    (tmp_path / "tfx" / "__pycache__" / "__init__.cpython-311.pyc").touch()
    monkeypatch.setattr(metadata, "files", lambda _: files)
    assert doctor._bytecode() == (
        "1 of 2 packages of TFX compiled",
        "every start takes 30 s: run make clean setup",
    )


def test_a_full_disk_and_a_small_memory_are_bad(monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2 * 2**30))
    assert doctor._disk() == ("2 GB free here", "5 GB are needed: free some")
    monkeypatch.setattr(os, "sysconf", lambda name: 4096 if name == "SC_PAGE_SIZE" else 2**30 // 4096)
    found, fix = doctor._memory()
    assert found.startswith("1 GB, ")
    assert fix == "4 GB are needed"


def test_a_gpu_is_optional_but_a_broken_driver_is_not(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert doctor._gpu() == ("none, training runs on the CPU", None)
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/nvidia-smi")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=9, stdout=""))
    assert doctor._gpu() == ("nvidia-smi fails", "check the driver")
    two = SimpleNamespace(returncode=0, stdout="H100, 81559 MiB\nH100, 81559 MiB\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: two)
    assert doctor._gpu() == ("H100, 81559 MiB; H100, 81559 MiB", None)


def test_the_python_that_runs_is_named():
    assert doctor._python()[0] == f"{platform.python_version()} at {sys.executable}"
