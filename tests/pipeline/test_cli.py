"""The command line in this process: nothing here loads TFX."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from pipeline import cli as commands
from pipeline.batch import predict as predicting
from pipeline.cli import app
from pipeline.commands import serving as serving_commands
from pipeline.config.configuration import load
from pipeline.store.lock import Locked
from tests.pipeline.twins import SCORED
from trainer.errors import ConfigError, DataRejected, KembarError, ServingError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def config(tmp_path, monkeypatch):
    """A configuration in the current folder, and files for it."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "twins.toml"
    path.write_text(SCORED)
    for split in ("train", "eval", "test"):
        (tmp_path / f"{split}.csv").write_text("a,b,score\nx,y,1\n")
    return path


@pytest.fixture(autouse=True)
def _closed_terminals(monkeypatch, new_terminal):
    """Commands leave closing their terminal to the process's end; these have none."""
    for module in (commands, serving_commands):
        monkeypatch.setattr(module, "Terminal", new_terminal)


def error_of(*arguments: str | Path) -> KembarError:
    """What a command raises for the user."""
    with pytest.raises(KembarError) as caught:
        app([str(argument) for argument in arguments], standalone_mode=False)
    assert "\n" not in str(caught.value)
    return caught.value


def test_help_names_every_command_and_what_it_does():
    result = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    for command in (
        "run",
        "predict",
        "serve",
        "versions",
        "rollback",
        "gc",
        "report",
        "compile",
        "submit",
        "schedule",
        "doctor",
    ):
        assert CliRunner().invoke(app, [command, "--help"]).exit_code == 0
        assert f" {command} " in result.output


def helped(group: typer.core.TyperGroup, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every command's path, with the help of it and of its parameters."""
    for name, command in group.commands.items():
        yield (*path, name), command.help
        for parameter in command.params:
            if getattr(parameter, "help", None):
                yield (*path, name), parameter.help  # type: ignore[attr-defined]
        if isinstance(command, typer.core.TyperGroup):
            yield from helped(command, (*path, name))


def test_help_shows_every_word_that_was_written():
    texts = list(helped(typer.main.get_command(app)))
    assert (("schedule", "apply"), "address of KFP; default: [kubeflow] host") in texts
    shown = {path: CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "300"}) for path, _ in texts}
    for path, text in texts:
        assert text.replace("`", "") in shown[path].output


def test_the_exit_codes_are_those_of_the_contract():
    codes = {kind.__name__: kind.exit_code for kind in KembarError.__subclasses__()}
    assert {kind: codes[kind.__name__] for kind in (ConfigError, DataRejected, Locked, ServingError)} == {
        ConfigError: 2,
        DataRejected: 3,
        Locked: 5,
        ServingError: 1,
    }


@pytest.mark.parametrize("command", ["run", "predict", "serve", "versions"])
def test_every_command_refuses_a_wrong_configuration(config, tmp_path, command):
    config.write_text(SCORED + "[trainig]\nepochs = 3\n")
    texts = ["x", "y"] if command == "predict" else []
    said = error_of(command, config, *texts)
    assert str(said) == f"{config}: unknown key [trainig]: did you mean 'training'?"
    assert not (tmp_path / "runs").exists()


def test_settings_go_on_top_of_the_file(config):
    said = error_of("run", config, "--set", "training.epochs=3", "--set", "data.text_a=c")
    assert str(said).endswith(
        "no column 'c': set [data] text_a to one of a, b, score, or header = false with columns"
    )


@pytest.mark.parametrize("split", ["train", "eval", "test"])
def test_run_looks_at_every_file_first(config, tmp_path, split):
    path = tmp_path / f"{split}.csv"
    path.write_text("a,b\nx,y\n")
    assert str(error_of("run", config)) == (
        f"{config}: [data] {split}: {path}: no column 'score': set [data] label.column to one of a, b, "
        "or header = false with columns"
    )
    path.unlink()
    said = error_of("run", config)
    assert said.exit_code == 2
    assert str(said) == f"{config}: [data] {split} = '{path}': no such file: correct the path"
    assert not (tmp_path / "runs").exists()


def test_a_schema_that_is_not_there_is_named(config, tmp_path):
    said = error_of("run", config, "--set", "data.schema_file=own.pbtxt")
    assert (
        str(said) == f"{config}: [data] schema_file = '{tmp_path}/own.pbtxt': no such file: correct the path"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to score: give two texts, or --input FILE"),
        (["one"], "predict takes two texts, or --input FILE, not both"),
        (["one", "two", "three"], "predict takes two texts, or --input FILE, not both"),
        (["one", "two", "--input", "q.csv"], "predict takes two texts, or --input FILE, not both"),
    ],
)
def test_predict_takes_two_texts_or_a_file(config, arguments, message):
    assert str(error_of("predict", config, *arguments)) == message


def test_predict_hands_on_what_it_was_given(config, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(predicting, "predict", lambda folder, asked, _: calls.append((folder, asked)))
    monkeypatch.setattr(predicting, "predict_pair", lambda *given: calls.append(given[:3]))
    app(["predict", str(config), "one", "two"], standalone_mode=False)
    rows = ["--input", "q.csv", "--output", "o", "--workdir", "w", "--prefix", "p_"]
    app(["predict", str(config), *rows], standalone_mode=False)
    first, second = calls
    assert first[0].serving == tmp_path / "runs" / "twins" / "serving" / "twins"
    assert first[1:] == (("one", "two"), None)
    assert second[0].root == tmp_path / "w"
    assert second[1] == predicting.FileRequest(load(config).data, Path("q.csv"), Path("o"), "p_")


def test_versions_before_any_run_says_what_to_do(config, tmp_path):
    said = error_of("versions", config)
    assert said.exit_code == 1
    assert str(said) == f"{tmp_path}/runs/twins/serving/twins: no version yet: run `kembar run CONFIG`"
    assert not (tmp_path / "runs").exists()


def test_the_serving_folder_can_be_elsewhere(config, tmp_path):
    said = error_of("versions", config, "--set", "serving.directory=models")
    assert str(said).startswith(f"{tmp_path}/models: ")


def kembar(*arguments: str, module: bool = False) -> tuple[int, str, str]:
    command = (
        [sys.executable, "-m", "pipeline"] if module else [str(Path(sys.executable).with_name("kembar"))]
    )
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, cwd=ROOT)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("module", [False, True])
def test_an_error_is_one_line_on_stderr_and_its_status(module):
    assert kembar("run", "no.toml", module=module) == (
        2,
        "",
        "kembar: error: no.toml: no such file: give the path of a configuration, such as configs/sts.toml\n",
    )


def test_wrong_usage_is_status_2():
    status, out, said = kembar("run", "configs/sts.toml", "--workdirr", "x")
    assert (status, out) == (2, "")
    assert "No such option: --workdirr" in said


def test_going_back_and_cleaning_up_need_something_to_work_on(config):
    assert str(error_of("rollback", config)).endswith("no version yet: run `kembar run CONFIG`")
    assert "metadata.sqlite: no such file: nothing was run in" in str(error_of("gc", config, "--dry-run"))


def test_a_broken_model_config_file_ends_a_run_before_it_begins(config, tmp_path):
    (tmp_path / "work" / "serving").mkdir(parents=True)
    (tmp_path / "work" / "serving" / "models.config").write_text("model_config_list {")
    error = error_of("run", config, "--workdir", tmp_path / "work")
    assert isinstance(error, ServingError)
    assert "models.config: not a model config file of TF Serving: " in str(error)
    assert not (tmp_path / "work" / "lock").exists()
