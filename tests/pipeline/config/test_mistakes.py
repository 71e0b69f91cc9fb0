"""What a user did wrong is one line on stderr and a status, whatever it was and whatever was in it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import cli as commands
from pipeline.commands import kubeflow, schedule, serving
from pipeline.terminal import _CONTROLS

CONFIG = """\
[pipeline]
name = "twins"
[data]
format = "csv"
path = "data.csv"
split = { train = 8, eval = 1, test = 1 }
text_a = "a"
text_b = "b"
label = { column = "y", kind = "binary" }
"""
ROWS = "a,b,y\nx y,x z,1\n"
NASTY = "\x1b[31m\x9b2J\u202e\udcff\r"
COMMANDS = ("run", "retrain", "history", "versions", "rollback", "gc", "report", "serve", "submit")


@pytest.fixture
def here(tmp_path, monkeypatch, new_terminal):
    """A folder with a configuration and data, which is the current one."""
    monkeypatch.chdir(tmp_path)
    for module in (commands, serving, schedule, kubeflow):
        monkeypatch.setattr(module, "Terminal", new_terminal)
    (tmp_path / "c.toml").write_text(CONFIG)
    (tmp_path / "data.csv").write_text(ROWS)
    return tmp_path


@pytest.fixture
def refused(here, monkeypatch, capfd):
    """Calls `kembar`, and gives back its status and the one line on stderr."""

    def call(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["kembar", *arguments])
        status = commands._status()
        err = capfd.readouterr().err
        assert err.endswith("\n"), err
        line = err[:-1]
        assert not set(map(ord, line)) & set(_CONTROLS), line
        assert "Traceback" not in line
        assert line.startswith("kembar: error: ")
        return status, line.removeprefix("kembar: error: ")

    return call


def configuration(content: bytes):
    return lambda here: (here / "c.toml").write_bytes(content)


FILES = {
    "latin-1": (configuration('name = "é"'.encode("latin-1")), "not UTF-8 in line 1: save it as UTF-8"),
    "utf-16": (configuration(CONFIG.encode("utf-16")), "it is UTF-16: save it as UTF-8"),
    "binary": (configuration(bytes(range(256))), "not UTF-8"),
    "nul": (configuration(b"a = 1\0"), "no text"),
    "large": (configuration(b"# " + b"x" * 5_000_000), "has more than 4,194,304 bytes"),
    "deep": (configuration(b"x = " + b"[" * 100_000), "nested too deeply"),
    "deep keys": (configuration(b".".join([b"a"] * 400) + b" = 1"), "nested too deeply"),
    "digits": (configuration(b"x = " + b"1" * 5_000), "a number of thousands of digits"),
    "windows": (
        configuration(rb'path = "C:\Users\me\x.csv"'),
        r'path = "C:\Users\me\x.csv": in double quotes \ begins an escape: write / in its place, or single',
    ),
    "list": (configuration(b"[[data]]\nx = 1\n"), "is missing"),
    "number": (configuration(b"data = 1\n[pipeline]\nname = 'x'\n"), "[data] = 1: input should be a valid"),
    "nested": (configuration(CONFIG.encode() + b"[gates.floors.auc]\nx = 1\n"), "[gates] floors.auc"),
    "dotted": (configuration(b"data.path.x = 1\n" + CONFIG.encode()), "not valid TOML"),
    "control": (configuration(b'"\x1b[31m" = 1'), "not valid TOML"),
    "folder": (lambda here: ((here / "c.toml").unlink(), (here / "c.toml").mkdir()), "a folder"),
    "pipe": (lambda here: ((here / "c.toml").unlink(), os.mkfifo(here / "c.toml")), "a pipe"),
    "missing": (lambda here: (here / "c.toml").unlink(), "no such file"),
    "dangling": (
        lambda here: ((here / "c.toml").unlink(), (here / "c.toml").symlink_to("no.toml")),
        "is a link to no.toml, which is not there",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_configuration_is_one_line_for_every_command(here, refused, name):
    change, message = FILES[name]
    change(here)
    for command in (*COMMANDS, "embed", "duplicates"):
        rows = ("--input", "data.csv", "--output", "o.csv") if command in ("embed", "duplicates") else ()
        status, line = refused(command, "c.toml", *rows)
        assert status == 2
        assert line.startswith("c.toml: ")
        assert message in line


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("=", "write it as section.key=value"),
        ("data", "write it as section.key=value"),
        ("data=1", "write it as section.key=value"),
        ("..=1", "write it as section.key=value"),
        ("data.x.y=1", "unknown key [data] x"),
        ("data.path.x=1", "[data] path.0: input is not a valid path"),
        ("data.label=3", "input should be a valid dictionary"),
        ("model.family=[1]", "[model] family"),
        ("training.epochs=" + "[" * 5_000, "[training] epochs"),
        ("training.epochs=" + "[" * 400 + "]" * 400, "nested too deeply"),
        ("data" + ".a" * 400 + "=1", "nested too deeply"),
        ("training.epochs=" + "1" * 5_000, "[training] epochs"),
        ("training.epochs=" + NASTY, "is not UTF-8"),
        ("training.epochs=\x1b[31m\u202e", '[training] epochs = "\\u001b[31m\\u202e"'),
        ("pipeline.name=\udcff", "is not UTF-8"),
        ("data.path=~nobody-at-all/x.csv", "no such file"),
        ("data.path=package:__main__/x.csv", "no package '__main__'"),
        (NASTY, "write it as section.key=value"),
    ],
)
def test_a_setting_that_is_none_is_one_line(refused, setting, message):
    status, line = refused("run", "c.toml", "--set", setting)
    assert status == 2
    assert message in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run",), "Missing argument 'CONFIG': see `kembar run --help`"),
        (("run", "c.toml", "--" + NASTY), "No such option: --"),
        ((NASTY,), "No such command"),
        (("run", NASTY), "no such file"),
        (("history", "c.toml", "--last", NASTY), "Invalid value for '--last'"),
        (("predict", "c.toml", "a", "b", "c"), "takes two texts"),
        (("predict", "c.toml", "a", "\udcff"), "text 2 is not UTF-8"),
        (("embed", "c.toml", "--input", "data.csv"), "Missing option '--output'"),
        (("compile", "c.toml", "--output", "/"), "--output /: is a folder"),
        (("compile", "c.toml", "--output", "."), "--output .: is a folder"),
        (("compile", "c.toml", "--target", "x"), "Invalid value for '--target'"),
    ],
)
def test_arguments_that_are_wrong_are_one_line(refused, arguments, message):
    status, line = refused(*arguments)
    assert status == 2
    assert message in line


@pytest.mark.parametrize("command", COMMANDS)
def test_a_work_folder_that_is_a_file_is_one_line(here, refused, command):
    (here / "w").touch()
    for folder in ("w", "w/x/y"):
        status, line = refused(command, "c.toml", "--workdir", folder)
        assert (status, line) == (2, f"--workdir {here}/{folder}: {here}/w is no folder: name another")
    status, line = refused(command, "c.toml", "--workdir", "\udcff")
    assert (status, line) == (2, f"--workdir {here}/\\udcff: is not UTF-8: give it another name")


def test_a_current_folder_that_is_gone_is_one_line(here, refused, tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert refused("run", "c.toml") == (2, "the current folder is gone: change to one that is there")
    monkeypatch.chdir(tmp_path)


def kembar(*arguments: str, **where) -> subprocess.CompletedProcess:
    command = [str(Path(sys.executable).with_name("kembar")), *arguments]
    return subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=60, **where)


def test_a_disk_that_is_full_and_a_reader_that_has_gone_are_no_traceback():
    with open("/dev/full", "w") as full:
        done = kembar("--help", stdout=full)
    assert (done.returncode, done.stderr) == (1, "kembar: error: No space left on device\n")
    reading, writing = os.pipe()
    os.close(reading)
    done = kembar("--help", stdout=writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("name", ["c.toml", "data.csv", "hard.toml"])
@pytest.mark.parametrize("command", [("report",), ("schema", "infer"), ("compile",)])
def test_no_output_is_written_over_what_is_read(here, refused, command, name):
    os.link(here / "c.toml", here / "hard.toml")
    said = f"--output {name}: is a file that is read: name another"
    assert refused(*command, "c.toml", "--output", name) == (2, said)
    assert ((here / "c.toml").read_text(), (here / "data.csv").read_text()) == (CONFIG, ROWS)
