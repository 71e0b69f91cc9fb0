"""Runs the graph in this process, node by node.

TFX's LocalDagRunner does the same but says nothing of what it does; a run here reports each node's
state, seconds and memory, and can tell what was cached.
"""

from __future__ import annotations

from collections.abc import Callable

from tfx.orchestration.pipeline import Pipeline

from pipeline.graph.step_result import FAILED, SKIPPED, StepResult
from pipeline.interrupt import raise_again
from pipeline.runs.launch import Launcher


class LocalRunner:
    """One run of a pipeline against its metadata database."""

    def __init__(self, pipeline: Pipeline, run_id: str) -> None:
        self._launcher = Launcher(pipeline, run_id)

    @property
    def node_ids(self) -> list[str]:
        """All nodes, in the order in which they run."""
        return self._launcher.node_ids

    def run(
        self,
        on_start: Callable[[str], None] = lambda node: None,
        on_end: Callable[[StepResult], None] = lambda step: None,
        stop_after: Callable[[StepResult], bool] = lambda step: False,
        up_to: str | None = None,
    ) -> list[StepResult]:
        """Runs every node; the first failure skips all that follow.

        Args:
          on_start: Is told the node that begins.
          on_end: Is told what became of it.
          stop_after: Whether a step that went well is the last one.
          up_to: Only this node and what it needs.

        Returns:
          One step a node. The exception of a failed node is in its step, not raised.

        Raises:
          Interrupted: a signal came while a node was at work.
        """
        steps: list[StepResult] = []
        ended = False
        for node_id in self.node_ids if up_to is None else self._launcher.up_to(up_to):
            if ended:
                step = StepResult(node_id, SKIPPED)
            else:
                on_start(node_id)
                step = self._launcher.launch(node_id)
                raise_again()
                ended = step.state == FAILED or stop_after(step)
            on_end(step)
            steps.append(step)
        return steps
