"""What `kembar gc` keeps and removes, on a database that is filled as TFX fills it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from components.version_folder.pins import Pins, read_pins, write_pins
from components.version_folder.push import push, versions
from pipeline.config import configuration
from pipeline.runs import gc, local
from pipeline.store.ledger import Ledger
from pipeline.store.lock import Locked, lock
from pipeline.store.outcome import RunStart
from pipeline.store.pushes import settle
from pipeline.store.versions import rollback
from pipeline.store.workdir import Workdir
from trainer.errors import ConfigError, ServingError
from trainer.files import remove_folder

DATA = {
    "format": "csv",
    "pattern": "/nowhere/{SPAN}.csv",
    "text_a": "a",
    "text_b": "b",
    "label": {"column": "score", "kind": "score", "range": [0, 5]},
}
KINDS = {
    "Examples": {},
    "Statistics": {},
    "kembar.DataVerdict": {},
    "Model": {},
    "ModelBlessing": {"blessed": 1, "current_model_id": 0},
    "PushedModel": {"model_id": 0, "pushed_destination": ""},
}


def keyed(inputs):
    return list(
        inputs.items() if isinstance(inputs, dict) else ((f"input{at}", a) for at, a in enumerate(inputs))
    )


def event_of(kind, key):
    event = mlmd.Event(type=kind)
    event.path.steps.add().key = key
    return event


class History:
    """Runs of a pipeline of three nodes and a push."""

    def __init__(self, root: Path) -> None:
        self.workdir = Workdir(root, root / "serving" / "twins")
        self.workdir.artifacts.mkdir(parents=True)
        config = mlmd.ConnectionConfig()
        config.sqlite.filename_uri = str(self.workdir.metadata)
        config.sqlite.connection_mode = mlmd.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
        self.store = MetadataStore(config)
        self.context = self.store.put_context_type(mlmd.ContextType(name="pipeline_run"))
        self.kinds = {name: self.store.put_artifact_type(mlmd.ArtifactType(name=name)) for name in KINDS}
        self.clock = 1_000

    def run(self) -> int:
        self.clock += 1
        name = f"run-{self.clock}"
        (self.workdir.root / "runs" / name).mkdir(parents=True)
        return self.store.put_contexts([mlmd.Context(type_id=self.context, name=name)])[0]

    def execute(self, run, node, inputs, outputs, state=mlmd.Execution.COMPLETE):
        """Runs a node: `outputs` maps keys to artifact types, or to an artifact out of the cache.

        `inputs` is a list of artifacts, or maps keys to them.
        """
        kind = self.store.put_execution_type(mlmd.ExecutionType(name=node))
        execution = mlmd.Execution(type_id=kind, last_known_state=state)
        [number] = self.store.put_executions([execution])
        execution.id = number
        (self.workdir.artifacts / node / ".system" / "executor_execution" / str(number)).mkdir(parents=True)
        pairs = [(artifact, event_of(mlmd.Event.INPUT, key)) for key, artifact in keyed(inputs)]
        for key, made in outputs.items():
            if isinstance(made, str):
                folder = self.workdir.artifacts / node / key / str(number)
                folder.mkdir(parents=True)
                (folder / "saved_model.pb").write_bytes(b"x" * 100)
                made = mlmd.Artifact(type_id=self.kinds[made], uri=str(folder), state=mlmd.Artifact.LIVE)
            pairs.append((made, event_of(mlmd.Event.OUTPUT, key)))
        contexts = self.store.get_contexts_by_id([run])
        _, ids, _ = self.store.put_execution(execution, pairs, contexts)
        return self.store.get_artifacts_by_id(ids[len(inputs) :])

    def annotate(self, artifact, **properties):
        for name, value in properties.items():
            kind = "int_value" if isinstance(value, int) else "string_value"
            setattr(artifact.custom_properties[name], kind, value)
        self.store.put_artifacts([artifact])
        return artifact

    def train(self, run, examples=None, *, blessed=True, pushed=True):
        """A whole run; the model is one file that no other has. Returns examples, model and blessing."""
        [examples] = self.execute(run, "ExampleGen", [], {"examples": examples or "Examples"})
        model, _ = self.execute(run, "Trainer", [examples], {"model": "Model", "model_run": "Model"})
        [blessing] = self.execute(run, "QualityGate", [model], {"blessing": "ModelBlessing"})
        self.annotate(blessing, blessed=int(blessed), current_model_id=model.id)
        if pushed:
            self.clock += 1
            Path(model.uri, "saved_model.pb").write_text(str(self.clock))
            target, _ = push(model.uri, self.workdir.serving, {}, now=self.clock)
            [artifact] = self.execute(run, "AtomicPusher", [model, blessing], {"pushed_model": "PushedModel"})
            self.annotate(artifact, model_id=model.id, pushed_destination=str(target))
        return examples, model, blessing

    def judge(self, run, examples, previous=None):
        """The data gate's part of a run: statistics and a verdict."""
        [statistics] = self.execute(run, "StatisticsGen", [examples], {"statistics": "Statistics"})
        inputs = {"examples": examples, "statistics": statistics}
        if previous is not None:
            inputs["previous"] = previous
        return statistics, *self.execute(run, "DataGate", inputs, {"verdict": "kembar.DataVerdict"})

    def state(self, artifact):
        [found] = self.store.get_artifacts_by_id([artifact.id])
        return mlmd.Artifact.State.Name(found.state), Path(found.uri).is_dir()


