"""What holds for all tests."""

from __future__ import annotations

import ast
from pathlib import Path

TESTS = Path(__file__).parent


def imported(source: str) -> list[str]:
    """The last part of each module that is imported, and what is taken from modules."""
    nodes = list(ast.walk(ast.parse(source)))
    names = [
        alias.name for node in nodes if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names
    ]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
    return [name.rpartition(".")[2] for name in names]


def test_no_test_imports_from_another():
    found = {
        str(path.relative_to(TESTS)): name
        for path in sorted(TESTS.rglob("*.py"))
        for name in imported(path.read_text(encoding="utf-8"))
        if name.startswith("test_")
    }
    assert found == {}, "what tests share belongs into a module that is no test"


def test_every_way_to_import_a_test_is_seen():
    for line in (
        "import test_a",
        "import tests.x.test_a",
        "from tests.x import test_a",
        "from test_a import b",
    ):
        assert "test_a" in imported(line), line
    assert "test_a" in imported("def f():\n    from tests.x.test_a import b")
