"""Runs the graph in this process, node by node.

TFX's LocalDagRunner does the same but says nothing of what it does; a run here reports each node's
state, seconds and memory, and can tell what was cached.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from tfx.orchestration.pipeline import Pipeline

from pipeline.runners.launch import FAILED, SKIPPED, Launcher, Step


class LocalRunner:
    """One run of a pipeline against its metadata database."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.run_id = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        self._launcher = Launcher(pipeline, self.run_id)

    @property
    def node_ids(self) -> list[str]:
        """All nodes, in the order in which they run."""
        return self._launcher.node_ids

    def run(self, on_start: Callable[[str], None], on_end: Callable[[Step], None]) -> list[Step]:
        """Runs every node; the first failure skips all that follow.

        Returns:
          One step a node. The exception of a failed node is in its step, not raised.
        """
        self._launcher.forget_vanished_versions()
        steps: list[Step] = []
        failed = False
        for node_id in self.node_ids:
            if failed:
                step = Step(node_id, SKIPPED)
            else:
                on_start(node_id)
                step = self._launcher.launch(node_id)
                failed = step.state == FAILED
            on_end(step)
            steps.append(step)
        return steps
