"""Puts small faults into modules, one at a time, and counts those that the modules' own tests notice.

    make mutate
    make mutate MODULES="cron losses"

The faults are Cosmic Ray's. Nothing is written into the tree: each mutant is a copy of this process that
takes the mutated source in place of the file and runs the module's tests up to the first failure. What the
tests import from other packages, TensorFlow among it, is imported before the copies are made, and what is
ours is compiled once, into a temporary folder. Prints a line for each module and the mutants that survived;
exit status 1 where less than nine in ten of a module were killed.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import importlib.abc
import importlib.util
import multiprocessing
import os
import re
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import suppress
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
sys.dont_write_bytecode = True

import pytest  # noqa: E402 - behind the environment
from cosmic_ray.ast import ast_nodes, get_ast  # noqa: E402
from cosmic_ray.mutating import mutate_code  # noqa: E402
from cosmic_ray.plugins import get_operator, operator_names  # noqa: E402
from hypothesis import Phase, settings  # noqa: E402

# Keys, defaults and bounds of all sections are held against docs/configuration.md.
_KEYS = "docs/test_docs.py::test_every_key_is_in_the_configuration_guide_with_its_type_and_default"
_MISTAKES = (
    "pipeline/config/test_mistakes.py::test_a_setting_that_is_none_is_one_line",
    "pipeline/config/test_mistakes.py::test_a_file_that_is_no_configuration_is_one_line_for_every_command",
)
_CONFIGURATION = ("pipeline/config/test_sections.py", _KEYS)
# Module to the tests that are meant for it, those that notice most first.
TESTS: dict[str, tuple[str, ...]] = {
    "components/quality_gate/decision.py": ("components/test_quality_decision.py", _KEYS),
    "components/quality_gate/noise.py": ("components/test_quality_noise.py",),
    "components/retraining_gate/decision.py": ("components/test_retraining_decision.py",),
    "components/example_gen/splits.py": ("components/test_splits.py",),
    "components/example_gen/keys.py": ("components/test_keys.py",),
    "trainer/pair/losses.py": ("trainer/pair/test_losses.py",),
    "trainer/vae/losses.py": ("trainer/vae/test_vae_losses.py",),
    "trainer/pair/calibration.py": ("trainer/pair/test_calibration.py",),
    "components/version_folder/log.py": (
        "components/version_folder/test_store_values.py",
        "components/version_folder/test_store.py",
        "components/version_folder/test_push.py",
    ),
    "components/version_folder/push.py": (
        "components/version_folder/test_store_values.py",
        "components/version_folder/test_store.py",
        "components/version_folder/test_push.py",
        "components/version_folder/test_push_order.py",
    ),
    "components/version_folder/pins.py": (
        "components/version_folder/test_pins.py",
        "components/version_folder/test_mirror.py",
    ),
    "components/version_folder/model_config.py": ("components/version_folder/test_pins.py",),
    "components/version_folder/mirror.py": ("components/version_folder/test_mirror.py",),
    "pipeline/config/cron.py": ("pipeline/config/test_cron.py",),
    "pipeline/config/configuration.py": ("pipeline/config/test_configuration.py", *_MISTAKES),
    "pipeline/config/toml.py": ("pipeline/config/test_toml.py",),
    "pipeline/config/cluster.py": ("pipeline/config/test_cluster.py", _KEYS),
    "pipeline/serving/serving_config.py": _CONFIGURATION,
    "components/example_gen/data_config.py": _CONFIGURATION,
    "components/data_gate/validation_config.py": _CONFIGURATION,
    "components/bulk_inferrer/bulk_config.py": _CONFIGURATION,
    "components/retraining_gate/retraining_config.py": _CONFIGURATION,
    "trainer/pair/pair_config.py": _CONFIGURATION,
    "trainer/dense/dense_config.py": _CONFIGURATION,
    "trainer/vae/vae_config.py": ("trainer/vae/test_vae_config.py", *_CONFIGURATION),
}
LEAST = 0.9
# Of Cosmic Ray's operators: of the eleven others that a binary operator could become, one; `is` for `==` and
# `+` for a sign are left out, since they often change nothing. Strings stay as they are.
_BINARY = (
    "Add_Sub|Sub_Add|Mul_Div|Div_Mul|FloorDiv_Mod|Mod_FloorDiv|Pow_Mul|LShift_RShift|RShift_LShift"
    "|BitOr_BitAnd|BitAnd_BitOr|BitXor_BitAnd"
)
_ORDER = "(?:Eq|NotEq|Lt|LtE|Gt|GtE)"
_USED = re.compile(
    rf"core/(?:ReplaceBinaryOperator_(?:{_BINARY})|ReplaceComparisonOperator_(?:{_ORDER}_{_ORDER}|Is_IsNot|IsNot_Is)"
    r"|ReplaceUnaryOperator_Delete_\w+|AddNot|Replace(?:True|False|And|Or|Break|Continue)With\w+"
    r"|ExceptionReplacer|NumberReplacer|RemoveDecorator|ZeroIterationForLoop)"
)
# These import the module, or are to.
_OURS = re.compile(r"(?:pipeline|components|trainer|schemas|tests|conftest|test_\w+)(?:\.|$)")


class Mutant(NamedTuple):
    """A module's source with one fault, and the line that it is in."""

    source: str
    line: int
    before: str
    after: str


class _Replaced(SourceFileLoader):
    """Gives one module another source."""

    def __init__(self, name: str, path: str, source: str) -> None:
        super().__init__(name, path)
        self._source = source

    def get_code(self, fullname: str) -> CodeType:
        return compile(self._source, self.path, "exec", dont_inherit=True)


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, module: str, source: str) -> None:
        self._name = module.removesuffix(".py").replace("/", ".")
        self._loader = _Replaced(self._name, str(ROOT / module), source)

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        return importlib.util.spec_from_file_location(fullname, self._loader.path, loader=self._loader)


