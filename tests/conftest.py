"""What all tests share: hypothesis that finds the same examples everywhere, and a small `[data]` section."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from components.example_gen.config import Data
from pipeline.terminal import Terminal

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

# A shared machine is sometimes slow, and a failure on one machine must be one on all.
settings.register_profile("kembar", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("kembar")


@pytest.fixture
def make_data(tmp_path: Path) -> Callable[..., Data]:
    """A `[data]` section of CSV with the columns a, b and score; what is given replaces parts of it."""

    def make(**changes: object) -> Data:
        files = {split: tmp_path / f"{split}.csv" for split in ("train", "eval", "test")}
        label = {"column": "score", "kind": "score", "range": (0, 5)}
        return Data(**{"format": "csv", **files, "text_a": "a", "text_b": "b", "label": label, **changes})

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
