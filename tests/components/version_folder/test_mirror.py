"""A copy in an object store: keys and bytes, no folders, no rename, and everybody sees each write at once."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest
from google.protobuf import text_format
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig
from tfx.dsl.io import filesystem, filesystem_registry

from components.version_folder.mirror import mirror
from components.version_folder.pins import Pins, read_pins, write_pins
from components.version_folder.push import clear_aside, push, set_aside
from pipeline.store.versions import rollback
from pipeline.store.workdir import Workdir
from trainer.errors import ServingError

REMOTE = "fake://bucket/models/twins"


class Store(filesystem.Filesystem):
    """As far as the mirror may go; what an object store cannot do raises NotImplementedError."""

    SUPPORTED_SCHEMES = ["fake://"]  # noqa: RUF012 - as TFX has it
    objects: dict[str, bytes]
    done: list[str]

    @classmethod
    def reset(cls):
        cls.objects, cls.done = {}, []

    @classmethod
    def open(cls, name, mode="r"):
        if mode == "rb":
            return io.BytesIO(cls.objects[name])

        class Writing(io.BytesIO):
            def close(self):
                cls.objects[name] = self.getvalue()
                cls.done.append(f"write {name.removeprefix(REMOTE)}")
                super().close()

        return Writing()

    @classmethod
    def exists(cls, path):
        return any(key == path or key.startswith(f"{path}/") for key in cls.objects)

    @classmethod
    def listdir(cls, path):
        below = {key.removeprefix(f"{path}/") for key in cls.objects if key.startswith(f"{path}/")}
        return sorted({name.partition("/")[0] + ("/" if "/" in name else "") for name in below})

    @classmethod
    def remove(cls, path):
        del cls.objects[path]
        cls.done.append(f"remove {path.removeprefix(REMOTE)}")

    @classmethod
    def rmtree(cls, path):
        cls.objects = {key: content for key, content in cls.objects.items() if not key.startswith(f"{path}/")}
        cls.done.append(f"rmtree {path.removeprefix(REMOTE)}")

    @staticmethod
    def makedirs(path):
        """There is nothing to make."""


filesystem_registry.DEFAULT_FILESYSTEM_REGISTRY.register(Store, priority=0)


@pytest.fixture
def store():
    Store.reset()
    return Store


@pytest.fixture
def push_version(tmp_path):
    base = tmp_path / "serving" / "twins"

    def call(version: int) -> Path:
        model = tmp_path / "model"
        for name in ("saved_model.pb", "variables/variables.index", "assets/tokens", "zzz"):
            (model / name).parent.mkdir(parents=True, exist_ok=True)
            (model / name).write_text(f"{version} of {name}")
        push(model, base, {}, now=version)
        return base

    return call


def test_the_marker_comes_last(store, push_version):
    base = push_version(1)
    assert mirror(base, REMOTE, "twins") == [1]
    assert store.done == [
        "write /1/assets/tokens",
        "write /1/variables/variables.index",
        "write /1/zzz",
        "write /1/saved_model.pb",
        "write /models.config",
    ]
    assert store.objects[f"{REMOTE}/1/assets/tokens"] == b"1 of assets/tokens"


def test_nothing_is_pushed_or_pinned_while_it_is_copied(store, push_version, watch_lock):
    base = push_version(1)
    steps = ("_copy_versions", "_copy_pins", "read_log")
    held = [watch_lock(f"components.version_folder.mirror.{step}", base) for step in steps]
    mirror(base, REMOTE, "twins")
    assert held == [[True]] * 3


def test_only_what_is_missing_is_copied(store, push_version):
    mirror(push_version(1), REMOTE, "twins")
    base = push_version(2)
    store.done.clear()
    assert mirror(base, f"{REMOTE}/", "twins") == [2]
    assert len(store.done) == 4
    assert all(done.startswith("write /2/") for done in store.done)
    assert mirror(base, REMOTE, "twins") == []


def test_a_copy_that_was_killed_is_done_again(store, push_version):
    base = push_version(1)
    mirror(base, REMOTE, "twins")
    del store.objects[f"{REMOTE}/1/saved_model.pb"]
    store.objects[f"{REMOTE}/1/zzz"] = b"ha"
    assert mirror(base, REMOTE, "twins") == [1]
    assert store.objects[f"{REMOTE}/1/zzz"] == b"1 of zzz"
    assert store.done[-1] == "write /1/saved_model.pb"


DIGESTS = {content: hashlib.sha256(content).hexdigest() for content in (b"rot %d" % at for at in range(99))}
# Contents whose digests come before and behind that of any other.
ROT = [min(DIGESTS, key=DIGESTS.__getitem__), max(DIGESTS, key=DIGESTS.__getitem__)]


@pytest.mark.parametrize("rot", ROT)
def test_a_marker_and_pins_of_something_else_are_written_again(store, push_version, rot):
    base = push_version(1)
    mirror(base, REMOTE, "twins")
    whole = dict(store.objects)
    store.objects[f"{REMOTE}/1/saved_model.pb"] = store.objects[f"{REMOTE}/models.config"] = rot
    assert mirror(base, REMOTE, "twins") == [1]
    assert store.objects == whole


@pytest.mark.parametrize("name", ["zzz", "saved_model.pb"])
def test_a_version_that_is_damaged_here_stays_as_it_is_there_and_holds_up_no_other(store, push_version, name):
    base = push_version(1)
    mirror(base, REMOTE, "twins")
    (base / "1" / name).write_text("damaged")
    assert mirror(push_version(2), REMOTE, "twins") == [2]
    assert store.objects[f"{REMOTE}/1/{name}"] == f"1 of {name}".encode()


def test_a_version_that_was_removed_here_goes_there_marker_first(store, push_version):
    for version in (1, 2, 3):
        base = push_version(version)
    mirror(base, REMOTE, "twins")
    store.objects[f"{REMOTE}/7/saved_model.pb"] = b"somebody else's"
    store.done.clear()
    clear_aside(base, set_aside(base, [1]))
    assert mirror(base, REMOTE, "twins") == []
    assert store.done == ["remove /1/saved_model.pb", "rmtree /1"]
    assert store.listdir(REMOTE) == ["2/", "3/", "7/", "models.config"]


def pinned_there(store):
    config = text_format.Parse(store.objects[f"{REMOTE}/models.config"].decode(), ModelServerConfig())
    [entry] = config.model_config_list.config
    assert (entry.name, entry.base_path, entry.model_platform) == ("twins", REMOTE, "tensorflow")
    return list(entry.model_version_policy.specific.versions), dict(entry.version_labels), entry


def test_without_a_pin_the_mirror_serves_the_newest(store, push_version):
    mirror(push_version(1), REMOTE, "twins")
    versions, labels, entry = pinned_there(store)
    assert (versions, labels) == ([], {})
    assert entry.model_version_policy.latest.num_versions == 1


def test_pins_come_behind_the_versions_that_they_name_and_before_others_go(store, push_version):
    for version in (1, 2):
        base = push_version(version)
    mirror(base, REMOTE, "twins")
    write_pins(base, "twins", Pins((1,), {"stable": 1}))
    mirror(base, REMOTE, "twins")
    assert pinned_there(store)[:2] == ([1], {"stable": 1})
    push_version(3)
    write_pins(base, "twins", Pins((3,), {"stable": 3}))
    clear_aside(base, set_aside(base, [1]))
    store.done.clear()
    mirror(base, REMOTE, "twins")
    assert store.done[-4:] == [
        "write /3/saved_model.pb", "write /models.config", "remove /1/saved_model.pb", "rmtree /1",
    ]  # fmt: skip
    assert pinned_there(store)[:2] == ([3], {"stable": 3})


def test_rollback_pins_in_the_mirror_too(store, push_version, new_terminal, capfd):
    for version in (1, 2):
        base = push_version(version)
    workdir = Workdir(base.parents[1], base)
    rollback(workdir, "twins", None, None, new_terminal(), REMOTE)
    files = f"{base.parent}/models.config, {REMOTE}/models.config"
    said = capfd.readouterr().out
    assert said == f"twins: version 1 in service, until `--to latest`: {files}\n"
    assert pinned_there(store)[:2] == ([1], {"stable": 1})
    assert store.listdir(REMOTE) == ["1/", "2/", "models.config"]
    rollback(workdir, "twins", "latest", None, new_terminal(), REMOTE)
    assert pinned_there(store)[:2] == ([], {})


def test_a_mirror_that_cannot_be_written_is_said_and_the_pin_here_holds(push_version, new_terminal):
    for version in (1, 2):
        base = push_version(version)
    with pytest.raises(
        ServingError, match=r"nosuch://bucket: pinned in .*models\.config, but not there: .*: run"
    ):
        rollback(Workdir(base.parents[1], base), "twins", None, None, new_terminal(), "nosuch://bucket")
    assert read_pins(base) == Pins((1,), {"stable": 1})


@pytest.mark.parametrize("rot", ROT)
def test_what_does_not_come_back_is_an_error(store, push_version, monkeypatch, rot):
    base = push_version(1)
    opened = Store.open

    def rotting(name, mode="r"):
        if mode == "rb":
            store.objects[name] = rot
        return opened(name, mode)

    monkeypatch.setattr(Store, "open", rotting)
    before = hashlib.sha256(b"1 of assets/tokens").hexdigest()[:12]
    with pytest.raises(ServingError) as error:
        mirror(base, REMOTE, "twins")
    assert str(error.value) == (
        f"{REMOTE}/1/assets/tokens: SHA-256 {DIGESTS[rot][:12]} after copying, {before} before: copy it again"
    )
    assert f"{REMOTE}/1/saved_model.pb" not in store.objects


def test_a_plain_folder_will_do(push_version, tmp_path):
    mounted = tmp_path / "mount" / "twins"
    assert mirror(push_version(1), str(mounted), "twins") == [1]
    assert (mounted / "1" / "variables" / "variables.index").read_text() == "1 of variables/variables.index"
