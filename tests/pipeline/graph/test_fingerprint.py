from __future__ import annotations

import json
import re

import grimp
import pytest
from tfx.dsl.components.common.resolver import Resolver

from pipeline.config import configuration as config
from pipeline.graph import bulk, fingerprint
from pipeline.graph import pipeline as graph
from pipeline.graph import retraining as branches
from pipeline.graph.fingerprint import code_fingerprint, files_fingerprint, imported, step_fingerprint
from pipeline.graph.plan import Plan
from tests.pipeline.twins import CONFIG, EVERYTHING
from trainer.families import MODULES

VECTORS = """
[pipeline]
name = "twins"
[data]
format = "csv"
path = "rows.csv"
vector = { columns = ["a", "b"], dimension = 2, range = [0, 1] }
[model]
family = "vae"
"""
CONFIGS = {"pair": CONFIG + EVERYTHING, "vae": VECTORS}
# Steps that read no model.
NO_FAMILY = {"ExampleGen", "RowGate", "StatisticsGen", "ImportSchemaGen", "RetrainingGate"}
NO_FAMILY |= {"BulkExampleGen", "AtomicPusher"}
# What is another family's, and what only one of them imports.
OTHERS = {
    "pair": r"trainer\.(vae|dense)\.",
    # Ingestion reads texts and vectors alike, so the form of a text is in its key for vectors too.
    "vae": r"trainer\.(dense\.|pair\.(?!pair_config))",
}


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A project of two packages and a module, and somebody else's beside it."""
    monkeypatch.setattr(fingerprint, "ROOT", tmp_path)
    monkeypatch.setattr(fingerprint, "_OURS", ("one", "two", "module"))
    for name in ("one/a.py", "one/deep/b.py", "two/a.py", "module.py", "others/a.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x = 1\n")
    return tmp_path


def test_it_changes_with_any_source_file(source):
    before = code_fingerprint("one", "module.py")
    assert re.fullmatch("[0-9a-f]{64}", before)
    assert code_fingerprint("one", "module.py") == before
    seen = {before}
    for name in ("one/a.py", "one/deep/b.py", "module.py"):
        (source / name).write_text("x = 2\n")
        seen.add(code_fingerprint("one", "module.py"))
    (source / "one" / "c.py").write_text("")
    seen.add(code_fingerprint("one", "module.py"))
    (source / "one" / "c.py").rename(source / "one" / "d.py")
    seen.add(code_fingerprint("one", "module.py"))
    assert len(seen) == 6


def test_it_does_not_change_with_anything_else(source):
    before = code_fingerprint("one")
    (source / "two" / "a.py").write_text("x = 2\n")
    (source / "one" / "a.pyc").write_bytes(b"\0")
    (source / "one" / "notes.md").write_text("x")
    assert code_fingerprint("one") == before


def test_it_tells_packages_with_the_same_files_apart(source):
    (source / "one" / "deep" / "b.py").unlink()
    assert code_fingerprint("one") != code_fingerprint("two")


def test_a_package_that_is_not_there_is_an_error(source):
    with pytest.raises(FileNotFoundError):
        code_fingerprint("three")


@pytest.mark.parametrize(
    ("statement", "counts"),
    [
        ("import two.a", True),
        ("import two.a as x", True),
        ("from two import a", True),
        ("from two.a import x", True),
        ("from two import *", False),
        ("from .a import x", False),
        ("from . import two", False),
        ("from .c import x", True),
        ("from . import c", True),
        ("def late():\n    import two.a", True),
        ("try:\n    import two.a\nexcept ImportError:\n    pass", True),
        ("if TYPE_CHECKING:\n    import two.a", False),
        ("if TYPE_CHECKING:\n    pass\nelse:\n    import two.a", True),
        ("from one.deep.c import x", True),
        ("import tensorflow, two_a", False),
        ("import others.a", False),
        ("# import two.a", False),
    ],
)
def test_a_step_is_its_modules_and_all_that_they_import(source, statement, counts):
    (source / "one" / "deep" / "b.py").write_text(f"{statement}\n")
    (source / "one" / "deep" / "c.py").write_text("import two.a\nimport one.deep.b\n")
    before = step_fingerprint("one.deep.b", "module")
    (source / "two" / "b.py").write_text("x = 2\n")
    (source / "one" / "a.py").write_text("x = 2\n")
    (source / "others" / "a.py").write_text("import two.a\n")
    assert step_fingerprint("one.deep.b", "module") == before
    (source / "two" / "a.py").write_text("x = 1  # changed\n")
    assert (step_fingerprint("one.deep.b", "module") != before) is counts
    (source / "module.py").write_text("x = 1  # changed\n")
    assert step_fingerprint("one.deep.b", "module") != before


def test_a_step_stands_on_the_packages_around_its_imports(source):
    (source / "module.py").write_text("import one.deep.b\n")
    (source / "one" / "__init__.py").write_text("from . import a\n")
    (source / "one" / "deep" / "__init__.py").write_text("import two.a\n")
    assert [path.relative_to(source).as_posix() for path in imported("module")] == [
        "module.py", "one/__init__.py", "one/a.py", "one/deep/__init__.py", "one/deep/b.py", "two/a.py",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["absent", "one.absent", "one"])
def test_a_step_that_is_not_there_is_an_error(source, name):
    with pytest.raises(FileNotFoundError, match=f"{name}: no module below"):
        step_fingerprint("module", name)


