"""What may happen while nobody looks: a full disk, a damaged database, a file that cannot be read."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

# More than the database, the examples and the log have; less than the model's weights.
_ROOM = 1_500_000
WIDE = ("--set", "model.embedding_dim=1024", "--set", "training.epochs=1")
KEEP = """
import json, pathlib, sys
with pathlib.Path(sys.argv[1]).open("a") as file:
    file.write(sys.stdin.read() + "\\n")
"""


@pytest.fixture(scope="module")
def alone(project, pairs):
    """A project that was run once, and whose runs tell a command how they ended."""
    for split, rows in (("train", 300), ("eval", 100), ("test", 100)):
        project.write(split, pairs[split][:rows])
    command = [sys.executable, "-c", KEEP, str(project.root / "heard")]
    with project.config.open("a") as file:
        file.write(f"\n[notify]\ncommand = {json.dumps(command)}\n")
    ran = project.kembar("run")
    assert ran.status == 0, ran.err
    return project


def heard(project) -> list[dict]:
    return [json.loads(line) for line in (project.root / "heard").read_text().splitlines()]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_disk_that_fills_up_fails_the_run_and_touches_nothing(alone):
    serving = alone.workdir / "serving"
    before = contents(serving)
    full = subprocess.run(
        alone.command("run", *WIDE),
        capture_output=True,
        text=True,
        cwd=alone.root,
        env=alone.environment,
        timeout=300,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (_ROOM, _ROOM)),
    )
    assert full.returncode == 1, full.stderr
    summary = alone.summary
    assert summary["status"] == "failed"
    [failed] = [step["id"] for step in summary["components"] if step["state"] == "failed"]
    assert failed == "Trainer"
    assert summary["reason"].startswith("Trainer: ")
    assert "\n" not in summary["reason"]
    assert "Traceback" not in full.stderr
    assert full.stdout.count("\n") == 1
    assert contents(serving) == before
    assert heard(alone)[-1]["text"] == f"twins: failed: {summary['reason']}"
    # There is room again.
    ran = alone.kembar("run", *WIDE)
    assert ran.status == 0, ran.err
    states = {step["id"]: step["state"] for step in alone.summary["components"]}
    assert (states["Transform"], states["Trainer"]) == ("cached", "ran")
    assert len(alone.served) == 2
    assert (
        contents(serving).items()
        >= {path: data for path, data in before.items() if not path.endswith("versions.json")}.items()
    )


def test_a_damaged_database_is_restored_and_nothing_is_trained_again(alone):
    served = alone.served
    database = alone.workdir / "metadata.sqlite"
    os.truncate(database, database.stat().st_size // 2)
    ran = alone.kembar("run", *WIDE)
    assert ran.status == 0, ran.err
    assert "metadata.sqlite: damaged (database disk image is malformed): restored from" in ran.err
    assert alone.summary["status"] == "unchanged"
    assert {step["state"] for step in alone.summary["components"] if "Resolver" not in step["id"]} == {
        "cached"
    }
    assert alone.served == served


def test_without_a_backup_the_run_ends_and_what_is_served_stays(alone):
    served = contents(alone.workdir / "serving")
    (alone.workdir / "metadata.sqlite").write_bytes(b"no database at all")
    (alone.workdir / "metadata.sqlite.backup").unlink()
    ran = alone.kembar("run")
    assert ran.status == 1
    [*_, last] = ran.err.splitlines()
    assert last.startswith(
        f"kembar: error: {alone.workdir}/metadata.sqlite: damaged (file is not a database)"
    )
    assert "Traceback" not in ran.err
    assert alone.summary["status"] == heard(alone)[-1]["status"] == "failed"
    assert alone.summary["reason"] == heard(alone)[-1]["reason"] == last.removeprefix("kembar: error: ")
    assert contents(alone.workdir / "serving") == served


def test_a_file_that_cannot_be_read_is_one_line(alone):
    """Reading from the address 0 of a process is an input/output error, for root too."""
    served, told = alone.served, len(heard(alone))
    ran = alone.kembar("run", "--set", "data.train=/proc/self/mem")
    assert ran.status == 2
    assert ran.err == (
        f"kembar: error: {alone.config}: [data] train: /proc/self/mem: cannot be read: "
        "[Errno 5] Input/output error: write it again\n"
    )
    assert alone.served == served
    [new] = heard(alone)[told:]
    assert (new["status"], f"kembar: error: {new['reason']}\n") == ("failed", ran.err)
