"""Fingerprints of our code for the cache: TFX sees that a path is the same, not that the file has changed."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
# Installed, they stand beside all other packages.
_OURS = ("pipeline", "components", "trainer", "schemas")
# It imports the settings of all families, whichever is trained, and the other one each family by its name.
_SETTINGS, _SEAM = "trainer.spec", "trainer.families"


def step_fingerprint(*modules: str, family: str | None = None) -> str:
    """SHA-256 over the Python source that a step runs.

    Args:
      modules: Where the step's code is, such as `components.evaluator.component`; what these import counts
        too, and what that imports, as far as it is ours.
      family: The module of the family that is trained, such as `trainer.pair.family`: its settings count, and
        all of it where the step asks it. Of other families nothing counts.

    Raises:
      FileNotFoundError: there is no such module.
    """
    return _digest(imported(*modules, family=family))


def imported(*modules: str, family: str | None = None) -> list[Path]:
    """The files below the project's root that `step_fingerprint` reads, sorted."""
    names = [*modules]
    visited: set[str] = set()
    files: set[Path] = set()
    while names:
        name = names.pop()
        if name in visited:
            continue
        visited.add(name)
        file = _file_of(name)
        if file is None:
            if name in (*modules, family):
                raise FileNotFoundError(f"{name}: no module below {ROOT}")
            continue  # another's, or no module but a name in one
        files.add(file)
        for module in _imports(file.read_bytes(), name if file.name == "__init__.py" else _parent(name)):
            if not (name == _SETTINGS and _of_other_family(module, family)):
                names.append(module)
        names.append(_parent(name))
        if name == _SEAM and family:
            names.append(family)
    return sorted(files)


def code_fingerprint(*packages: str) -> str:
    """SHA-256 over all Python source of folders under the project's root, such as `components`."""
    return _digest(file for package in packages for file in _files(ROOT / package))


def files_fingerprint(paths: Iterable[Path]) -> str:
    """SHA-256 over the content of files, and of all files in folders; what is not there counts nothing.

    For what a step reads besides its inputs, such as pretrained weights.
    """
    digest = hashlib.sha256()
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                digest.update(f"{file.relative_to(path)}\0{file.stat().st_size}\0".encode())
                with file.open("rb") as content:
                    digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()


def _digest(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.relative_to(ROOT).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def _files(path: Path) -> list[Path]:
    return sorted(path.rglob("*.py")) if path.is_dir() else [path]


def _file_of(name: str) -> Path | None:
    """The file of a module of ours; None where there is none."""
    if name.split(".")[0] not in _OURS:
        return None
    path = ROOT.joinpath(*name.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def _of_other_family(name: str, family: str | None) -> bool:
    folder = ".".join(name.split(".")[:2])
    return _file_of(f"{folder}.family") is not None and folder != _parent(family or "")


def _parent(name: str) -> str:
    return name.rpartition(".")[0]


@cache
def _imports(source: bytes, package: str) -> frozenset[str]:
    """Return what a module of `package` imports, wherever in it: modules, and names that may be modules."""
    return frozenset(name for node in _nodes(ast.parse(source)) for name in _named(node, package))


def _nodes(node: ast.AST) -> Iterator[ast.AST]:
    """All parts of a module but those for type checkers, which never run."""
    typed = isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
    yield node
    for part in node.orelse if isinstance(node, ast.If) and typed else ast.iter_child_nodes(node):
        yield from _nodes(part)


def _named(node: ast.AST, package: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (name.name for name in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
        module = ".".join([*base, *([node.module] if node.module else [])])
        yield module
        yield from (f"{module}.{name.name}" for name in node.names)


if __name__ == "__main__":
    # For the label of an image; nothing but the standard library is imported, so no set-up is needed.
    print(code_fingerprint(*_OURS))  # noqa: T201
