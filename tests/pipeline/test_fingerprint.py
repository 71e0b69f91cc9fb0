from __future__ import annotations

import re

import pytest

from pipeline import fingerprint
from pipeline.fingerprint import code_fingerprint, files_fingerprint


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A project of two packages and a module."""
    monkeypatch.setattr(fingerprint, "ROOT", tmp_path)
    for name in ("one/a.py", "one/deep/b.py", "two/a.py", "module.py"):
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


def test_the_fingerprints_of_the_graph_cover_real_source():
    # A renamed folder would silently empty its fingerprint if it were not an error.
    graph = (fingerprint.ROOT / "pipeline" / "graph.py").read_text()
    named = set(re.findall(r"code_fingerprint\(([^)]*)\)", graph))
    packages = {name for call in named for name in re.findall(r'"([^"]+)"', call)}
    packages |= {*fingerprint.INGESTION, *fingerprint.READING}
    assert packages
    assert len({code_fingerprint(name) for name in packages}) == len(packages)


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
