"""`kembar schedule` by a timer of the user's systemd."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from pipeline.config.cron import Cron
from pipeline.scheduling.job import Job, about, config_home, next_time, remove, write
from trainer.errors import KembarError

_SECONDS = 60


def folder_of_units() -> Path:
    """Where systemd looks for units of this user."""
    return config_home() / "systemd" / "user"


def units(job: Job) -> dict[str, str]:
    """The files of service and timer, by name."""
    times = "\n".join(
        f"OnCalendar={line}" for line in Cron.parse(job.schedule.cron).on_calendar(job.schedule.timezone)
    )
    service = f"""{job.about}[Unit]
Description={_escaped(f"kembar retrain {job.config}")}

[Service]
Type=oneshot
WorkingDirectory={_escaped(str(job.folder))}
EnvironmentFile=-{_escaped(str(job.environment))}
ExecStart={" ".join(map(_quoted, job.command))}
# Another run is at work, which finds what this one would have found.
SuccessExitStatus=5
"""
    timer = f"""{job.about}[Unit]
Description={_escaped(f"when to retrain {job.config}")}

[Timer]
{times}
# Of the times that were missed while the machine was off, one is made up for.
Persistent=true

[Install]
WantedBy=timers.target
"""
    return {f"{job.name}.service": service, f"{job.name}.timer": timer}


def apply(job: Job, output: Path | None, say: Callable[[str], None]) -> str:
    """Makes the timer what the configuration says. Returns what was done, in words.

    Args:
      job: What is to run.
      output: A folder to write the units to, no more; None: the user's own, and to switch them on.
      say: Takes lines about what is left to do.

    Raises:
      ConfigError: a unit of that name is somebody else's, or cannot be written.
      KembarError: systemd refuses.
    """
    folder, timer = output or folder_of_units(), f"{job.name}.timer"
    done = write({folder / name: text for name, text in units(job).items()})
    if output is not None:
        return done
    switch = ("enable", "--now", timer) if job.schedule.enabled else ("disable", "--now", timer)
    if not is_reachable():
        say("  no systemd of this user answers here; once one does:")
        say("  systemctl --user daemon-reload")
        say(f"  systemctl --user {' '.join(switch)}")
        return done
    on = _is("enabled", timer) and _is("active", timer)
    if done == "unchanged" and not _is_loaded(f"{job.name}.service", timer):
        done = "reloaded"  # files that an earlier call has written, and of which systemd was not told
    if done != "unchanged":
        _call("daemon-reload")
    if job.schedule.enabled != on:
        _call(*switch)
        done = done if done not in ("unchanged", "reloaded") else f"{switch[0]}d"
    elif on and done != "unchanged":
        _call("restart", timer)
    if job.schedule.enabled and done != "unchanged":
        say("  it runs while you are logged in; loginctl enable-linger makes that always")
    return done


def delete(name: str, output: Path | None) -> bool:
    """Switches the timer off and removes its files; whether there were any."""
    folder, files = output or folder_of_units(), (f"{name}.timer", f"{name}.service")
    reachable = output is None and about(folder / files[0]) is not None and is_reachable()
    if reachable:
        _call("disable", "--now", files[0])
    removed = remove([folder / file for file in files])
    if reachable:
        _call("daemon-reload")
    return removed


def is_there(name: str) -> bool:
    """True where this user has a timer of ours of that name."""
    return about(folder_of_units() / f"{name}.timer") is not None


def rows(output: Path | None) -> list[tuple[str, ...]]:
    """Name, times, time zone, state, next time and configuration of each timer of ours."""
    listed: list[tuple[str, ...]] = []
    reachable = output is None and is_reachable()
    for path in sorted((output or folder_of_units()).glob("kembar-*.timer")):
        header = about(path)
        if header is not None:
            config, cron, zone = header
            state = ("enabled" if _is("enabled", path.name) else "disabled") if reachable else "unknown"
            listed.append((path.stem, "systemd", cron, zone, state, next_time(cron, zone), config))
    return listed


def is_reachable() -> bool:
    """True where a systemd of this user answers."""
    done = _systemctl("show-environment")
    return done is not None and done.returncode == 0


def _is(state: str, unit: str) -> bool:
    done = _systemctl(f"is-{state}", "--quiet", unit)
    return done is not None and done.returncode == 0


def _is_loaded(*names: str) -> bool:
    """True where systemd goes by the units as they are on the disk."""
    done = _systemctl("show", "--property=NeedDaemonReload", "--value", *names)
    return done is not None and done.stdout.split() == ["no"] * len(names)


def _call(*arguments: str) -> None:
    done = _systemctl(*arguments)
    if done is None or done.returncode:
        cause = "it is gone" if done is None else " ".join(done.stderr.split())
        raise KembarError(f"systemctl --user {' '.join(arguments)}: {cause}")


def _systemctl(*arguments: str) -> subprocess.CompletedProcess[str] | None:
    command = ["systemctl", "--user", *arguments]
    try:
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None


def _escaped(text: str) -> str:
    """A value that is taken as it is, but for specifiers."""
    return text.replace("%", "%%")


def _quoted(text: str) -> str:
    """An argument of ExecStart, without specifiers and variables."""
    escaped = text.replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"'