@pytest.fixture
def history(tmp_path):
    return History(tmp_path / "work")


def configure(keep_versions=None):
    serving = {} if keep_versions is None else {"keep_versions": keep_versions}
    return configuration.validate(
        {"data": DATA, "pipeline": {"name": "twins"}, "serving": serving}, "twins.toml"
    )


@pytest.fixture
def collect(history, new_terminal, capfd):
    """Runs `gc` and gives the table's rows without their heading."""

    def call(keep, keep_versions=None, dry_run=False):
        gc.collect(configure(keep_versions), history.workdir, keep, dry_run, new_terminal())
        lines = capfd.readouterr().out.splitlines()[1:]
        return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]

    return call


LIVE, DELETED = ("LIVE", True), ("DELETED", False)


def test_the_newest_runs_keep_everything_and_older_failures_go(history, collect):
    old, fresh = (history.train(history.run(), blessed=False, pushed=False) for _ in range(2))
    collect(1)
    assert [history.state(artifact) for artifact in fresh] == [LIVE] * 3
    assert [history.state(artifact) for artifact in old] == [DELETED] * 3
    assert [path.name for path in (history.workdir.root / "runs").iterdir()] == ["run-1002"]
    assert len(list(history.workdir.artifacts.glob("*/.system/*/*"))) == 3


@pytest.mark.parametrize("keep", [6, 7, 10])
def test_of_fewer_runs_than_are_kept_everything_stays(history, collect, keep):
    runs = [history.train(history.run(), blessed=False, pushed=False) for _ in range(6)]
    collect(keep)
    assert {history.state(artifact) for artifacts in runs for artifact in artifacts} == {LIVE}


def test_pushed_and_blessed_models_stay_with_their_ancestors(history, collect):
    pushed = history.train(history.run())
    blessed = history.train(history.run(), pushed=False)
    neither = history.train(history.run(), blessed=False, pushed=False)
    collect(0)
    assert [history.state(artifact) for artifact in (*pushed, *blessed)] == [LIVE] * 6
    assert [history.state(artifact) for artifact in neither] == [DELETED] * 3
    assert versions(history.workdir.serving) == [1002]


def test_the_last_verdict_on_data_stays_with_what_it_leans_on_and_what_it_was_compared_with(history, collect):
    days = []
    for _ in range(4):
        run = history.run()
        [examples] = history.execute(run, "ExampleGen", [], {"examples": "Examples"})
        days.append((examples, *history.judge(run, examples, days[-1][-1] if days else None)))
    rejected = history.judge(history.run(), days[-1][0])
    rejected[1].state = mlmd.Artifact.ABANDONED  # as TFX leaves it
    history.store.put_artifacts(rejected[1:])
    collect(0)
    assert [history.state(artifact) for artifact in days[-1]] == [LIVE] * 3
    assert [history.state(artifact) for artifact in days[-2]] == [DELETED, DELETED, LIVE]
    assert [history.state(artifact) for day in days[:2] for artifact in day] == [DELETED] * 6
    assert history.state(rejected[0]) == DELETED


