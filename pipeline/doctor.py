"""`kembar doctor`: what this machine has, and what is wrong with it."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from pipeline.store.workdir import Workdir
from pipeline.terminal import Terminal
from trainer.errors import ServingError

PACKAGES = ("tfx", "tensorflow", "tensorflow-transform", "apache-beam", "keras", "kfp", "ml-metadata")
DISK_GB_NEEDED = 5
MEMORY_GB_NEEDED = 4

# What was found, and None or what to do about it.
Finding = tuple[str, str | None]


def examine(terminal: Terminal, workdir: Workdir | None = None) -> int:
    """Prints one line a check, of the machine and of a pipeline's versions; 0 when all is well, else 1."""
    healthy = True
    checks = dict(CHECKS)
    if workdir is not None:
        checks["versions"] = lambda: _versions(workdir)
    for name, check in checks.items():
        finding, fix = check()
        healthy = healthy and fix is None
        terminal.result(
            f"{'ok ' if fix is None else 'BAD'}  {name:<18} {finding}" + (f": {fix}" if fix else "")
        )
    return 0 if healthy else 1


def _python() -> Finding:
    python = f"{platform.python_version()} at {sys.executable}"
    return python, None if sys.version_info[:2] == (3, 11) else "TFX 1.21 needs Python 3.11: run make setup"


def _packages() -> Finding:
    present, missing = [], []
    for name in PACKAGES:
        try:
            present.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    return ", ".join(present), f"{', '.join(missing)} missing: run make setup" if missing else None


def _c_library() -> Finding:
    # The one that this process runs on, which may be the private one.
    version = os.confstr("CS_GNU_LIBC_VERSION") or "unknown"
    native = Path(sys.prefix) / "native"
    where = f", private copy in {native}" if native.is_dir() else ", the system's own"
    numbers = (
        tuple(int(part) for part in version.split()[-1].split(".")[:2]) if version[-1:].isdigit() else (0, 0)
    )
    return version + where, None if numbers >= (2, 38) else "glibc 2.38 is needed: run make setup"


def _native_libraries() -> Finding:
    code = "import ml_metadata.metadata_store, tensorflow_data_validation"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if done.returncode == 0:
        return "ml-metadata and tensorflow-data-validation load", None
    last = (done.stderr.strip().splitlines() or ["no message"])[-1]
    return "ml-metadata or tensorflow-data-validation do not load", f"{last}: run make clean setup"


def _bytecode() -> Finding:
    files = metadata.files("tfx") or []
    sources = [Path(str(file.locate())) for file in files if str(file).endswith("__init__.py")]
    compiled = sum(1 for file in sources if any((file.parent / "__pycache__").glob("__init__.*.pyc")))
    fix = None if compiled == len(sources) else "every start takes 30 s: run make clean setup"
    return f"{compiled} of {len(sources)} packages of TFX compiled", fix


def _memory() -> Finding:
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    fix = None if gigabytes >= MEMORY_GB_NEEDED else f"{MEMORY_GB_NEEDED} GB are needed"
    return f"{gigabytes:.0f} GB, {os.cpu_count()} cores", fix


def _disk() -> Finding:
    gigabytes = shutil.disk_usage(Path.cwd()).free / 2**30
    fix = None if gigabytes >= DISK_GB_NEEDED else f"{DISK_GB_NEEDED} GB are needed: free some"
    return f"{gigabytes:.0f} GB free here", fix


def _gpu() -> Finding:
    if shutil.which("nvidia-smi") is None:
        return "none, training runs on the CPU", None
    query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
    done = subprocess.run(query, capture_output=True, text=True)
    if done.returncode != 0:
        return "nvidia-smi fails", "check the driver"
    return "; ".join(done.stdout.strip().splitlines()), None


def _versions(workdir: Workdir) -> Finding:
    from components.version_folder.push import in_service, versions
    from pipeline.store.versions import problems

    try:
        served = in_service(workdir.serving, workdir.name)
        count = f"{len(versions(workdir.serving))} in {workdir.serving}, {served or 'none'} in service"
        return count, "; ".join(problems(workdir).values()) or None
    except ServingError as error:
        return str(workdir.serving), str(error)


CHECKS: dict[str, Callable[[], Finding]] = {
    "python": _python,
    "packages": _packages,
    "C library": _c_library,
    "native libraries": _native_libraries,
    "bytecode": _bytecode,
    "memory": _memory,
    "disk": _disk,
    "GPU": _gpu,
}
