"""What killed runs, links and foreign files look like to the next run and to `gc`."""

from __future__ import annotations

from pathlib import Path

import pytest
from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from pipeline.config import configuration
from pipeline.runs import gc
from pipeline.store import backup
from pipeline.store.leftovers import clear, record_files
from pipeline.store.workdir import Workdir
from trainer.fitting import checkpoint

CHECKPOINT = "0d" * 32
CONFIG = {
    "pipeline": {"name": "twins"},
    "data": {
        "format": "csv",
        "path": "/nowhere.csv",
        "text_a": "a",
        "text_b": "b",
        "label": {"column": "same", "kind": "binary"},
    },
}


class Work:
    """A work folder with executions of two nodes."""

    def __init__(self, root: Path) -> None:
        self.workdir = Workdir(root, root / "serving" / "twins")
        self.workdir.artifacts.mkdir(parents=True)
        config = mlmd.ConnectionConfig()
        config.sqlite.filename_uri = str(self.workdir.metadata)
        config.sqlite.connection_mode = mlmd.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
        self.store = MetadataStore(config)
        self.kind = self.store.put_artifact_type(mlmd.ArtifactType(name="Model"))

        self.said: list[str] = []

    def execute(self, node, *keys, state=mlmd.Execution.COMPLETE, artifacts=mlmd.Artifact.LIVE):
        kind = self.store.put_execution_type(mlmd.ExecutionType(name=node))
        execution = mlmd.Execution(type_id=kind, last_known_state=state)
        [execution.id] = self.store.put_executions([execution])
        (self.workdir.artifacts / node / ".system" / "executor_execution" / str(execution.id)).mkdir(
            parents=True
        )
        pairs = []
        for key in keys:
            folder = self.workdir.artifacts / node / key / str(execution.id)
            folder.mkdir(parents=True)
            (folder / "decision.json").write_text("{}")
            event = mlmd.Event(type=mlmd.Event.OUTPUT)
            event.path.steps.add().key = key
            pairs.append((mlmd.Artifact(type_id=self.kind, uri=str(folder), state=artifacts), event))
        _, ids, _ = self.store.put_execution(execution, pairs, [])
        made = self.store.get_artifacts_by_id(ids)
        record_files(self.store, made)
        return made

    def clear(self) -> None:
        clear(self.store, self.workdir, self.said.append)

    def states(self) -> list[str]:
        found = sorted(self.store.get_artifacts(), key=lambda one: one.id)
        return [mlmd.Artifact.State.Name(one.state) for one in found]


@pytest.fixture
def work(tmp_path):
    return Work(tmp_path / "work")


def test_a_step_of_whose_artifact_a_file_is_gone_runs_again_with_all_that_it_made(work):
    work.execute("ExampleGen", "examples")
    model, _ = work.execute("Trainer", "model", "model_run")
    work.clear()
    assert (work.states(), work.said) == (["LIVE"] * 3, [])
    Path(model.uri, "decision.json").unlink()
    work.clear()
    assert work.states() == ["LIVE", "DELETED", "DELETED"]
    assert work.said == [f"  warning: {model.uri}/decision.json is gone: the step that wrote it runs again"]
    work.clear()
    assert len(work.said) == 1


@pytest.mark.parametrize("content", ["", "{}\n"])
def test_a_file_of_another_size_is_as_good_as_gone_and_one_that_was_added_is_not(work, content):
    [blessing] = work.execute("QualityGate", "blessing")
    Path(blessing.uri, "notes.txt").write_text("mine")
    work.clear()
    assert work.states() == ["LIVE"]
    Path(blessing.uri, "decision.json").write_text(content)
    work.clear()
    assert work.states() == ["DELETED"]
    assert f"has {len(content)} bytes and had 2" in work.said[0]


