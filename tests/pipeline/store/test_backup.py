"""A metadata database that is damaged for real, and what is left of it in the next run."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from pipeline.store.backup import back_up, backup_of, check, protect
from pipeline.store.workdir import Workdir
from trainer.errors import KembarError

PAGE = 4_096


def connect(path: Path) -> MetadataStore:
    config = mlmd.ConnectionConfig()
    config.sqlite.filename_uri = str(path)
    config.sqlite.connection_mode = mlmd.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
    return MetadataStore(config)


def execute(path: Path, times: int) -> list[int]:
    store = connect(path)
    kind = store.put_execution_type(mlmd.ExecutionType(name="Trainer"))
    long = {"note": mlmd.Value(string_value="x" * 500)}
    return store.put_executions([mlmd.Execution(type_id=kind, custom_properties=long) for _ in range(times)])


def executions(path: Path) -> int:
    return len(connect(path).get_executions())


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("original") / "metadata.sqlite"
    execute(path, 40)
    return path


@pytest.fixture
def workdir(tmp_path, original) -> Workdir:
    """A pipeline's folder with a database, one artifact of the last execution and a served version."""
    found = Workdir(tmp_path, tmp_path / "serving" / "twins")
    (found.artifacts / "ExampleGen" / ".system" / "executor_execution" / "1").mkdir(parents=True)
    shutil.copy(original, found.metadata)
    artifact(found, 40)
    (found.serving / "7").mkdir(parents=True)
    (found.serving / "7" / "saved_model.pb").write_bytes(b"model")
    return found


def artifact(workdir: Workdir, number: int) -> Path:
    folder = workdir.artifacts / "Trainer" / "model" / str(number)
    for one in (folder, workdir.artifacts / "Trainer" / ".system" / "executor_execution" / str(number)):
        one.mkdir(parents=True)
        (one / "data").write_bytes(b"x")
    return folder


