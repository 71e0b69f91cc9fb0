"""`kembar schedule` by a file for cron, in the format of /etc/cron.d."""

from __future__ import annotations

import os
import pwd
import shlex
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

from tzlocal import get_localzone

from pipeline.config.cron import Cron
from pipeline.scheduling.job import Job, about, next_time, remove, write
from trainer.errors import ConfigError

FOLDER = Path("/etc/cron.d")
# Of a command, in Debian's cron and in cronie.
_LONGEST = 990


def entry(job: Job) -> str:
    """The file: an entry for the times, and one for when the machine comes up, for those that were missed.

    The second does no harm where none was missed: what finds nothing new ends at once.

    Raises:
      ConfigError: cron cannot express it.
    """
    try:
        times = Cron.parse(job.schedule.cron).five_fields()
    except ValueError as error:
        raise ConfigError(f"[schedule] cron = {job.schedule.cron!r}: {error}") from None
    secrets, log = _quoted(str(job.environment)), _quoted(str(job.log))
    line = (
        f"{pwd.getpwuid(os.getuid()).pw_name} cd {_quoted(str(job.folder))} && {{ set -a; "
        f"[ ! -r {secrets} ] || . {secrets}; set +a; exec {' '.join(map(_quoted, job.command))}; }} "
        f">>{log} 2>&1"
    )
    if len(line) > _LONGEST:
        raise ConfigError(
            f"a line of {len(line)} characters, and cron reads {_LONGEST}: shorten the paths, put settings "
            'into the configuration, or take by = "systemd"'
        )
    off = "" if job.schedule.enabled else "#"
    head = f"{job.about}SHELL=/bin/sh\nCRON_TZ={job.schedule.timezone}\n"
    return f"{head}{off}{times} {line}\n{off}@reboot {line}\n"


def apply(job: Job, output: Path | None, say: Callable[[str], None]) -> str:
    """Makes the file what the configuration says. Returns what was done, in words.

    Raises:
      ConfigError: a file of that name is somebody else's, cannot be written, or cron cannot express it.
    """
    text = entry(job)
    job.log.parent.mkdir(parents=True, exist_ok=True)
    done = write({(output or FOLDER) / job.name: text})
    if not _same(ZoneInfo(job.schedule.timezone), get_localzone()):
        say(
            f"  warning: this machine's time zone is {get_localzone()}: cronie goes by CRON_TZ, the cron of "
            'Debian and Ubuntu does not: there take by = "systemd", or the machine\'s time zone'
        )
    return done


def delete(name: str, output: Path | None) -> bool:
    """Removes the file; whether there was one."""
    return remove([(output or FOLDER) / name])


def is_there(name: str) -> bool:
    """True where cron has a file of ours of that name."""
    return about(FOLDER / name) is not None


def rows(output: Path | None) -> list[tuple[str, ...]]:
    """Name, times, time zone, state, next time and configuration of each file of ours."""
    listed: list[tuple[str, ...]] = []
    for path in sorted((output or FOLDER).glob("kembar-*")):
        header = None if path.suffix else about(path)
        if header is not None:
            config, cron, zone = header
            state = "disabled" if "\n#@reboot" in path.read_text(encoding="utf-8") else "enabled"
            listed.append((path.name, "cron", cron, zone, state, next_time(cron, zone), config))
    return listed


def _same(first: tzinfo, second: tzinfo) -> bool:
    """True where two time zones have had the same time this year."""
    year = datetime.now(UTC).year
    days = [datetime(year, month, day, tzinfo=UTC) for month in range(1, 13) for day in (1, 15)]
    return all(day.astimezone(first).utcoffset() == day.astimezone(second).utcoffset() for day in days)


def _quoted(text: str) -> str:
    """A word of the shell; cron makes line ends of `%`, and takes the backslash before one away."""
    return shlex.quote(text).replace("%", "\\%")
