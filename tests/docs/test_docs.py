"""Documents say what the code does: commands, keys, reasons, exit codes, links. Nothing here loads TFX.

python tests/docs/test_docs.py      prints the tables of docs/configuration.md, without their last column
"""

from __future__ import annotations

import ast
import json
import re
import shlex
import sys
import tomllib
import types
import typing
from collections.abc import Iterable, Iterator
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from components.example_gen.batch import FaultReason
from pipeline.cli import app
from pipeline.config import configuration, mistakes
from pipeline.config.configuration import Config
from pipeline.doctor import CHECKS
from pipeline.store.lock import Locked
from trainer import errors
from trainer.families import MODULES

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCUMENTS = [README, *sorted((ROOT / "docs").rglob("*.md")), ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_SIGNS = {Gt: ">", Ge: "≥", Lt: "<", Le: "≤"}
_NAMES: dict[Any, str] = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "boolean",
    Path: "path",
    timedelta: "duration",
    Any: "any value",
}


def text_of(document: Path) -> str:
    return document.read_text(encoding="utf-8")


def blocks(document: Path, language: str) -> list[str]:
    """The fenced blocks of one language."""
    return [body for kind, body in _FENCE.findall(text_of(document)) if kind == language]


def toml_blocks(whole: bool) -> Iterator[Any]:
    """Every TOML block: a whole configuration names its pipeline, all others are parts of one."""
    for document in DOCUMENTS:
        for number, block in enumerate(blocks(document, "toml"), 1):
            if ("[pipeline]" in block) == whole:
                yield pytest.param(block, id=f"{document.name}-{number}")


# --- the tables of docs/configuration.md, from the models ---------------------------------------------------


def tables() -> dict[str, list[tuple[str, str, str]]]:
    """Heading to the key, type and default of each row."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    for section, field in Config.model_fields.items():
        models = _models(field.annotation)
        for model in models:
            family = f", family {model.model_fields['family'].default}" if len(models) > 1 else ""
            _add_table(found, f"`[{section}]`{family}", section, model)
    return found


def _add_table(found: dict[str, list[tuple[str, str, str]]], title: str, section: str, model: Any) -> None:
    hidden = mistakes.HIDDEN if section == "training" else set()
    rows = found[title] = []
    nested: dict[type[BaseModel], list[str]] = {}
    for key, field in model.model_fields.items():
        if key in hidden:
            continue
        rows.append((key, type_of(field), default_of(field)))
        for below in _models(field.annotation):
            nested.setdefault(below, []).append(key)
    for below, keys in nested.items():  # two keys of one model share a table
        _add_table(found, f"`[{section}]` {' and '.join(keys)}", f"{section}.{keys[0]}", below)


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The models that an annotation allows."""
    options = typing.get_args(annotation) or (annotation,)
    return [option for option in options if isinstance(option, type) and issubclass(option, BaseModel)]


def type_of(field: FieldInfo) -> str:
    """A field's type in words, with its bounds."""
    return _words(field.annotation) + _bounds(field.metadata)