class _Unannotated(ast.NodeTransformer):
    """Takes out annotations of functions, which nothing evaluates."""

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)


def mutants(module: str) -> Iterator[Mutant]:
    """The faults of a module that change what it means, each once."""
    source = (ROOT / module).read_text(encoding="utf-8")
    nodes = list(ast_nodes(get_ast(source)))
    known = {_meaning(source)}
    for name in operator_names():
        if not _USED.fullmatch(name):
            continue
        operator: Any = get_operator(name)()
        for occurrence in range(sum(1 for node in nodes for _ in operator.mutation_positions(node))):
            try:
                mutated = str(mutate_code(source, operator, occurrence))
            except AttributeError:  # Cosmic Ray cannot replace an exception with a dot in its name
                continue
            meaning = _meaning(mutated)
            if meaning not in known:
                known.add(meaning)
                yield Mutant(mutated, *_difference(source, mutated))


def _meaning(source: str) -> str:
    try:
        return ast.dump(_Unannotated().visit(ast.parse(source)))
    except SyntaxError:  # no program is no mutant
        return ""


def _difference(source: str, mutated: str) -> tuple[int, str, str]:
    pairs = zip(source.splitlines(), mutated.splitlines(), strict=False)
    return next(
        (line, before.strip(), after.strip())
        for line, (before, after) in enumerate(pairs, 1)
        if before != after
    )


class _Unshrunk:
    """A plugin of pytest: an example that fails is enough, it need not be the smallest."""

    @staticmethod
    def pytest_configure() -> None:
        settings.register_profile("unshrunk", settings(), phases=(Phase.explicit, Phase.generate))
        settings.load_profile("unshrunk")


def _run_tests(module: str, source: str, scratch: Path, limit: float) -> None:
    """What a copy of this process does: the module's tests, with this source in place of the file."""
    os.setsid()
    log = os.open(scratch / "log", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.environ |= {"TMPDIR": str(scratch), "HYPOTHESIS_STORAGE_DIRECTORY": str(scratch)}
    tempfile.tempdir = None
    sys.meta_path.insert(0, _Finder(module, source))
    # Its plugins are imported already.
    options = ["-x", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
    options += ["-o", f"timeout={limit:.0f}"]
    status = pytest.main([*options, *(f"tests/{name}" for name in TESTS[module])], plugins=[_Unshrunk()])
    (scratch / "modules").write_text("\n".join(sys.modules))
    sys.exit(status)


def _passes(module: str, source: str, limit: float, scratch: Path) -> bool:
    copy = multiprocessing.get_context("fork").Process(
        target=_run_tests, args=(module, source, scratch, limit)
    )
    copy.start()
    try:
        copy.join(2 * limit)
    finally:
        with suppress(ProcessLookupError):  # with all that the tests have started
            os.killpg(copy.pid or 0, signal.SIGKILL)
        copy.join()
    return copy.exitcode == 0


def _examine(module: str, compiled: str) -> bool:
    """Runs the tests on every mutant, prints what became of them; whether enough were killed.

    Args:
      module: A key of TESTS.
      compiled: A folder for the bytecode of what is ours.

    Raises:
      RuntimeError: the tests fail without a fault too.
    """
    source = (ROOT / module).read_text(encoding="utf-8")
    started = time.monotonic()
    for _ in range(2):  # again with what they import, to know their time
        before = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            if not _passes(module, source, 600, Path(folder)):
                raise RuntimeError(f"{module}: its tests fail: {Path(folder, 'log').read_text()[-2000:]}")
            limit = 10 + 5 * (time.monotonic() - before)
            _import(Path(folder, "modules").read_text().split())
        # Only behind the imports, or all of TensorFlow would be compiled again.
        sys.pycache_prefix, sys.dont_write_bytecode = compiled, False
    count, survivors = 0, []
    for mutant in mutants(module):
        count += 1
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            if _passes(module, mutant.source, limit, Path(folder)):
                survivors.append(mutant)
    killed = (count - len(survivors)) / max(count, 1)
    print(
        f"{module}: {count} mutants, {killed:.1%} killed, {len(survivors)} survivors, "
        f"{time.monotonic() - started:.0f} s",
        flush=True,
    )
    for mutant in survivors:
        print(f"  {mutant.line}: {mutant.before}\n    as {mutant.after}", flush=True)
    return killed >= LEAST


def _import(names: list[str]) -> None:
    """Imports what is not ours."""
    sys.stderr.flush()
    kept, silent = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 2)  # TensorFlow greets
    for name in names:
        if not _OURS.match(name):
            with suppress(Exception):  # some names are no modules of their own
                importlib.import_module(name)
    os.dup2(kept, 2)
    os.close(kept)
    os.close(silent)


def main() -> int:
    """Examines the modules whose path has one of the words in it, or all; the exit status."""
    parser = argparse.ArgumentParser(description="Counts the faults that the modules' own tests notice.")
    parser.add_argument("words", nargs="*", metavar="WORD", help="part of a module's path")
    words = parser.parse_args().words or [""]
    chosen = [module for module in TESTS if any(word in module for word in words)]
    if not chosen:
        parser.error(f"no module has {' or '.join(words)} in its path: known are {', '.join(TESTS)}")
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # what is there goes first
    os.chdir(ROOT)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as compiled:
        short = [module for module in chosen if not _examine(module, compiled)]
    return int(bool(short))


if __name__ == "__main__":
    sys.exit(main())
