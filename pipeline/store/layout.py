"""The layout of TFX's folder of artifacts, and which folders in there can only be this pipeline's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from components import nodes
from trainer.files import is_folder, is_inside

CHECKPOINTS, SYSTEM = "checkpoints", ".system"
# Ids of nodes that no other TFX pipeline has. Every run begins with ExampleGen and RowGate.
_OWN = frozenset({
    nodes.ACCEPTED_RESOLVER, nodes.PUSHER, nodes.BASELINES, nodes.BULK_EXAMPLE_GEN, nodes.BULK_INFERRER,
    nodes.CACHE_RESOLVER, nodes.CHAMPION_RESOLVER, nodes.DATA_GATE, nodes.EXAMPLE_GEN, nodes.LIVE_METRICS,
    nodes.QUALITY_GATE, nodes.RETRAINING_GATE, "RowGate", nodes.SERVED_RESOLVER, nodes.SERVING_GATE,
    nodes.TUNED_RESOLVER, nodes.WARM_START_RESOLVER, nodes.WINDOW_RESOLVER,
})  # fmt: skip
# All ids. pipeline/graph/pipeline.py has them too, but its imports take seconds; a test compares.
# One that is renamed stays here, for what it has left.
NODES = _OWN | {
    nodes.EVALUATOR, "ExampleValidator", "ImportSchemaGen", nodes.STATISTICS_GEN, nodes.TRAINER, "Transform",
    nodes.TUNER,
}  # fmt: skip
# As trainer/fitting/checkpoint.py names the folder of a training.
_CHECKPOINT = re.compile("[0-9a-f]{64}")


def artifact_folders(root: Path, last: int = 0) -> Iterator[Path]:
    """NODE/OUTPUT/EXECUTION of nodes of ours, in `root`, the folder of artifacts.

    A number alone makes no folder ours, for somebody may have put a copy beside them under a date. TFX makes
    NODE/.system/KIND/EXECUTION before it makes any output, and what removes both removes that one last.

    Args:
      root: The folder of artifacts.
      last: The last execution that the database knows; up to that number all are ours.
    """
    for folder in _numbered(root, "[!.]*/*"):
        node = root / folder.relative_to(root).parts[0]
        if int(folder.name) <= last or any(node.glob(f"{SYSTEM}/*/{folder.name}")):
            yield folder


def system_folders(root: Path) -> Iterator[Path]:
    """The folders that TFX keeps of an execution of ours: NODE/.system/KIND/EXECUTION."""
    return _numbered(root, f"{SYSTEM}/*/*")


def checkpoint_folders(root: Path) -> Iterator[Path]:
    """checkpoints/TRAINING."""
    for folder in (root / CHECKPOINTS).glob("*"):
        if _CHECKPOINT.fullmatch(folder.name) and is_inside(root, folder) and is_folder(folder):
            yield folder


def _numbered(root: Path, pattern: str) -> Iterator[Path]:
    """Nothing where no node of our own has run: a Trainer may be another pipeline's, or no node at all."""
    if any(_has_run(root / node) for node in _OWN):
        for node in sorted(NODES):
            if _has_run(root / node):
                yield from (
                    folder
                    for folder in (root / node).glob(pattern)
                    if folder.name.isdecimal()
                    and folder.name.isascii()
                    and is_inside(root, folder)
                    and is_folder(folder)
                )


def _has_run(node: Path) -> bool:
    """TFX makes this folder before the node's first execution begins, and nothing removes it."""
    return is_folder(node / SYSTEM)
