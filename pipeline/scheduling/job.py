"""The job that a schedule on this machine runs, and the files that it is written in."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipeline.config.cluster import Schedule
from pipeline.config.configuration import Config
from pipeline.config.cron import Cron
from pipeline.store.workdir import Workdir
from trainer.errors import ConfigError
from trainer.files import replace_file

# The first line of every file that is written here: no other is ever changed or removed.
MARK = "# Made by kembar schedule apply, which makes it anew: change the configuration, not this."
# Then follow, for `list`: configuration, cron expression, time zone.
_ABOUT = "# kembar: "


@dataclass(frozen=True)
class Job:
    """`kembar retrain` of one configuration.

    Attributes:
      name: Of the unit or entry.
      command: Program and arguments, with absolute paths.
      folder: Where it is called, for relative paths in settings.
      environment: A file with NAME=VALUE lines, for secrets; it need not be there.
      log: Where output goes, if nobody else keeps it.
    """

    name: str
    command: tuple[str, ...]
    folder: Path
    environment: Path
    log: Path
    schedule: Schedule
    config: Path

    @classmethod
    def of(cls, path: Path, config: Config, settings: tuple[str, ...], workdir: Workdir) -> Job:
        """The job of a configuration.

        Raises:
          ConfigError: there is no `[schedule]`, or it has what only Kubeflow knows.
        """
        schedule = section_of(config)
        if schedule.parameters:
            raise ConfigError(
                f"{path}: [schedule] parameters are Kubeflow's: set the keys themselves, or give --set"
            )
        command = retrain(path, settings, workdir)
        for text in (*command, str(Path.cwd())):
            if not text.isprintable() or "\\" in text:
                raise ConfigError(
                    f"{text!r}: no backslash and no line end can stand in a schedule: rename it"
                )
        return cls(
            name_of(config),
            command,
            Path.cwd(),
            config_home() / "kembar" / f"{config.pipeline.name}.env",
            workdir.root / "schedule.log",
            schedule,
            path.absolute(),
        )

    @property
    def about(self) -> str:
        """The lines that a file begins with."""
        fields = "\t".join((str(self.config), self.schedule.cron, self.schedule.timezone))
        return f"{MARK}\n{_ABOUT}{fields}\n"


def section_of(config: Config) -> Schedule:
    """The `[schedule]` section.

    Raises:
      ConfigError: there is none.
    """
    if config.schedule is None:
        raise ConfigError('[schedule] is missing: add it with cron, such as cron = "0 3 * * *"')
    return config.schedule


def name_of(config: Config) -> str:
    """Return the name of the pipeline's schedule on this machine."""
    return f"kembar-{config.pipeline.name}"


def scheduler_of(config: Config) -> str:
    """Who keeps the schedule: what `[schedule] by` says, or the cluster where there is one, or systemd.

    Raises:
      ConfigError: it is a cluster of which nothing is known.
    """
    by = None if config.schedule is None else config.schedule.by
    if by == "kubeflow" and config.kubeflow is None:
        raise ConfigError('[schedule] by = "kubeflow", and [kubeflow] is missing: add it, or change by')
    if by is not None:
        return by
    return "systemd" if config.kubeflow is None else "kubeflow"


def retrain(path: Path, settings: tuple[str, ...], workdir: Workdir) -> tuple[str, ...]:
    """The program and its arguments; settings of the schedule have done their work."""
    settings = tuple(setting for setting in settings if not setting.strip().startswith("schedule."))
    options = [argument for setting in settings for argument in ("--set", setting)]
    return (*program(), "retrain", str(path.absolute()), "--workdir", str(workdir.root), *options)


def program() -> tuple[str, ...]:
    """`kembar`, beside the interpreter, or the same by the module's name."""
    script = Path(sys.executable).with_name("kembar")
    return (str(script),) if script.is_file() else (sys.executable, "-m", "pipeline")


def config_home() -> Path:
    """Where a user's configuration is."""
    home = os.environ.get("XDG_CONFIG_HOME", "")
    return Path(home) if Path(home).is_absolute() else Path.home() / ".config"


def write(files: dict[Path, str]) -> str:
    """Makes files what they are to be. Returns `created`, `replaced` or `unchanged`.

    Raises:
      ConfigError: one of them is somebody else's, or cannot be written.
    """
    old = {path: read(path) for path in files}
    if old == files:
        return "unchanged"
    for path, text in files.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, text)
        except OSError as error:
            raise ConfigError(
                f"{path}: {error.strerror}: give another folder with --output, and have the file put there"
            ) from None
    return "replaced" if any(text is not None for text in old.values()) else "created"


def remove(paths: list[Path]) -> bool:
    """Removes files of ours; whether there were any.

    Raises:
      ConfigError: one of them is somebody else's, or cannot be removed.
    """
    ours = [path for path in paths if read(path) is not None]
    for path in ours:
        try:
            path.unlink()
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}: have it removed by who may") from None
    return bool(ours)


def read(path: Path) -> str | None:
    """A file of ours, or None.

    Raises:
      ConfigError: it is somebody else's.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    if not text.startswith(MARK):
        raise ConfigError(f"{path}: was not made by kembar schedule: move it away, or name the pipeline anew")
    return text


def about(path: Path) -> list[str] | None:
    """Configuration, cron expression and time zone of a file of ours; None of another one."""
    try:
        text = read(path)
    except ConfigError:
        return None
    fields = text.splitlines()[1].removeprefix(_ABOUT).split("\t") if text else []
    return fields if len(fields) == 3 else None


def next_time(cron: str, timezone: str) -> str:
    """When the expression fits next, in its own time zone."""
    now = datetime.now(UTC)
    next_fire = Cron.parse(cron).trigger(timezone).get_next_fire_time(None, now)
    if next_fire is None:
        return "never"
    return f"{next_fire.astimezone(UTC).astimezone(next_fire.tzinfo):%Y-%m-%d %H:%M %Z}"
