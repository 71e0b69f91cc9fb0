"""Refuse names that say little, and public classes that have the name of another.

    python scripts/names.py trainer components pipeline schemas

Prints `file:line: name` for each and ends with status 1 where there is any.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

# The field has nouns for what these stand for: reason, verdict, request, summary, candidate, position.
VAGUE = frozenset(
    {"told", "found", "asked", "said", "begun", "one", "ones", "place", "places", "look", "looks"}
    | {"note", "notes", "front", "beginning", "bags"}
)
# TFX's own words: every component has an executor.
SHARED_CLASSES = frozenset({"Executor"})


class Defined(NamedTuple):
    """A name where it gets its meaning."""

    name: str
    line: int
    is_public_class: bool


def definitions(source: str) -> Iterator[Defined]:
    """Names of functions, classes, parameters, variables, attributes and imports' aliases, in no order."""
    tree = ast.parse(source)
    outermost = set(tree.body)
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(name=name):
                yield Defined(name, node.lineno, node in outermost and not name.startswith("_"))
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield Defined(name, node.lineno, False)
            case ast.arg(arg=name):
                yield Defined(name, node.lineno, False)
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield Defined(name, node.lineno, False)
            case ast.ExceptHandler(name=str(name)):
                yield Defined(name, node.lineno, False)
            case ast.alias(asname=str(name)):
                yield Defined(name, node.lineno, False)


def is_vague(name: str) -> bool:
    """True where a part of the name, between underscores, is a word of `VAGUE`."""
    return not VAGUE.isdisjoint(name.lower().split("_"))


def findings(files: Iterable[Path]) -> list[str]:
    """A line for each vague name, and for each public class beyond the first of its name."""
    lines = []
    classes: dict[str, list[str]] = defaultdict(list)
    for file in files:
        for defined in definitions(file.read_text("utf-8")):
            where = f"{file}:{defined.line}"
            if is_vague(defined.name):
                lines.append(f"{where}: {defined.name}: the name says little")
            if defined.is_public_class and defined.name not in SHARED_CLASSES:
                classes[defined.name].append(where)
    for name, (first, *others) in classes.items():
        lines += [f"{other}: {name}: {first} has the name too" for other in others]
    return lines


def main() -> int:
    """Check the folders of the command line; the exit status."""
    files = sorted(path for folder in sys.argv[1:] for path in Path(folder).rglob("*.py"))
    if not files:
        raise SystemExit("names.py: no Python file; give it folders")
    lines = findings(files)
    print("\n".join(lines), end="\n" if lines else "", file=sys.stderr)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