def _words(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return ", ".join(f'`"{value}"`' for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_words(option) for option in arguments if option is not type(None))
    if origin is typing.Annotated:
        return _words(arguments[0]) + _bounds(arguments[1:])
    if origin is tuple:
        item = _words(arguments[0])
        return f"list of {item}" if arguments[-1] is Ellipsis else f"[{', '.join(map(_words, arguments))}]"
    if origin is dict:
        return f"table of {_words(arguments[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "table"
    return _NAMES[annotation]


def _bounds(metadata: Iterable[Any]) -> str:
    limits = [
        f"{sign} {getattr(bound, kind.__name__.lower()):g}"
        for bound in metadata
        for kind, sign in _SIGNS.items()
        if isinstance(bound, kind)
    ]
    least = [f", at least {bound.min_length}" for bound in metadata if isinstance(bound, MinLen)]
    return "".join([f" {', '.join(limits)}" if limits else "", *least])


def default_of(field: FieldInfo) -> str:
    """A default as TOML has it."""
    if field.is_required():
        return "required"
    if isinstance(field.default, BaseModel):
        return "see below"
    if isinstance(field.default, timedelta):
        return f'`"{field.default.total_seconds():.0f}s"`'
    return "none" if field.default is None else f"`{json.dumps(field.default)}`"


def documented_tables() -> dict[str, list[tuple[str, ...]]]:
    """Heading to the first three cells of each row, as docs/configuration.md has them."""
    found: dict[str, list[tuple[str, ...]]] = {}
    heading = ""
    for line in text_of(ROOT / "docs" / "configuration.md").splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        elif line.startswith("| `"):
            key, *others = (cell.strip() for cell in line.strip("|").split("|"))
            found.setdefault(heading, []).append((key.strip("`"), *others[:2]))
            assert all(others[2:3]), f"{heading} {key} has no meaning"
    return found


@pytest.mark.parametrize("heading", tables())
def test_every_key_is_in_the_configuration_guide_with_its_type_and_default(heading):
    rows = documented_tables().get(heading)
    assert rows is not None, f"no table under {heading!r}: run python tests/docs/test_docs.py"
    assert rows == tables()[heading]


def test_the_configuration_guide_has_no_other_tables_of_keys():
    assert documented_tables().keys() == tables().keys()


# --- examples -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", list(toml_blocks(whole=True)))
def test_whole_configurations_load(block, tmp_path):
    path = tmp_path / "example.toml"
    path.write_text(block)
    for files in configuration.load(path).data.sources().values():
        for file in files:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
    loaded = configuration.load(path)
    assert loaded.pipeline.name == tomllib.loads(block)["pipeline"]["name"]
    assert loaded.spec.model.family == tomllib.loads(block).get("model", {}).get("family", "pair")


@pytest.mark.parametrize("block", list(toml_blocks(whole=False)))
def test_parts_of_configurations_have_known_keys(block):
    known = {heading.split("`")[1].strip("[]") for heading in tables()}
    for section, values in tomllib.loads(block).items():
        assert section in known
        keys = {key for heading, rows in tables().items() if f"[{section}]" in heading for key, *_ in rows}
        assert values.keys() <= keys


def test_presets_load():
    for path in sorted((ROOT / "configs").glob("*.toml")):
        assert configuration.load(path).pipeline.name == path.stem


@pytest.mark.parametrize("preset", sorted((ROOT / "configs").glob("*.toml")), ids=lambda path: path.stem)
def test_every_preset_is_in_the_readme(preset):
    assert f"configs/{preset.name}" in text_of(README)


def test_the_minimal_configuration_is_short():
    [minimal] = (block for block in blocks(README, "toml") if "[pipeline]" in block)
    assert len(minimal.splitlines()) <= 12


# --- the command line ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_is_in_the_readme_and_has_help(command):
    assert re.search(rf"^\| `kembar {command}\b", text_of(README), re.MULTILINE)
    assert COMMANDS[command].help
    for parameter in COMMANDS[command].params:
        if parameter.param_type_name == "option":
            assert parameter.help, f"{command} {parameter.name}"


def commands_shown() -> Iterator[Any]:
    """Every `$ kembar ...` line of a console block."""
    for document in DOCUMENTS:
        for block in blocks(document, "console"):
            for line in block.splitlines():
                match = re.match(r"\$ (?:\S*/)?kembar (.+)", line)
                if match:
                    yield pytest.param(match[1], id=f"{document.name}: {match[1][:50]}")


@pytest.mark.parametrize("shown", list(commands_shown()))
def test_commands_that_are_shown_exist_with_their_options(shown):
    name, *arguments = shlex.split(shown, comments=True)
    if name == "--help":
        return
    known = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    used = {argument.partition("=")[0] for argument in arguments if argument.startswith("--")}
    assert used <= known | {"--help"}


def test_make_targets_that_are_named_exist():
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for document in DOCUMENTS:
        used = set(re.findall(r"(?:`|\$ )make ([a-z][a-z-]*)", text_of(document)))
        assert used <= targets, document.name


# --- links --------------------------------------------------------------------------------------------------


@cache
def anchors(document: Path) -> set[str]:
    """Anchors of headings, as GitHub makes them."""
    text = _FENCE.sub("", text_of(document))
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
        for heading in _HEADING.findall(text)
    }


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files_and_headings(document):
    for link in _LINK.findall(_FENCE.sub("", text_of(document))):
        if link.startswith(("http://", "https://")):
            continue
        file, _, anchor = link.partition("#")
        target = (document.parent / file).resolve() if file else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_readme_links_to_every_guide():
    linked = set(_LINK.findall(text_of(README)))
    assert {f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")} <= linked


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_code_that_is_named_exists(document):
    top = "benchmarks|components|configs|pipeline|schemas|scripts|tests|trainer"
    for name in re.findall(rf"`((?:{top})/[\w./-]*)`", text_of(document)):
        assert (ROOT / name).exists(), name


def test_the_layers_of_a_package_are_those_that_the_architecture_shows():
    contracts = tomllib.loads(text_of(ROOT / "pyproject.toml"))["tool"]["importlinter"]["contracts"]
    held = {
        package: [re.split(r" [|:] ", layer) for layer in contract["layers"]]
        for contract in contracts
        for package in contract.get("containers", ())
        if contract["exhaustive"]
    }
    section = text_of(ROOT / "docs" / "architecture.md").split("## Who imports whom")[1].split("\n## ")[0]
    shown = {
        package: [re.findall(r"`(\w+)`", layer) for layer in layers.split("; ")]
        for package, layers in re.findall(r"^\| `(\w+)/` \| (.*) \|$", section, re.MULTILINE)
    }
    assert shown == held
    assert held.keys() == {"pipeline", "components", "trainer"}


# --- reasons, summary, exit codes, families -----------------------------------------------------------------


def test_every_quarantine_reason_is_in_the_data_guide():
    section = text_of(ROOT / "docs" / "data.md").split("## Quarantine")[1].split("\n## ")[0]
    shown = re.findall(r"^\| ([a-zA-Z ]+) \| `", section, re.MULTILINE)
    assert sorted(shown) == sorted(FaultReason)


def keys_of_the_summary() -> set[str]:
    """The keys of the dicts that make summary.json; read as source, because that module imports TFX."""
    found: set[str] = set()
    for file, only in (
        ("runs/summary.py", ()),
        ("store/outcome.py", ()),
        ("runs/run.py", ("summary", "_run_pipeline", "_execute")),
    ):
        tree = ast.parse((ROOT / "pipeline" / file).read_text())
        defined = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
        functions = [function for function in defined if not only or function.name in only]
        for node in (n for function in functions for n in ast.walk(function) if isinstance(n, ast.Dict)):
            found |= {key.value for key in node.keys if isinstance(key, ast.Constant)}  # type: ignore[misc]
    return found


def test_every_key_of_the_summary_is_in_the_operations_guide():
    section = text_of(ROOT / "docs" / "operations.md").split("## summary.json")[1].split("\n## ")[0]
    cells = re.findall(r"^\| (`[^|]*`) \|", section, re.MULTILINE)
    rows = {key for cell in cells for key in re.findall(r"`(\w+)`", cell)}
    example = {}
    for block in re.findall(r"```json\n(.*?)```", section, re.DOTALL):
        example |= json.loads(block)
    nested = {key for part in ("data", "model", "bulk") for key in example[part]}
    nested |= set(example["components"][0])
    assert keys_of_the_summary() == rows
    assert set(example) | nested == rows


def exit_codes_of_a_run() -> dict[str, int]:
    """`pipeline.store.outcome.EXIT_CODES`, read as source for the same reason."""
    tree = ast.parse((ROOT / "pipeline" / "store" / "outcome.py").read_text())
    values: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign):
            [target] = node.targets
            names = [n.id for n in ast.walk(target) if isinstance(n, ast.Name)]
            if names == ["EXIT_CODES"]:
                codes = typing.cast(ast.Dict, node.value)
                return {
                    values[typing.cast(ast.Name, key).id]: ast.literal_eval(value)
                    for key, value in zip(codes.keys, codes.values, strict=True)
                }
            constants = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
            if all(isinstance(constant, ast.Constant) for constant in constants):
                values |= {n: c.value for n, c in zip(names, constants, strict=True)}  # type: ignore[attr-defined]
    raise AssertionError("pipeline/store/outcome.py has no EXIT_CODES")


