"""The metadata database: checked and copied before each run, restored from the copy when it is damaged."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from pipeline.store.layout import artifact_folders, system_folders
from pipeline.store.workdir import Workdir
from trainer.errors import KembarError
from trainer.files import remove_folder, replacing

# What SQLite may keep beside a database. It belongs to that file: to another one it is poison.
SQLITE_FILES = ("", "-journal", "-wal", "-shm")


def protect(workdir: Workdir, say: Callable[[str], None]) -> None:
    """Leaves a database that can be used, and a backup of it. To be called under the run's lock.

    A good database is backed up. One that is damaged, or gone, is restored from the backup, and the damaged
    one is kept aside. SQLite sees that its pages fit together; it has no checksum of what stands in them.

    Args:
      workdir: The pipeline's folder. Of its served versions nothing is touched.
      say: Takes a line about what was done, if anything but a backup was.

    Raises:
      KembarError: the database is damaged and there is no good backup, or it cannot be looked at.
    """
    database, backup = workdir.metadata, backup_of(workdir)
    damage = _damage_of(workdir)
    if damage:
        if not backup.exists():
            raise KembarError(
                f"{database}: {damage}, and there is no backup: put a copy of yours in its place, or delete "
                "it to begin anew, without cache and with no model to compare with"
            )
        worse = check(backup)
        if worse:
            raise KembarError(
                f"{database}: {damage}, and {backup}: {worse}: put a copy of yours in its place, or delete "
                "both to begin anew, without cache and with no model to compare with"
            )
        kept = _put_aside(database)
        _copy(backup, database)
        say(
            f"  {database.name}: {damage}: restored from {backup.name} of {_time_of(backup)}"
            + (f"; the damaged one is {kept.name}" if kept else "")
        )
    # A coming execution would be given the number of these, and find another's files in its folders.
    for folder in _from_the_future(workdir):
        remove_folder(workdir.artifacts, folder)
    if not damage and _size(database):
        back_up(workdir, say)


def back_up(workdir: Workdir, say: Callable[[str], None]) -> None:
    """Replaces the backup by a copy of the database in one step; what cannot be copied costs only a line."""
    backup = backup_of(workdir)
    try:
        _copy(workdir.metadata, backup)
    except (OSError, sqlite3.Error) as error:
        say(f"  warning: {workdir.metadata.name} could not be backed up: {error}")


def backup_of(workdir: Workdir) -> Path:
    """Where the backup is."""
    return workdir.metadata.with_name(workdir.metadata.name + ".backup")


def check(database: Path) -> str:
    """Return the fault of a database in words; an empty string where there is none.

    Raises:
      KembarError: it cannot be looked at: another program keeps it locked, it is another user's.
    """
    try:
        with closing(_open(database)) as connection:
            [(first,), *_] = connection.execute("PRAGMA quick_check(1)").fetchall()
    except sqlite3.Error as error:
        if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise KembarError(
                f"{database}: {error}: see who else uses it, and whether this user may read and write it"
            ) from None
        return f"damaged ({error})"
    return "" if first == "ok" else f"damaged ({' '.join(first.split())})"


def _damage_of(workdir: Workdir) -> str:
    """As `check`; a database that is missing or empty counts where there was something in it."""
    if _size(workdir.metadata):
        return check(workdir.metadata)
    if not workdir.metadata.exists():
        return "it is gone" if backup_of(workdir).exists() else ""
    # A run that was killed before its first component has left one like this.
    return "it is empty" if backup_of(workdir).exists() or any(_folders(workdir)) else ""


def _open(database: Path) -> sqlite3.Connection:
    # Not "ro": what a killed process left in a journal has to be rolled back.
    return sqlite3.connect(f"{database.absolute().as_uri()}?mode=rw", uri=True, timeout=10)


def _copy(source: Path, target: Path) -> None:
    """Copies a database with all that stands in its journal, flushes it, and puts it there in one rename."""
    with (
        replacing(target) as fresh,
        closing(_open(source)) as read,
        closing(sqlite3.connect(fresh)) as written,
    ):
        read.backup(written)


def _put_aside(database: Path) -> Path | None:
    """Renames a damaged database and what SQLite has beside it; None if there was no database."""
    stem = f"{database.name}.corrupt-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    present = [end for end in SQLITE_FILES if database.with_name(database.name + end).exists()]
    for end in present:
        database.with_name(database.name + end).rename(database.with_name(stem + end))
    return database.with_name(stem) if "" in present else None


def _from_the_future(workdir: Workdir) -> list[Path]:
    """Folders of executions that the database has not had yet: from before it was restored, or deleted."""
    last = 0
    if not _size(workdir.metadata) and (workdir.root / "runs").is_dir():
        return []  # the records of runs in a cluster, whose database is elsewhere
    if _size(workdir.metadata):
        with closing(_open(workdir.metadata)) as connection:
            known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'Execution'").fetchone()
            if known:
                [last] = connection.execute("SELECT coalesce(max(id), 0) FROM Execution").fetchone()
    return [folder for folder in _folders(workdir) if int(folder.name) > last]


def _folders(workdir: Workdir) -> Iterator[Path]:
    """The folders of executions, and no others: `artifacts/` may be older than this pipeline."""
    yield from artifact_folders(workdir.artifacts)
    yield from system_folders(workdir.artifacts)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _time_of(path: Path) -> str:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")