def write_at(path: Path, place: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        file.write(data)


DAMAGES = {
    "no database": lambda path: path.write_bytes(b"hello, world\n" * 1_000),
    "zeros in the middle": lambda path: write_at(
        path, path.stat().st_size // 2 // PAGE * PAGE, bytes(3 * PAGE)
    ),
    "pages overwritten": lambda path: write_at(path, 5 * PAGE, os.urandom(10 * PAGE)),
    "first page overwritten": lambda path: write_at(path, 0, b"\xff" * 50),
    "cut off": lambda path: os.truncate(path, path.stat().st_size // 2),
    "nearly all cut off": lambda path: os.truncate(path, 100),
    "empty": lambda path: os.truncate(path, 0),
}


def served(workdir: Workdir) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in workdir.serving.rglob("*") if path.is_file()}


def test_a_good_database_is_backed_up_without_a_word(workdir):
    said: list[str] = []
    protect(workdir, said.append)
    assert said == []
    assert backup_of(workdir) == workdir.root / "metadata.sqlite.backup"
    assert executions(backup_of(workdir)) == 40
    execute(workdir.metadata, 2)
    protect(workdir, said.append)
    assert executions(backup_of(workdir)) == 42
    assert sorted(path.name for path in workdir.root.iterdir()) == [
        "artifacts", "metadata.sqlite", "metadata.sqlite.backup", "serving",
    ]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_database_is_restored_and_kept_aside(workdir, damage):
    protect(workdir, pytest.fail)
    before = served(workdir)
    DAMAGES[damage](workdir.metadata)
    damaged = workdir.metadata.read_bytes()
    said: list[str] = []
    protect(workdir, said.append)
    assert executions(workdir.metadata) == 40
    [aside] = workdir.root.glob("metadata.sqlite.corrupt-*")
    assert aside.read_bytes() == damaged
    [line] = said
    assert re.fullmatch(
        r"  metadata\.sqlite: (damaged \(.*\)|it is empty): restored from metadata\.sqlite\.backup of "
        rf"\d{{4}}-\S+\+00:00; the damaged one is {re.escape(aside.name)}",
        line,
    )
    assert served(workdir) == before
    assert (workdir.artifacts / "Trainer" / "model" / "40" / "data").is_file()
    # And the next time nothing is wrong.
    protect(workdir, pytest.fail)


def test_a_vanished_database_is_restored(workdir):
    protect(workdir, pytest.fail)
    workdir.metadata.unlink()
    workdir.metadata.with_name("metadata.sqlite-journal").write_bytes(b"of the one that is gone")
    said: list[str] = []
    protect(workdir, said.append)
    assert executions(workdir.metadata) == 40
    assert said[0].startswith("  metadata.sqlite: it is gone: restored from metadata.sqlite.backup of ")
    assert "damaged" not in said[0]
    assert not workdir.metadata.with_name("metadata.sqlite-journal").exists()


@pytest.mark.parametrize("damage", DAMAGES)
def test_without_a_backup_one_line_says_what_to_do(workdir, damage):
    DAMAGES[damage](workdir.metadata)
    before, damaged = served(workdir), workdir.metadata.read_bytes()
    with pytest.raises(KembarError) as caught:
        protect(workdir, pytest.fail)
    said = str(caught.value)
    assert caught.value.exit_code == 1
    assert said.startswith(f"{workdir.metadata}: ")
    assert said.endswith(
        ", and there is no backup: put a copy of yours in its place, or delete it to begin anew, without "
        "cache and with no model to compare with"
    )
    assert "\n" not in said
    assert workdir.metadata.read_bytes() == damaged
    assert served(workdir) == before


def test_a_backup_that_is_damaged_too_is_not_put_in_its_place(workdir):
    protect(workdir, pytest.fail)
    DAMAGES["cut off"](workdir.metadata)
    DAMAGES["no database"](backup_of(workdir))
    damaged = workdir.metadata.read_bytes()
    with pytest.raises(KembarError, match=r"backup: damaged \(file is not a database\): .*delete both"):
        protect(workdir, pytest.fail)
    assert workdir.metadata.read_bytes() == damaged


def test_a_first_run_has_nothing_to_protect(tmp_path):
    protect(Workdir(tmp_path, tmp_path / "serving"), pytest.fail)
    assert list(tmp_path.iterdir()) == []
    # One that was killed as it began.
    (tmp_path / "metadata.sqlite").touch()
    protect(Workdir(tmp_path, tmp_path / "serving"), pytest.fail)


def test_what_was_made_after_the_backup_is_not_mixed_with_what_comes(workdir):
    """After it is restored the database gives the numbers 41 and 42 once more."""
    protect(workdir, pytest.fail)
    assert execute(workdir.metadata, 2) == [41, 42]
    for number in (41, 42):
        artifact(workdir, number)
    DAMAGES["cut off"](workdir.metadata)
    protect(workdir, [].append)
    assert sorted(path.name for path in workdir.artifacts.glob("Trainer/model/*")) == ["40"]
    assert sorted(path.name for path in workdir.artifacts.glob("Trainer/.system/*/*")) == ["40"]
    assert execute(workdir.metadata, 1) == [41]


def test_who_deletes_database_and_backup_begins_anew(workdir):
    workdir.metadata.unlink()
    kept = workdir.artifacts / "checkpoints" / "5f3a" / "41"
    kept.mkdir(parents=True)
    protect(workdir, pytest.fail)
    assert kept.is_dir()
    assert not workdir.metadata.exists()
    assert not (workdir.artifacts / "Trainer" / "model" / "40").exists()


@pytest.mark.parametrize("damage", [Path.unlink, DAMAGES["empty"]])
def test_what_others_keep_in_a_folder_of_that_name_stays(tmp_path, original, damage):
    """`--workdir .` in a project with `artifacts/` of its own, one of another TFX pipeline among them."""
    workdir = Workdir(tmp_path, tmp_path / "serving")
    theirs = [
        workdir.artifacts / place / "file"
        for place in (
            "photos/2024/07", "photos/.system/2024/07",
            "Trainer/model/3", "Trainer/.system/executor_execution/3",
        )
    ]  # fmt: skip
    for path in theirs:
        path.parent.mkdir(parents=True)
        path.write_bytes(b"theirs")
    shutil.copy(original, workdir.metadata)
    damage(workdir.metadata)
    protect(workdir, pytest.fail)
    assert all(path.is_file() for path in theirs)
    # And beside a pipeline's own.
    mine = artifact(workdir, 41)
    (workdir.artifacts / "RowGate" / ".system" / "executor_execution" / "40").mkdir(parents=True)
    (workdir.artifacts / "DataGate" / "2024" / "07").mkdir(parents=True)  # has no .system
    workdir.metadata.unlink(missing_ok=True)
    protect(workdir, pytest.fail)
    assert not mine.exists()
    assert [path.is_file() for path in theirs] == [True, True, False, False]
    assert (workdir.artifacts / "DataGate" / "2024" / "07").is_dir()


def test_artifacts_of_a_cluster_whose_database_is_elsewhere_stay(workdir):
    workdir.metadata.unlink()
    (workdir.root / "runs" / "run-1").mkdir(parents=True)
    protect(workdir, pytest.fail)
    assert (workdir.artifacts / "Trainer" / "model" / "40").exists()


WRITER = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute(f"PRAGMA journal_mode = {sys.argv[2]}")
connection.execute("CREATE TABLE done (n INTEGER)")
connection.execute("INSERT INTO done VALUES (1)")
connection.commit()
# Pages go to the file, or to the log beside it, before anything is committed.
connection.execute("PRAGMA cache_size = 2")
connection.execute("BEGIN")
connection.executemany("INSERT INTO done VALUES (?)", ((n,) for n in range(100_000)))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
def test_what_a_killed_writer_left_beside_the_database_counts(workdir, mode):
    done = subprocess.run([sys.executable, "-c", WRITER, str(workdir.metadata), mode], timeout=60)
    assert done.returncode == -signal.SIGKILL
    beside = {"DELETE": "-journal", "WAL": "-wal"}[mode]
    assert workdir.metadata.with_name(workdir.metadata.name + beside).stat().st_size > 0
    protect(workdir, pytest.fail)
    with closing(sqlite3.connect(backup_of(workdir))) as connection:
        assert connection.execute("SELECT count(*) FROM done").fetchone() == (1,)
    assert check(backup_of(workdir)) == ""
    assert executions(backup_of(workdir)) == 40


def test_a_database_that_another_program_keeps_is_not_called_damaged(workdir, monkeypatch):
    protect(workdir, pytest.fail)
    connect_ = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: connect_(*a, **{**k, "timeout": 0.1}))
    with closing(connect_(workdir.metadata)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(KembarError, match="database is locked: see who else uses it"):
            protect(workdir, pytest.fail)
    assert not list(workdir.root.glob("*.corrupt-*"))


FULL = """
import pathlib, resource, sys
from pipeline.store.backup import back_up
from pipeline.store.workdir import Workdir
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
root = pathlib.Path(sys.argv[1])
back_up(Workdir(root, root / "serving"), print)
"""


def test_a_backup_that_finds_no_room_costs_a_line_and_leaves_the_one_before(workdir):
    protect(workdir, pytest.fail)
    execute(workdir.metadata, 1)
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(workdir.root)], capture_output=True, text=True, timeout=60
    )
    assert re.fullmatch(r"  warning: metadata\.sqlite could not be backed up: .*\n", done.stdout)
    assert done.stderr == ""
    assert executions(backup_of(workdir)) == 40
    assert not list(workdir.root.glob("*.new*"))
    back_up(workdir, pytest.fail)
    assert executions(backup_of(workdir)) == 41