@pytest.fixture(scope="module")
def imports():
    """Who imports whom in this project, as import-linter sees it."""
    return grimp.build_graph(
        "pipeline", "components", "trainer", "schemas", exclude_type_checking_imports=True, cache_dir=None
    )


def needed(imports, modules: set[str], family: str) -> set[str]:
    """`modules` and all that they import; of the families `family` alone, and only where it is asked."""
    seen, left = set(), {*modules}
    while left:
        module = left.pop()
        seen.add(module)
        found = imports.find_modules_directly_imported_by(module)
        if module == "trainer.spec":
            others = {name for name in found if re.match(r"trainer\.(pair|vae|dense)\.", name)}
            found -= {name for name in others if name.rpartition(".")[0] != family.rpartition(".")[0]}
        if module == "trainer.families":
            found |= {family} - {""}
        around = {".".join(module.split(".")[:depth]) for depth in range(1, module.count(".") + 1)}
        left |= (found | around) - seen
    return {module for module in seen if (fingerprint.ROOT / f"{module.replace('.', '/')}.py").is_file()}


def covered(node) -> set[str]:
    """The modules that the fingerprint of a node stands on; the test has put their names in its place."""
    text = json.dumps([str(value) for value in node.exec_properties.values()])
    [listed] = re.findall(r"<([^>]*)>", text)
    return {name for name in listed.split() if not name.endswith("__init__")}


def own_modules(node) -> set[str]:
    """Where a node's executor is, and the functions that it is told to call."""
    kind = node.executor_spec.executor_class
    function = getattr(kind, "_FUNCTION", None)
    named = [node.exec_properties.get(key) or "" for key in ("run_fn", "preprocessing_fn", "tuner_fn")]
    modules = {(function or kind).__module__, type(node).__module__}
    modules |= {str(name).rpartition(".")[0] for name in named}
    probe = {"components.serving_gate.probe"} if node.id == "ServingGate" else set()
    return {name for name in modules if name.startswith(("components.", "trainer."))} | probe


@pytest.mark.parametrize("preset", ["pair", "vae"])
def test_each_step_of_the_graph_stands_on_what_it_imports_and_on_nothing_else(
    preset, imports, tmp_path, monkeypatch
):
    for name in ("rows.csv", "bulk.csv"):
        (tmp_path / name).write_text("a,b,same\nx,y,1\n")
    (tmp_path / "twins.toml").write_text(CONFIGS[preset])

    def names(*modules: str, family: str | None = None) -> str:
        files = [path.relative_to(fingerprint.ROOT) for path in imported(*modules, family=family)]
        return f"<{' '.join('.'.join(path.with_suffix('').parts) for path in files)}>"

    for module in (graph, branches, bulk):
        monkeypatch.setattr(module, "step_fingerprint", names)
    built = graph.components(config.load(tmp_path / "twins.toml"), tmp_path, tmp_path / "serving", Plan())
    nodes = {node.id: node for node in built if not isinstance(node, Resolver)}
    del nodes["ExampleValidator"]  # TFX's own
    assert len(nodes) == (17 if preset == "pair" else 12)
    by_id = {name: covered(node) for name, node in nodes.items()}
    for name, node in nodes.items():
        family = "" if name in NO_FAMILY else MODULES[preset]
        assert by_id[name] == needed(imports, own_modules(node), family), name
        assert [found for found in by_id[name] if re.match(OTHERS[preset], found)] == [], name
    # What was missing once.
    assert {"components.tfrecords", "trainer.errors", "trainer.spec"} <= by_id["ExampleGen"]
    assert {"components.schema_gen.default", "trainer.spec", "trainer.chunking"} <= by_id["DataGate"]
    assert not {"trainer.pair.losses", "trainer.vae.losses"} & (by_id["DataGate"] | by_id["ExampleGen"])
    assert "trainer.metrics" in by_id["QualityGate"]


def test_the_trainer_runs_again_where_the_vectors_that_it_reads_have_changed(tmp_path):
    path, vectors = tmp_path / "twins.toml", tmp_path / "vectors.txt"
    path.write_text(f'{CONFIG}path = "pairs.csv"\n[model]\ntoken_vectors = "vectors.txt"\n')

    def key() -> str:
        built = graph.components(config.load(path), tmp_path, tmp_path / "serving", Plan())
        [trainer] = [node for node in built if node.id == "Trainer"]
        return str(trainer.exec_properties["custom_config"])

    seen = []
    for content in ("a 1\n", "a 2\n"):
        vectors.write_text(content)
        seen.append(key())
    assert seen[0] != seen[1] == key()


def test_files_and_folders_that_a_model_reads_count_by_their_content(tmp_path):
    weights, vectors = tmp_path / "weights", tmp_path / "vectors.txt"
    weights.mkdir()
    (weights / "config.json").write_text("{}")
    vectors.write_text("a 1\n")
    seen = [files_fingerprint([]), files_fingerprint([weights]), files_fingerprint([weights, vectors])]
    assert files_fingerprint([weights, vectors]) == seen[-1]
    (weights / "config.json").write_text("{ }")
    seen.append(files_fingerprint([weights, vectors]))
    vectors.write_text("a 2\n")
    seen.append(files_fingerprint([weights, vectors]))
    (weights / "config.json").rename(weights / "other.json")
    seen.append(files_fingerprint([weights, vectors]))
    assert len({*seen}) == len(seen)
    assert files_fingerprint([tmp_path / "absent"]) == seen[0]