def test_what_a_killed_run_left_running_has_failed_and_its_folders_go(work):
    [kept] = work.execute("ExampleGen", "examples")
    work.execute("Trainer", "model", state=mlmd.Execution.RUNNING, artifacts=mlmd.Artifact.PENDING)
    (work.workdir.artifacts / "Trainer" / "model" / "notes").mkdir()
    work.clear()
    states = {one.last_known_state for one in work.store.get_executions()}
    assert states == {mlmd.Execution.COMPLETE, mlmd.Execution.FAILED}
    assert work.states() == ["LIVE", "ABANDONED"]
    assert sorted(path.name for path in (work.workdir.artifacts / "Trainer").glob("*/*")) == [
        "executor_execution", "notes",
    ]  # fmt: skip
    assert Path(kept.uri).is_dir()


def foreign(root: Path) -> Path:
    """A folder of somebody else's that looks like one of ours."""
    for place in ("99", "2/b", CHECKPOINT):
        (root / place).mkdir(parents=True)
        (root / place / "precious.txt").write_text("x")
    return root


def planted(workdir: Workdir, others: Path) -> list[Path]:
    """Links and files of somebody else's wherever something of ours is removed."""
    artifacts = workdir.artifacts
    (artifacts / "Trainer" / "model" / "20261127").mkdir(parents=True)
    (artifacts / "Trainer" / "model" / "20261127" / "copy").write_text("x")
    (artifacts / "Trainer" / "notes.txt").write_text("x")
    (artifacts / "Trainer" / "model_run").rename(others / "model_run")
    (artifacts / "Trainer" / "model_run").symlink_to(others / "model_run")
    (artifacts / "ServingGate" / ".system").mkdir(parents=True)
    (artifacts / "ServingGate" / ".system" / "executor_execution").symlink_to(others)
    (artifacts / "QualityGate").symlink_to(others)
    (artifacts / "Trainer" / "model" / "2" / "link").symlink_to(others)
    (artifacts / "checkpoints").mkdir()
    (artifacts / "checkpoints" / ("1e" * 32)).symlink_to(others)
    (workdir.root / "runs").symlink_to(others)
    return [path for path in others.rglob("*") if path.is_file()] + [
        artifacts / "Trainer" / "model" / "20261127" / "copy",
        artifacts / "Trainer" / "notes.txt",
    ]


def test_no_removal_follows_a_link_or_takes_what_is_not_ours(work, tmp_path, new_terminal):
    work.execute("ExampleGen", "examples")
    work.execute("Trainer", "model", "model_run", state=mlmd.Execution.RUNNING)
    precious = planted(work.workdir, foreign(tmp_path / "foreign"))
    assert len(precious) == 6
    backup.protect(work.workdir, work.said.append)
    work.clear()
    config = configuration.validate(CONFIG, "twins.toml")
    gc.collect(config, work.workdir, 0, False, new_terminal())
    checkpoint.remove(str(work.workdir.artifacts / "checkpoints" / ("1e" * 32)))
    assert [path for path in precious if not path.is_file()] == []
    assert not (work.workdir.artifacts / "Trainer" / "model" / "2").exists(), "ours went"
    assert not (work.workdir.artifacts / "ExampleGen" / "examples" / "1").exists()


def test_a_checkpoint_goes_without_what_its_links_point_to(work, tmp_path):
    others = foreign(tmp_path / "foreign")
    folder = work.workdir.artifacts / "checkpoints" / CHECKPOINT
    folder.mkdir(parents=True)
    (folder / "link").symlink_to(others)
    checkpoint.remove(str(folder))
    assert not folder.exists()
    assert (others / "99" / "precious.txt").is_file()


def test_a_database_that_was_deleted_takes_no_copies_under_a_date_with_it(work):
    work.execute("ExampleGen", "examples")
    work.execute("Trainer", "model")
    copy = work.workdir.artifacts / "Trainer" / "model" / "20261127"
    copy.mkdir()
    work.workdir.metadata.unlink()
    backup.protect(work.workdir, work.said.append)
    assert copy.is_dir()
    assert not (work.workdir.artifacts / "Trainer" / "model" / "2").exists()
    assert work.said == []


def test_what_pushes_left_goes_under_the_lock_of_the_versions(work, watch_lock):
    work.workdir.serving.mkdir(parents=True)
    held = watch_lock("pipeline.store.leftovers.clean", work.workdir.serving)
    work.clear()
    assert held == [True]
