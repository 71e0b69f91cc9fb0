"""What all tests share: hypothesis that finds the same examples everywhere, and a small `[data]` section."""

from __future__ import annotations

import gc
import importlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from filelock import FileLock, Timeout
from hypothesis import settings

from components.example_gen.data_config import DataSection
from pipeline.terminal import Terminal
from trainer.files import LOCK

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Tests send them to children, which inherit what is ignored: SIGHUP under `nohup`, SIGINT behind the `&` of a
# script.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)

# A shared machine is sometimes slow, and a failure on one machine must be one on all.
settings.register_profile("kembar", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("kembar")


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Takes what each module leaves out of garbage collection, which would walk it again and again."""
    if nextitem is None or nextitem.path != item.path:
        gc.collect()
        gc.freeze()


class Disk:
    """What was renamed, flushed and removed, in order, as `(what, path)`.

    Of a rename it says `rename` where all that appears had been flushed since it was written, and else
    `rename unflushed`.
    """

    def __init__(self) -> None:
        self.events: list[tuple[str, Path]] = []
        self._flushed: dict[Path, int] = {}

    def flushed(self, handle: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{handle}"))
        self._flushed[path] = path.stat().st_mtime_ns
        self.events.append(("flush", path))

    def renaming(self, source: Path, target: Path) -> None:
        written = [source, *source.rglob("*")]
        safe = all(self._flushed.get(path) == path.stat().st_mtime_ns for path in written)
        self.events.append(("rename" if safe else "rename unflushed", target))


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """Watches every rename, flush and removal."""
    found = Disk()
    fsync, replace, rename, unlink = os.fsync, os.replace, os.rename, os.unlink

    def flush(handle: int) -> None:
        fsync(handle)
        found.flushed(handle)

    def renaming(act: Callable[..., None]) -> Callable[..., None]:
        def call(source: str | Path, target: str | Path, **more: object) -> None:
            found.renaming(Path(source), Path(target))
            act(source, target, **more)

        return call

    def remove(path: str | Path, **more: object) -> None:
        unlink(path, **more)
        found.events.append(("remove", Path(path)))

    monkeypatch.setattr(os, "fsync", flush)
    monkeypatch.setattr(os, "replace", renaming(replace))
    monkeypatch.setattr(os, "rename", renaming(rename))
    monkeypatch.setattr(os, "unlink", remove)
    return found


@pytest.fixture
def watch_lock(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[bool]]:
    """Wraps a function, named by its dotted path; gives whether a folder's lock was held at each call."""

    def watch(name: str, folder: Path) -> list[bool]:
        module, _, attribute = name.rpartition(".")
        act, held = getattr(importlib.import_module(module), attribute), []

        def call(*arguments: object, **more: object) -> object:
            other = FileLock(folder / LOCK)
            try:
                other.acquire(blocking=False)
            except Timeout:
                held.append(True)
            else:
                other.release()
                held.append(False)
            return act(*arguments, **more)

        monkeypatch.setattr(name, call)
        return held

    return watch


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder whose path is short wherever temporary files go: a line of cron and a socket's path are."""
    with TemporaryDirectory(prefix="kembar-", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def make_data(tmp_path: Path) -> Callable[..., DataSection]:
    """A `[data]` section of CSV with the columns a, b and score; what is given replaces parts of it."""

    def make(**changes: object) -> DataSection:
        files = {split: tmp_path / f"{split}.csv" for split in ("train", "eval", "test")}
        label = {"column": "score", "kind": "score", "range": (0, 5)}
        return DataSection(
            **{"format": "csv", **files, "text_a": "a", "text_b": "b", "label": label, **changes}
        )

    return make


@pytest.fixture
def new_terminal() -> Iterator[Callable[[], Terminal]]:
    """Makes terminals and closes them; call it in the test, where stdout is what `capfd` reads."""
    opened: list[Terminal] = []

    def make() -> Terminal:
        opened.append(Terminal())
        return opened[-1]

    yield make
    for terminal in opened:
        terminal.out.close()
        terminal._err.close()