def test_a_champion_that_is_gone_from_service_keeps_no_champions_of_its_own(history, collect):
    champions = []
    for _ in range(4):
        run = history.run()
        [examples] = history.execute(run, "ExampleGen", [], {"examples": "Examples"})
        [model] = history.execute(run, "Trainer", [examples], {"model": "Model"})
        inputs = {"model": model, **({"champion": champions[-1][1]} if champions else {})}
        [blessing] = history.execute(run, "QualityGate", inputs, {"blessing": "ModelBlessing"})
        history.annotate(blessing, blessed=1, current_model_id=model.id)
        history.clock += 1
        Path(model.uri, "saved_model.pb").write_text(str(history.clock))
        target, _ = push(model.uri, history.workdir.serving, {}, now=history.clock)
        [artifact] = history.execute(run, "AtomicPusher", [model, blessing], {"pushed_model": "PushedModel"})
        history.annotate(artifact, model_id=model.id, pushed_destination=str(target))
        champions.append((examples, model))
    collect(0, keep_versions=2)
    assert [history.state(artifact) for day in champions[2:] for artifact in day] == [LIVE] * 4
    assert [history.state(artifact) for artifact in champions[1]] == [DELETED, LIVE]
    assert [history.state(artifact) for artifact in champions[0]] == [DELETED] * 2


@pytest.mark.parametrize("key", ["champion", "previous", "served", "base_model"])
def test_what_a_model_was_compared_with_or_began_from_stays_without_its_ancestors(history, collect, key):
    data, old, _ = history.train(history.run(), blessed=False, pushed=False)
    run = history.run()
    [examples] = history.execute(run, "ExampleGen", [], {"examples": "Examples"})
    [model] = history.execute(run, "Trainer", {"examples": examples, key: old}, {"model": "Model"})
    [blessing] = history.execute(run, "QualityGate", [model], {"blessing": "ModelBlessing"})
    history.annotate(blessing, blessed=1, current_model_id=model.id)
    collect(0)
    assert [history.state(artifact) for artifact in (examples, model, old)] == [LIVE] * 3
    assert history.state(data) == DELETED


def test_examples_that_a_kept_run_had_from_the_cache_stay(history, collect):
    examples, model, _ = history.train(history.run(), blessed=False, pushed=False)
    history.train(history.run(), examples, blessed=False, pushed=False)
    collect(1)
    assert history.state(examples) == LIVE
    assert history.state(model) == DELETED


def test_outputs_of_one_execution_stay_together(history, collect):
    """The cache takes a pushed model's execution only with its other output, which nothing was made from."""
    history.train(history.run())
    history.train(history.run(), blessed=False, pushed=False)
    collect(0)
    assert len(list(history.workdir.artifacts.glob("Trainer/model_run/*"))) == 1
    assert len(list(history.workdir.artifacts.glob("Trainer/model/*"))) == 1


def test_a_model_goes_with_its_version(history, collect):
    first, second, third = (history.train(history.run()) for _ in range(3))
    rows = collect(0, keep_versions=2)
    assert versions(history.workdir.serving) == [1004, 1006]
    assert ["versions", "1", "4"] in rows
    assert [history.state(artifact) for artifact in first] == [DELETED] * 3
    assert [history.state(artifact) for artifact in (*second, *third)] == [LIVE] * 6


def test_a_pinned_version_stays_with_its_model(history, collect):
    first, second, *others = (history.train(history.run()) for _ in range(4))
    write_pins(history.workdir.serving, "twins", Pins((1002,), {"stable": 1002}))
    collect(0, keep_versions=2)
    assert versions(history.workdir.serving) == [1002, 1006, 1008]
    kept = [artifact for train in (first, *others) for artifact in train]
    assert [history.state(artifact) for artifact in kept] == [LIVE] * 9
    assert [history.state(artifact) for artifact in second] == [DELETED] * 3


