from __future__ import annotations

import os
import platform
import shutil
import subprocess

import native_libs
import pytest
from native_libs import SetupError, needs_private_libs, system_glibc

APT = """\
http://mirror.example/debian/ Debian
http://mirror.example/debian-security/ Debian-Security
http://other.example/ubuntu/ Ubuntu
"""


@pytest.fixture
def machine(monkeypatch):
    """Makes this machine look like another one."""

    def pretend(
        system="Linux", kind="x86_64", libc="glibc 2.36", tools=("apt-get", "dpkg"), release="debian"
    ):
        monkeypatch.setattr(platform, "system", lambda: system)
        monkeypatch.setattr(platform, "machine", lambda: kind)
        monkeypatch.setattr(os, "confstr", lambda _: libc)
        monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}" if name in tools else None)

        def os_release():
            if release is None:
                raise OSError
            return {"ID": release}

        monkeypatch.setattr(platform, "freedesktop_os_release", os_release)

    return pretend


@pytest.mark.parametrize(
    ("libc", "version"),
    [
        ("glibc 2.36", (2, 36)),
        ("glibc 2.41", (2, 41)),
        ("glibc 2.38.9000", (2, 38)),
        ("musl 1.2", (0, 0)),
        ("", (0, 0)),
        (None, (0, 0)),
    ],
)
def test_the_c_library_is_recognized(machine, libc, version):
    machine(libc=libc)
    assert system_glibc() == version


def test_a_system_without_that_name_has_no_glibc(monkeypatch):
    def unknown(name):
        raise ValueError(name)

    monkeypatch.setattr(os, "confstr", unknown)
    assert system_glibc() == (0, 0)


@pytest.mark.parametrize("libc", ["glibc 2.38", "glibc 2.41", "glibc 3.0"])
def test_a_new_system_needs_nothing(machine, libc):
    machine(libc=libc, tools=(), release=None)
    assert needs_private_libs() is False


def test_an_old_debian_gets_libraries_of_its_own(machine):
    machine()
    assert needs_private_libs() is True


WHEELS = (
    "TFX 1.21 has wheels for Linux on x86_64, this is {}: use the container image "
    "(make image, from python:3.11-slim-trixie)"
)
OLD = "TFX 1.21 needs glibc >= 2.38 and this system has {}; only Debian is helped to a newer one: use Debian 13, Ubuntu 24.04, or the container image (make image, from python:3.11-slim-trixie)"  # noqa: E501


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"system": "Darwin", "kind": "arm64"}, WHEELS.format("Darwin on arm64")),
        ({"system": "Windows", "kind": "AMD64"}, WHEELS.format("Windows on AMD64")),
        ({"kind": "aarch64"}, WHEELS.format("Linux on aarch64")),
        ({"release": "ubuntu", "libc": "glibc 2.35"}, OLD.format("glibc 2.35")),
        ({"release": None, "libc": "glibc 2.17"}, OLD.format("glibc 2.17")),
        ({"tools": ()}, OLD.format("glibc 2.36")),
        ({"release": "alpine", "libc": "", "tools": ()}, OLD.format("no glibc")),
    ],
)  # fmt: skip
def test_other_systems_are_told_what_is_needed(machine, options, message):
    machine(**options)
    with pytest.raises(SetupError) as caught:
        needs_private_libs()
    assert str(caught.value) == message


def test_the_mirror_is_that_of_the_machine(monkeypatch, tmp_path):
    monkeypatch.setattr(native_libs, "_call", lambda command: APT)
    monkeypatch.setattr(native_libs, "KEYRING", tmp_path / "missing.gpg")
    assert native_libs._source_line() == "deb http://mirror.example/debian/ trixie main\n"
    (tmp_path / "key.gpg").touch()
    monkeypatch.setattr(native_libs, "KEYRING", tmp_path / "key.gpg")
    assert native_libs._source_line() == (
        f"deb [signed-by={tmp_path}/key.gpg] http://mirror.example/debian/ trixie main\n"
    )


def test_an_apt_without_mirrors_is_told_to_update(monkeypatch):
    monkeypatch.setattr(native_libs, "_call", lambda command: "http://other.example/ubuntu/ Ubuntu\n")
    with pytest.raises(
        SetupError, match="apt knows no Debian mirror: run `apt-get update` once, then try again"
    ):
        native_libs._source_line()


def test_libraries_are_found_where_debian_puts_them(tmp_path):
    native = tmp_path / "native"
    assert native_libs._libraries(native) == []
    for name in (
        "usr/lib/x86_64-linux-gnu/libc.so.6",
        "usr/lib/x86_64-linux-gnu/gconv/libISO.so.1",
        "lib/libgcc_s.so.1",
    ):
        (native / name).parent.mkdir(parents=True, exist_ok=True)
        (native / name).touch()
    assert native_libs._libraries(native) == [native / "lib", native / "usr/lib/x86_64-linux-gnu"]


def test_libraries_without_a_loader_are_an_error(tmp_path):
    with pytest.raises(SetupError, match=r"holds no ld-linux-x86-64.so.2: remove .* and try again"):
        native_libs._patch_interpreter(tmp_path, [tmp_path])


def test_an_interrupted_download_leaves_no_native_folder(monkeypatch, tmp_path):
    def fail(cache):
        raise SetupError("no network")

    monkeypatch.setattr(native_libs, "_download", fail)
    with pytest.raises(SetupError, match="no network"):
        native_libs.install(tmp_path / "venv", tmp_path / "cache")
    assert not (tmp_path / "venv").exists()


def test_a_command_that_fails_is_one_line_with_what_it_said():
    with pytest.raises(SetupError) as caught:
        native_libs._call(["sh", "-c", "echo one; printf 'two\\nthree\\nfour\\nfive\\n' >&2; exit 3"])
    said = str(caught.value)
    assert "\n" not in said.replace("\\n", "")
    assert said.endswith("failed: three | four | five")
    assert native_libs._call(["echo", "fine"]) == "fine\n"


def test_commands_speak_english(monkeypatch):
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert native_libs._call(["sh", "-c", "echo $LC_ALL"]) == "C\n"
    assert (
        subprocess.run(["sh", "-c", "echo $LC_ALL"], capture_output=True, text=True).stdout == "de_DE.UTF-8\n"
    )
