"""What was pushed and is out of sight for a moment, or for good."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from ml_metadata.proto import metadata_store_pb2 as mlmd

from components.version_folder.push import push, versions
from pipeline.config import configuration
from pipeline.kubeflow.compile import cluster_values
from pipeline.kubeflow.step import StepCall, run_step
from pipeline.runs.local import run_pipeline
from pipeline.store.ledger import Ledger
from pipeline.store.pushes import settle
from pipeline.store.workdir import Workdir
from tests.pipeline.twins import CONFIG, mounted
from trainer.errors import ServingError


class Pushed:
    """Two versions, their models in ML Metadata as the pusher leaves them."""

    def __init__(self, root: Path) -> None:
        self.workdir = Workdir(root, root / "serving" / "twins")
        self.store = Ledger.local(self.workdir, "twins").store
        self.kinds = {
            name: self.store.put_artifact_type(mlmd.ArtifactType(name=name))
            for name in ("Model", "PushedModel")
        }
        self.models, self.ids = zip(*(self._push(number) for number in (7, 8)), strict=True)

    def _push(self, number: int) -> tuple[int, int]:
        folder = self.workdir.artifacts / "Trainer" / "model" / str(number)
        record = self.workdir.artifacts / "AtomicPusher" / "pushed_model" / str(number)
        for one in (folder, record):
            one.mkdir(parents=True)
        (folder / "saved_model.pb").write_text(str(number))
        target, _ = push(folder, self.workdir.serving, {}, now=number)
        model = mlmd.Artifact(type_id=self.kinds["Model"], uri=str(folder), state=mlmd.Artifact.LIVE)
        [id_] = self.store.put_artifacts([model])
        pushed = mlmd.Artifact(type_id=self.kinds["PushedModel"], uri=str(record), state=mlmd.Artifact.LIVE)
        pushed.custom_properties["model_id"].int_value = id_
        pushed.custom_properties["pushed_destination"].string_value = str(target)
        return id_, self.store.put_artifacts([pushed])[0]

    @property
    def states(self) -> list[str]:
        found = self.store.get_artifacts_by_id(self.ids)
        return [mlmd.Artifact.State.Name(one.state) for one in sorted(found, key=lambda one: one.id)]

    def settle(self) -> list[str]:
        settle(self.store, self.workdir.serving)
        return self.states

    def unmount(self) -> Path:
        return self.workdir.serving.rename(self.workdir.root / "elsewhere")

    def mount(self, volume: Path) -> None:
        if self.workdir.serving.exists():
            self.workdir.serving.rmdir()
        volume.rename(self.workdir.serving)


@pytest.fixture
def pushed(tmp_path) -> Pushed:
    return Pushed(tmp_path / "work")


def test_a_version_counts_again_when_it_is_back(pushed, tmp_path):
    assert pushed.settle() == ["LIVE", "LIVE"]
    hidden = (pushed.workdir.serving / "8").rename(tmp_path / "hidden")
    for _ in range(2):
        assert pushed.settle() == ["LIVE", "DELETED"]
    hidden.rename(pushed.workdir.serving / "8")
    assert pushed.settle() == ["LIVE", "LIVE"]


def test_what_gc_has_removed_stays_removed(pushed):
    """Of the one the push is gone, of the other the model, and `gc` was killed before the rest."""
    for artifact in (found := pushed.store.get_artifacts_by_id([*pushed.ids, pushed.models[1]])):
        artifact.state = mlmd.Artifact.DELETED
    pushed.store.put_artifacts(found)
    shutil.rmtree(pushed.workdir.artifacts / "AtomicPusher" / "pushed_model" / "7")
    assert versions(pushed.workdir.serving) == [7, 8]
    assert pushed.settle() == ["DELETED", "DELETED"]


def test_a_pipeline_that_has_pushed_nothing_needs_no_folder(tmp_path):
    workdir = Workdir(tmp_path, tmp_path / "serving")
    settle(Ledger.local(workdir, "twins").store, workdir.serving)
    assert not workdir.serving.exists()
    pushed = Pushed(tmp_path)
    # As with another `[serving] directory`: what was pushed elsewhere is there.
    settle(Ledger.local(workdir, "twins").store, workdir.serving)
    assert pushed.states == ["LIVE", "LIVE"]


@pytest.mark.parametrize("empty", [False, True])
def test_a_folder_that_is_not_mounted_is_no_reason_to_forget(pushed, empty):
    volume = pushed.unmount()
    if empty:
        pushed.workdir.serving.mkdir()
    with pytest.raises(ServingError) as caught:
        pushed.settle()
    assert str(caught.value) == (
        f"{pushed.workdir.serving}: version 8 was pushed there, and neither a version nor versions.json is "
        "there: mount it; to begin anew, with no model to compare with, make it with a file versions.json "
        "that holds []"
    )
    assert pushed.states == ["LIVE", "LIVE"]
    pushed.mount(volume)
    assert pushed.settle() == ["LIVE", "LIVE"]


def test_who_wants_to_begin_anew_says_so(pushed):
    pushed.unmount()
    pushed.workdir.serving.mkdir()
    (pushed.workdir.serving / "versions.json").write_text("[]")
    assert pushed.settle() == ["DELETED", "DELETED"]
    target, _ = push(pushed.workdir.artifacts / "Trainer" / "model" / "7", pushed.workdir.serving, {}, now=9)
    assert target.name == "9"


def test_a_mount_whose_server_is_gone_is_named(pushed, monkeypatch):
    def stale(path: Path) -> bool:
        raise OSError(116, "Stale file handle", str(path))

    monkeypatch.setattr(Path, "is_file", stale)
    with pytest.raises(ServingError, match=r"twins: Stale file handle: mount it, and let this user read it$"):
        pushed.settle()


@pytest.mark.parametrize("requested", ["asked for by kembar run", None])
def test_a_run_ends_before_it_trains_against_nothing(pushed, tmp_path, new_terminal, requested):
    volume = pushed.unmount()
    (tmp_path / "pairs.csv").write_text("a,b,same\nx,y,1\n")
    path = tmp_path / "twins.toml"
    path.write_text(f'{CONFIG}path = "pairs.csv"\n[retraining]\n')
    with pytest.raises(ServingError, match="version 8 was pushed there") as caught:
        run_pipeline(path, configuration.load(path), pushed.workdir, new_terminal(), requested)
    assert caught.value.exit_code == 1
    summary = json.loads((pushed.workdir.root / "summary.json").read_text())
    assert (summary["status"], summary["reason"]) == ("failed", str(caught.value))
    assert not (pushed.workdir.artifacts / "ExampleGen").exists()
    assert pushed.states == ["LIVE", "LIVE"]
    assert volume.is_dir()


def test_the_first_step_in_a_cluster_ends_so_too(tmp_path, capfd):
    pushed = Pushed(tmp_path / "mnt" / "twins")
    pushed.unmount()
    (tmp_path / "mnt" / "pairs.csv").write_text("a,b,same\nx,y,1\n")
    path = tmp_path / "mnt" / "twins.toml"
    path.write_text(mounted(tmp_path / "mnt"))
    values = cluster_values(path, configuration.read(path))
    assert run_step(StepCall("ExampleGen", "run-1"), values) == 1
    last = capfd.readouterr().err.splitlines()[-1]
    assert last.startswith(
        f"kembar: error: {pushed.workdir.serving}: version 8 was pushed there, and neither"
    )
    assert pushed.states == ["LIVE", "LIVE"]
    assert not (pushed.workdir.artifacts / "ExampleGen").exists()
