"""A copy in an object store: keys and bytes, no folders, no rename, and everybody sees each write at once."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from tfx.dsl.io import filesystem, filesystem_registry

from components.atomic_pusher.mirror import mirror
from components.atomic_pusher.versions import push, remove
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
    assert mirror(base, REMOTE) == [1]
    assert store.done == [
        "write /1/assets/tokens",
        "write /1/variables/variables.index",
        "write /1/zzz",
        "write /1/saved_model.pb",
    ]
    assert store.objects[f"{REMOTE}/1/assets/tokens"] == b"1 of assets/tokens"


def test_only_what_is_missing_is_copied(store, push_version):
    mirror(push_version(1), REMOTE)
    base = push_version(2)
    store.done.clear()
    assert mirror(base, f"{REMOTE}/") == [2]
    assert all(done.startswith("write /2/") for done in store.done)
    assert mirror(base, REMOTE) == []


def test_a_copy_that_was_killed_is_done_again(store, push_version):
    base = push_version(1)
    mirror(base, REMOTE)
    del store.objects[f"{REMOTE}/1/saved_model.pb"]
    store.objects[f"{REMOTE}/1/zzz"] = b"ha"
    assert mirror(base, REMOTE) == [1]
    assert store.objects[f"{REMOTE}/1/zzz"] == b"1 of zzz"
    assert store.done[-1] == "write /1/saved_model.pb"


def test_a_version_that_was_removed_here_goes_there_marker_first(store, push_version):
    for version in (1, 2, 3):
        base = push_version(version)
    mirror(base, REMOTE)
    store.objects[f"{REMOTE}/7/saved_model.pb"] = b"somebody else's"
    store.done.clear()
    remove(base, [1])
    assert mirror(base, REMOTE) == []
    assert store.done == ["remove /1/saved_model.pb", "rmtree /1"]
    assert store.listdir(REMOTE) == ["2/", "3/", "7/"]


def test_what_does_not_come_back_is_an_error(store, push_version, monkeypatch):
    base = push_version(1)
    opened = Store.open

    def rotting(name, mode="r"):
        if mode == "rb":
            store.objects[name] = b"bit rot"
        return opened(name, mode)

    monkeypatch.setattr(Store, "open", rotting)
    with pytest.raises(ServingError, match=r"fake://.*/1/assets/tokens: SHA-256 \w{12} after copying"):
        mirror(base, REMOTE)
    assert f"{REMOTE}/1/saved_model.pb" not in store.objects


def test_a_plain_folder_will_do(push_version, tmp_path):
    mounted = tmp_path / "mount" / "twins"
    assert mirror(push_version(1), str(mounted)) == [1]
    assert (mounted / "1" / "variables" / "variables.index").read_text() == "1 of variables/variables.index"