def test_exit_codes_agree_with_the_code():
    table = text_of(ROOT / "docs" / "operations.md").split("## Exit codes")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (\d) \|([^|]*)\|", table, re.MULTILINE)
    documented = {status: int(code) for code, cell in rows for status in re.findall(r"`(\w+)`", cell)}
    assert documented == exit_codes_of_a_run()
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.KembarError)
    ]
    assert {int(code) for code, _ in rows} == {
        0,
        *exit_codes_of_a_run().values(),
        *(kind.exit_code for kind in kinds),
        Locked.exit_code,
    }


def test_every_family_is_in_the_guides():
    for name in MODULES:
        assert re.search(rf"^\| `{name}` \|", text_of(README), re.MULTILINE)
        assert f"Family `{name}`" in text_of(ROOT / "docs" / "signatures.md")


def test_every_check_of_the_doctor_is_shown_in_the_operations_guide():
    guide = ROOT / "docs" / "operations.md"
    [shown] = (block for block in blocks(guide, "console") if "kembar doctor" in block)
    for check in CHECKS:
        assert f"ok   {check} " in shown


def test_the_readme_shows_the_figures_of_the_lab():
    measured = text_of(README).split("\n## Measured\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (.+?) \| (0\.\d+) \| (0\.\d+) \| (0\.\d+) \|$", measured, re.MULTILINE)
    assert [model.split(" (")[0] for model, *_ in rows] == [
        "default", "TF-IDF cosine", "classic LSTM with concatenation", "with pretrained weights, frozen",
    ]  # fmt: skip
    lab = text_of(ROOT / "docs" / "lab" / "pair_quality.md")
    for model, *figures in rows:
        assert re.search(rf"^\|.*{'.*'.join(map(re.escape, figures))}", lab, re.MULTILINE), model
    # Of the first seed, which the session shows.
    [session] = (block for block in blocks(README, "console") if "kembar run configs/sts.toml" in block)
    shown = dict(re.findall(r"^  test (\w+) .* spearman (0\.\d+)$", session, re.MULTILINE))
    assert (shown["model"], shown["tfidf_cosine"]) == (rows[0][1], rows[1][1])


def test_guides_stay_short():
    def words(document: Path) -> int:
        """Of the text, without the bars and rules of tables."""
        return sum(bool(re.search(r"\w", word)) for word in text_of(document).split())

    guides = {document.name: words(document) for document in [README, *(ROOT / "docs").glob("*.md")]}
    assert guides["README.md"] <= 1_800
    assert guides["benchmarks.md"] <= 400, "figures belong to docs/lab/"
    assert sum(guides.values()) <= 22_000, guides


def test_documents_are_plain():
    for document in DOCUMENTS:
        text = text_of(document)
        assert "TODO" not in text
        assert "—" not in text, f"{document.name}: a dash that should be a comma, a colon or a full stop"


if __name__ == "__main__":
    for title, rows in tables().items():
        sys.stdout.write(f"\n## {title}\n\n| Key | Type | Default | Meaning |\n|---|---|---|---|\n")
        for key, kind, default in rows:
            sys.stdout.write(f"| `{key}` | {kind} | {default} |  |\n")
