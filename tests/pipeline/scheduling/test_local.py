"""`kembar schedule apply`, `list` and `delete` on this machine."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from pipeline.cli import app
from pipeline.scheduling import crontab
from pipeline.scheduling import job as jobs
from pipeline.store.lock import Locked
from trainer.errors import ConfigError, KembarError

USER = pwd.getpwuid(os.getuid()).pw_name
SAID = "schedule kembar-twins: {}: {}, cron 30 3 * * mon-fri, Europe/Berlin\n"
NASTY = "data.train=a b/'c' \"d\" $HOME %n %%.csv"
BY_CRON = ("--set", "schedule.by=cron")


def schedule(name: str, machine, *arguments: object) -> None:
    app(["schedule", name, str(machine.config), *map(str, arguments)], standalone_mode=False)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


UNITS = ["kembar-twins.service", "kembar-twins.timer"]


def test_a_timer_is_made_once(machine, capfd):
    schedule("apply", machine)
    out, err = capfd.readouterr()
    assert out == SAID.format("created", "systemd")
    assert "loginctl enable-linger" in err
    assert names(machine.units) == UNITS
    assert machine.take_calls() == ["daemon-reload", "enable --now kembar-twins.timer"]
    schedule("apply", machine)
    assert capfd.readouterr() == (SAID.format("unchanged", "systemd"), "")
    assert machine.take_calls() == []


def test_a_changed_timer_replaces_the_old_one(machine, capfd):
    schedule("apply", machine)
    machine.take_calls()
    schedule("apply", machine, "--set", "schedule.timezone=UTC")
    assert ": replaced: systemd, cron 30 3 * * mon-fri, UTC" in capfd.readouterr().out
    assert machine.take_calls() == ["daemon-reload", "restart kembar-twins.timer"]
    timer = (machine.units / "kembar-twins.timer").read_text()
    assert "\nOnCalendar=Mon,Tue,Wed,Thu,Fri *-*-* 03:30:00 UTC\n" in timer


def test_a_timer_is_switched_off_and_on(machine, capfd):
    schedule("apply", machine)
    schedule("apply", machine, "--set", "schedule.enabled=false")
    schedule("apply", machine, "--set", "schedule.enabled=false")
    schedule("apply", machine)
    said = [line.split(": ")[1] for line in capfd.readouterr().out.splitlines()]
    assert said == ["created", "disabled", "unchanged", "enabled"]
    assert machine.take_calls()[2:] == ["disable --now kembar-twins.timer", "enable --now kembar-twins.timer"]


def test_a_timer_that_was_stopped_by_hand_is_started_again(machine, capfd):
    schedule("apply", machine)
    (machine.state / "on-kembar-twins.timer").unlink()
    schedule("apply", machine)
    assert capfd.readouterr().out.endswith(SAID.format("enabled", "systemd"))


def test_without_a_systemd_to_talk_to_the_commands_are_shown(machine, capfd):
    (machine.state / "reachable").unlink()
    schedule("apply", machine)
    out, err = capfd.readouterr()
    assert out == SAID.format("created", "systemd")
    assert err.splitlines()[1:] == [
        "  systemctl --user daemon-reload",
        "  systemctl --user enable --now kembar-twins.timer",
    ]
    assert names(machine.units) == UNITS
    schedule("delete", machine)
    assert names(machine.units) == []


def test_without_systemctl_the_commands_are_shown_too(machine, capfd, monkeypatch):
    monkeypatch.setenv("PATH", str(machine.root / "nothing"))
    schedule("apply", machine)
    assert "systemctl --user enable --now kembar-twins.timer" in capfd.readouterr().err


def test_what_systemd_refuses_is_one_line(machine):
    (machine.state / "refuse").touch()
    with pytest.raises(KembarError, match=r"^systemctl --user daemon-reload: Access denied$"):
        schedule("apply", machine)


@pytest.mark.parametrize("trouble", ["refused", "unreachable"])
def test_a_change_that_systemd_was_not_told_of_is_told_the_next_time(machine, capfd, trouble):
    changed = ("--set", "schedule.timezone=UTC")
    schedule("apply", machine)
    if trouble == "refused":
        (machine.state / "refuse").touch()
        with pytest.raises(KembarError, match="daemon-reload: Access denied"):
            schedule("apply", machine, *changed)
        (machine.state / "refuse").unlink()
    else:
        (machine.state / "reachable").unlink()
        schedule("apply", machine, *changed)
        (machine.state / "reachable").touch()
    capfd.readouterr()
    machine.take_calls()
    for done, calls in (
        ("reloaded", ["daemon-reload", "restart kembar-twins.timer"]),
        ("unchanged", []),
    ):
        schedule("apply", machine, *changed)
        assert capfd.readouterr().out.startswith(f"schedule kembar-twins: {done}: systemd, ")
        assert machine.take_calls() == calls
    # One that is switched off stays off.
    (machine.state / "on-kembar-twins.timer").unlink()
    (machine.state / "loaded" / UNITS[0]).unlink()
    schedule("apply", machine, *changed, "--set", "schedule.enabled=false")
    assert capfd.readouterr().out.startswith("schedule kembar-twins: reloaded: systemd, ")
    assert machine.take_calls() == ["daemon-reload"]


def test_a_timer_is_listed_and_deleted(machine, capfd):
    schedule("apply", machine)
    (machine.units / "kembar-of-others.timer").write_text("[Timer]\nOnCalendar=daily\n")
    capfd.readouterr()
    schedule("list", machine)
    [head, row] = capfd.readouterr().out.splitlines()
    assert head.split()[:3] == ["Schedule", "By", "Cron"]
    assert row.split()[:9] == [
        "kembar-twins",
        "systemd",
        "30",
        "3",
        "*",
        "*",
        "mon-fri",
        "Europe/Berlin",
        "enabled",
    ]
    assert " 03:30 CE" in row
    assert str(machine.config) in row
    machine.take_calls()
    for done in ("deleted", "there was none"):
        schedule("delete", machine)
        assert capfd.readouterr().out == f"schedule kembar-twins: {done}\n"
    assert machine.take_calls() == ["disable --now kembar-twins.timer", "daemon-reload"]
    assert names(machine.units) == ["kembar-of-others.timer"]


@pytest.mark.parametrize("by", ["systemd", "cron"])
def test_a_cluster_that_does_not_answer_is_warned_of_and_the_timer_is_made(machine, capfd, by):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = f"http://127.0.0.1:{free.getsockname()[1]}"
    cluster = f'[kubeflow]\nimage = "i"\nvolume_claim = "c"\nhost = "{host}"\n'
    machine.config.write_text(f"{machine.config.read_text()}by = '{by}'\n{cluster}")
    for name, said in (("apply", "created"), ("delete", "deleted")):
        schedule(name, machine)
        out, err = capfd.readouterr()
        assert out.startswith(f"schedule kembar-twins: {said}")
        [line] = [line for line in err.splitlines() if "warning: cannot" in line]
        assert f"cannot reach KFP at {host}: " in line
        assert line.endswith("; one may still run there: to delete it call this again once it answers")


@pytest.mark.parametrize("by", ["systemd", "cron"])
def test_a_file_of_somebody_else_is_never_touched(machine, by):
    theirs = {"systemd": machine.units / UNITS[0], "cron": machine.cron / "kembar-twins"}[by]
    theirs.parent.mkdir(parents=True, exist_ok=True)
    theirs.write_text("mine\n")
    for name in ("apply", "delete"):
        with pytest.raises(ConfigError, match="was not made by kembar schedule"):
            schedule(name, machine, "--set", f"schedule.by={by}")
    assert theirs.read_text() == "mine\n"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("cron", ["30 3 * * mon-fri", "*/20 4 13 * 5"])
def test_systemd_finds_nothing_wrong_with_the_units(machine, cron):
    output = machine.root / "out"
    schedule("apply", machine, "--output", output, "--set", f"schedule.cron={cron}", "--set", NASTY)
    assert names(output) == UNITS
    assert machine.take_calls() == []
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--user", *(output / name for name in UNITS)],
        capture_output=True, text=True, timeout=60, env={**os.environ, "XDG_RUNTIME_DIR": str(output)},
    )  # fmt: skip
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")


def unescaped(value: str) -> list[str]:
    """ExecStart as systemd reads it: quotes, escapes, specifiers, variables."""
    words, rest = [], value
    while rest:
        assert rest[0] == '"', rest
        end = 1
        while rest[end] != '"':
            end += 2 if rest[end] == "\\" else 1
        words.append(rest[1:end].replace('\\"', '"').replace("%%", "%").replace("$$", "$"))
        rest = rest[end + 1 :].lstrip(" ")
    return words


def test_the_service_calls_retrain_with_what_it_was_given(machine):
    schedule("apply", machine, "--set", NASTY, "--workdir", "work 1")
    service = (machine.units / UNITS[0]).read_text()
    [start] = [line.partition("=")[2] for line in service.splitlines() if line.startswith("ExecStart=")]
    folder = machine.config.parent
    assert unescaped(start) == [
        *jobs.program(), "retrain", str(machine.config), "--workdir", str(folder / "work 1"), "--set", NASTY,
    ]  # fmt: skip
    assert f"\nWorkingDirectory={folder}\n" in service
    assert f"\nEnvironmentFile=-{machine.root}/xdg/kembar/twins.env\n" in service
    assert "\nPersistent=true\n" in (machine.units / UNITS[1]).read_text()
    # A run that finds another one at work (5) has not failed; all other codes of the contract are failures.
    codes = [line.partition("=")[2] for line in service.splitlines() if "ExitStatus" in line]
    assert codes == ["5"] == [str(Locked.exit_code)]


# --- cron ---------------------------------------------------------------------------------------------------


def test_an_entry_is_made_once_and_takes_the_place_of_a_timer(machine, capfd):
    schedule("apply", machine)
    capfd.readouterr()
    for done in ("created", "unchanged"):
        schedule("apply", machine, *BY_CRON)
        out, err = capfd.readouterr()
        assert out == SAID.format(done, "cron")
        assert ("the one by systemd was deleted" in err) == (done == "created")
    assert names(machine.units) == []
    assert "disable --now kembar-twins.timer" in machine.take_calls()
    lines = (machine.cron / "kembar-twins").read_text().splitlines()
    assert lines[2:4] == ["SHELL=/bin/sh", "CRON_TZ=Europe/Berlin"]
    assert lines[4].startswith(f"30 3 * * 1-5 {USER} cd ")
    assert lines[5] == f"@reboot {lines[4].removeprefix('30 3 * * 1-5 ')}"
    schedule("apply", machine)
    assert "the one by cron was deleted" in capfd.readouterr().err
    assert names(machine.cron) == []


def test_an_entry_is_switched_off_listed_and_deleted(machine, capfd):
    schedule("apply", machine, *BY_CRON, "--set", "schedule.enabled=false")
    lines = (machine.cron / "kembar-twins").read_text().splitlines()[4:]
    assert [line[:2] for line in lines] == ["#3", "#@"]
    schedule("apply", machine, *BY_CRON)
    capfd.readouterr()
    schedule("list", machine)
    assert capfd.readouterr().out.splitlines()[1].split()[:2] == ["kembar-twins", "cron"]
    schedule("delete", machine)
    assert names(machine.cron) == []


def test_a_machine_in_another_time_zone_is_warned_of(machine, capfd, monkeypatch):
    monkeypatch.setattr(crontab, "get_localzone", lambda: ZoneInfo("America/New_York"))
    schedule("apply", machine, *BY_CRON)
    assert (
        "warning: this machine's time zone is America/New_York: cronie goes by CRON_TZ"
        in capfd.readouterr().err
    )
    monkeypatch.setattr(crontab, "get_localzone", lambda: ZoneInfo("Europe/Paris"))  # the same all year
    schedule("apply", machine, *BY_CRON)
    assert "warning" not in capfd.readouterr().err


def of_cron(command: str) -> str:
    """What cron hands to the shell: a `%` without its backslash; one that had none would end the command."""
    assert "%" not in command.replace("\\%", "")
    return command.replace("\\%", "%")


def test_the_entry_calls_retrain_with_what_it_was_given(machine, monkeypatch):
    """By the shell, as cron calls it: with nothing in the environment."""
    program = (
        sys.executable,
        "-c",
        "import os, sys; print(sys.argv[1:], os.getcwd(), os.environ.get('TOKEN'))",
    )
    monkeypatch.setattr(jobs, "program", lambda: program)
    schedule("apply", machine, *BY_CRON, "--set", NASTY)
    (machine.root / "xdg" / "kembar").mkdir(parents=True)
    (machine.root / "xdg" / "kembar" / "twins.env").write_text("TOKEN='open sesame'\n")
    line = (machine.cron / "kembar-twins").read_text().splitlines()[5].removeprefix(f"@reboot {USER} ")
    ran = subprocess.run(["/bin/sh", "-c", of_cron(line)], capture_output=True, text=True, cwd="/", env={})
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    folder = machine.config.parent
    work = folder / "runs" / "twins"
    told = ["retrain", str(machine.config), "--workdir", str(work), "--set", NASTY]
    assert (work / "schedule.log").read_text() == f"{told} {folder} open sesame\n"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("schedule.cron='30 0 3 * * *'", r"\[schedule\] cron = '30 0 3 \* \* \*': cron knows no seconds"),
        (f"data.train={'x' * 1_000}", "and cron reads 990: shorten the paths"),
        (r"data.train=a\b", "no backslash and no line end can stand in a schedule"),
        ("schedule.parameters.epochs=3", r"\[schedule\] parameters are Kubeflow's"),
    ],
)
def test_what_an_entry_cannot_hold_is_named(machine, setting, message):
    with pytest.raises(ConfigError, match=message):
        schedule("apply", machine, *BY_CRON, "--set", setting)
    assert names(machine.cron) == []


def test_a_folder_that_cannot_be_written_says_what_to_do(machine):
    with pytest.raises(ConfigError, match="File exists: give another folder with --output"):
        schedule("apply", machine, *BY_CRON, "--output", machine.config)


# --- which of them ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("schedule.timezone=Mars/Olympus", r"\[schedule\] timezone = \"Mars/Olympus\": no such time zone"),
        ("schedule.timezone=Europe", "no such time zone"),
        ("schedule.timezone=../etc", "no such time zone"),
        ("schedule.cron=0 25 * * *", r"\[schedule\] cron = .*: hour '25': from 0 to 23"),
        ("schedule.by=kubeflow", r"\[kubeflow\] is missing"),
    ],
)
def test_a_wrong_section_is_named(machine, setting, message):
    with pytest.raises(ConfigError, match=message):
        schedule("apply", machine, "--set", setting)


def test_without_the_section_there_is_nothing_to_apply_but_what_was_can_go(machine, capfd):
    schedule("apply", machine)
    text = machine.config.read_text()
    machine.config.write_text(text[: text.index("[schedule]")])
    with pytest.raises(ConfigError, match=r"\[schedule\] is missing"):
        schedule("apply", machine)
    schedule("delete", machine)
    assert capfd.readouterr().out.endswith("kembar-twins: deleted\n")


@pytest.mark.parametrize("name", ["apply", "delete"])
def test_a_folder_of_files_is_not_for_a_schedule_of_a_cluster(machine, name):
    machine.config.write_text(machine.config.read_text() + '[kubeflow]\nimage = "i"\nvolume_claim = "c"\n')
    with pytest.raises(ConfigError, match="is for the files of systemd and cron"):
        schedule(name, machine, "--output", machine.root / "out", "--set", "schedule.by=kubeflow")
    assert not (machine.root / "out").exists()