def test_leftovers_of_killed_runs_go(history, collect):
    history.train(history.run())
    trainer = history.workdir.artifacts / "Trainer"
    leftovers = [trainer / "model" / "99"]
    (trainer / ".system" / "executor_execution" / "99").mkdir(parents=True)
    for name in ("0d" * 32, "e1" * 32):
        leftovers.append(history.workdir.artifacts / "checkpoints" / name)
    for folder in leftovers:
        folder.mkdir(parents=True)
    for age, folder in ((3_600, leftovers[1]), (-60, leftovers[2])):
        os.utime(folder, (time.time() - age,) * 2)
    others = [
        history.workdir.artifacts / place
        for place in ("notes", "photos/2024/07", "photos/.system/2024/07", "checkpoints/epoch-1")
    ]
    for folder in others:
        folder.mkdir(parents=True)
    os.utime(others[-1], (time.time() - 3_600,) * 2)
    collect(1)
    assert [folder.exists() for folder in leftovers] == [False, False, True]
    assert all(folder.is_dir() for folder in others)


def test_a_dry_run_says_what_and_how_much_and_removes_nothing(history, collect):
    old, _ = (history.train(history.run(), blessed=False, pushed=False) for _ in range(2))
    said = collect(1, dry_run=True)
    assert said == [
        [".system", "3", "0"],
        ["ExampleGen", "1", "100"],
        ["QualityGate", "1", "100"],
        ["Trainer", "2", "200"],
        ["runs", "1", "0"],
        ["would be removed", "8", "400"],
    ]
    assert [history.state(artifact) for artifact in old] == [LIVE] * 3
    assert collect(1) == [*said[:-1], ["removed", "8", "400"]]
    assert collect(1) == [["removed", "0", "0"]]


def test_what_was_interrupted_is_finished_by_the_next(history, collect, monkeypatch):
    old, fresh = (history.train(history.run(), blessed=False, pushed=False) for _ in range(2))
    with monkeypatch.context() as patched:
        patched.setattr(gc, "remove_folder", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            collect(1)
    assert [history.state(artifact) for artifact in old] == [("DELETED", True)] * 3
    collect(1)
    assert [history.state(artifact) for artifact in old] == [DELETED] * 3
    assert [history.state(artifact) for artifact in fresh] == [LIVE] * 3


def test_a_run_that_cannot_clean_up_says_so_and_has_succeeded(history, collect, monkeypatch):
    old, _ = (history.train(history.run(), blessed=False, pushed=False) for _ in range(2))
    said = []
    ledger = Ledger.local(history.workdir, "twins")
    with monkeypatch.context() as patched:
        patched.setattr(
            gc, "remove_folder", lambda root, path: (_ for _ in ()).throw(OSError(30, "no writing", path))
        )
        gc.tidy(configure(), history.workdir, ledger, 1, said.append)
    assert len(said) == 1
    assert said[0].startswith("  warning: not cleaned up: [Errno 30] no writing: ")
    gc.tidy(configure(), history.workdir, ledger, 1, said.append)
    assert [history.state(artifact) for artifact in old] == [DELETED] * 3
    assert len(said) == 1


@pytest.mark.parametrize(
    ("status", "tidied"), [("pushed", [3]), ("unchanged", [3]), ("not_blessed", []), ("failed", [])]
)
def test_only_behind_a_run_that_went_well_is_tidied(history, new_terminal, monkeypatch, status, tidied):
    kept: list[int] = []
    monkeypatch.setattr(local, "tidy", lambda config, workdir, ledger, keep, warn: kept.append(keep))
    ran = SimpleNamespace(idle=None, keep=lambda summary, say: None)
    monkeypatch.setattr(local.Run, "decide", lambda *_: ran)
    monkeypatch.setattr(local, "_launch", lambda *_: {"status": status})
    for name in ("write_report", "notify", "show_summary"):
        monkeypatch.setattr(local, name, lambda *_: None)
    config = configuration.validate(
        {"data": DATA, "pipeline": {"name": "twins"}, "retraining": {"keep_runs": 3}}, "twins.toml"
    )
    local._run(config, history.workdir, new_terminal(), RunStart.now("twins"), None)
    assert kept == tidied


def test_a_folder_that_has_moved_is_known_by_its_place(history, new_terminal):
    for _ in range(2):
        history.train(history.run(), blessed=False, pushed=False)
    moved = history.workdir.root.with_name("moved")
    history.workdir.root.rename(moved)
    gc.collect(configure(), Workdir(moved, moved / "serving" / "twins"), 1, False, new_terminal())
    assert sorted(path.parent.name for path in (moved / "artifacts").glob("[!.]*/[!.]*/*")) == [
        "blessing", "examples", "model", "model_run",
    ]  # fmt: skip


def test_models_of_versions_that_are_out_of_sight_stay(history, collect, tmp_path):
    first, second = (history.train(history.run()) for _ in range(2))
    hidden = history.workdir.serving.rename(tmp_path / "hidden")
    said = []
    with pytest.raises(ServingError, match="version 1004 was pushed there, and neither"):
        collect(0)
    gc.tidy(configure(), history.workdir, Ledger.local(history.workdir, "twins"), 0, said.append)
    assert said[0].startswith(f"  warning: not cleaned up: {history.workdir.serving}: version 1004 was")
    assert [history.state(artifact) for artifact in (*first, *second)] == [LIVE] * 6
    # One that a run has found missing, and that is back before the next run.
    hidden.rename(history.workdir.serving)
    newest = (history.workdir.serving / "1004").rename(tmp_path / "newest")
    settle(history.store, history.workdir.serving)
    newest.rename(history.workdir.serving / "1004")
    collect(0)
    assert [history.state(artifact) for artifact in (*first, *second)] == [LIVE] * 6
    settle(history.store, history.workdir.serving)
    pushed = history.store.get_artifacts_by_type("PushedModel")
    assert [history.state(artifact) for artifact in pushed] == [LIVE] * 2


def test_a_run_at_work_is_left_alone(history, collect):
    with lock(history.workdir.root), pytest.raises(Locked):
        collect(1)


def test_what_goes_is_decided_and_set_aside_under_the_lock_of_the_versions(history, collect, watch_lock):
    for _ in range(4):
        history.train(history.run())
    held = [
        watch_lock(f"pipeline.runs.gc.{step}", history.workdir.serving)
        for step in ("make_plan", "set_aside", "clear_aside", "remove_folder")
    ]
    collect(0, keep_versions=2)
    decided, aside, cleared, removed = held
    assert (decided, aside) == ([True], [True])
    # Which takes its time, and nothing refers to it any more.
    assert (cleared, set(removed)) == ([False], {False})


def test_without_metadata_there_is_nothing_to_clean(tmp_path, new_terminal):
    with pytest.raises(ConfigError, match=r"metadata\.sqlite: no such file: nothing was run in"):
        gc.collect(configure(), Workdir(tmp_path, tmp_path / "serving"), 1, False, new_terminal())
    assert not (tmp_path / "lock").exists()


def test_no_version_is_pinned_that_gc_has_decided_on(history, collect, new_terminal, monkeypatch):
    """A rollback comes while folders are deleted, which takes a while on a slow disk."""
    first, *_ = (history.train(history.run()) for _ in range(4))
    told = []

    def go_back(root, folder):
        if not told:
            for version in ("1002", "1006"):
                try:
                    rollback(history.workdir, "twins", version, None, new_terminal())
                    told.append(version)
                except ConfigError as error:
                    told.append(str(error))
        return remove_folder(root, folder)

    monkeypatch.setattr(gc, "remove_folder", go_back)
    collect(0, keep_versions=2)
    assert told == [
        f"--to 1002: no such version in {history.workdir.serving}: there are 1006, 1008",
        "1006",
    ]
    assert versions(history.workdir.serving) == [1006, 1008]
    assert [history.state(artifact) for artifact in first] == [DELETED] * 3
    assert read_pins(history.workdir.serving) == Pins((1006,), {"stable": 1006})
