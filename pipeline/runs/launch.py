"""Launches nodes of the graph with TFX's own launcher, in this process, and gives back the result of each.

TFX's LocalDagRunner does the same but says nothing of what it does; here each node has its state, seconds and
memory, and tells what was cached.
"""

from __future__ import annotations

import functools
import gc
import time
from pathlib import Path

from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx.dsl.compiler import compiler, constants
from tfx.orchestration import metadata
from tfx.orchestration.local import runner_utils
from tfx.orchestration.pipeline import Pipeline
from tfx.orchestration.portable import launcher, runtime_parameter_utils

from pipeline.config.configuration import Config
from pipeline.graph.pipeline import build
from pipeline.graph.plan import Plan
from pipeline.graph.step_result import CACHED, FAILED, RAN, SKIPPED, StepResult
from pipeline.interrupt import raise_again
from pipeline.runs.display import StepDisplay
from pipeline.runs.summary import declines_training
from pipeline.store.leftovers import record_files
from pipeline.store.workdir import Workdir
from trainer.errors import KembarError
from trainer.files import remove_folder


class Launcher:
    """The nodes of one run of a pipeline, against its metadata database.

    Two launchers of the same pipeline and `run_id`, in one process or in two, are the same run.
    """

    def __init__(self, pipeline: Pipeline, run_id: str) -> None:
        self.run_id = run_id
        _keep_imports()
        self._ir = compiler.Compiler().compile(pipeline)
        runtime_parameter_utils.substitute_runtime_parameter(
            self._ir, {constants.PIPELINE_RUN_ID_PARAMETER_NAME: run_id}
        )
        self._deployment = runner_utils.extract_local_deployment_config(self._ir)
        kind = self._deployment.metadata_connection_config.WhichOneof("connection_config")
        self._connection = getattr(self._deployment.metadata_connection_config, kind)
        self._nodes = {node.pipeline_node.node_info.id: node.pipeline_node for node in self._ir.nodes}

    @property
    def node_ids(self) -> list[str]:
        """All nodes, in an order in which they can run."""
        return list(self._nodes)

    def upstream(self, node_id: str) -> list[str]:
        """The nodes that must have run before."""
        return list(self._nodes[node_id].upstream_nodes)

    def up_to(self, node_id: str) -> list[str]:
        """The node and all that it needs, in an order in which they can run."""
        needed = {node_id}
        for node in reversed(self.node_ids):
            if node in needed:
                needed.update(self.upstream(node))
        return [node for node in self.node_ids if node in needed]

    def launch(self, node_id: str) -> StepResult:
        """Runs one node, or finds what it made before. Its exception is in the step, not raised."""
        step = StepResult(node_id, RAN)
        started = time.monotonic()
        _reset_peak_memory()
        try:
            info = launcher.Launcher(
                pipeline_node=self._nodes[node_id],
                mlmd_connection=metadata.Metadata(self._connection),
                pipeline_info=self._ir.pipeline_info,
                pipeline_runtime_spec=self._ir.runtime_spec,
                executor_spec=runner_utils.extract_executor_spec(self._deployment, node_id),
                custom_driver_spec=runner_utils.extract_custom_driver_spec(self._deployment, node_id),
            ).launch()
            if info is not None and info.execution_id:
                step.execution = info.execution_id
                step.state, step.outputs = self.read_execution(info.execution_id)
                if step.state == RAN:
                    with metadata.Metadata(self._connection) as handle:
                        record_files(handle.store, step.outputs.values())
            if step.state == FAILED:  # the launcher only logs when inputs cannot be resolved
                raise KembarError(f"{step.id}: its inputs cannot be resolved")
        except Exception as error:  # noqa: BLE001 - whatever a component raises is a failed step
            step.state, step.error = FAILED, error
        step.seconds = time.monotonic() - started
        step.peak_memory_mb = _peak_memory_mb()
        return step

    def read_execution(self, execution_id: int) -> tuple[str, dict[str, mlmd.Artifact]]:
        """State and outputs of an execution, as the database has them."""
        with metadata.Metadata(self._connection) as handle:
            [execution] = handle.store.get_executions_by_id([execution_id])
            events = [
                event
                for event in handle.store.get_events_by_execution_ids([execution_id])
                if event.type in (mlmd.Event.OUTPUT, mlmd.Event.INTERNAL_OUTPUT)
            ]
            artifacts = {
                artifact.id: artifact
                for artifact in handle.store.get_artifacts_by_id([event.artifact_id for event in events])
            }
        states = {mlmd.Execution.CACHED: CACHED, mlmd.Execution.FAILED: FAILED}
        outputs = {event.path.steps[0].key: artifacts[event.artifact_id] for event in events}
        return states.get(execution.last_known_state, RAN), outputs

    def clear_leftovers(self, node_id: str) -> None:
        """Removes what an earlier try of the node in this run left: TFX gives the next its folders."""
        with metadata.Metadata(self._connection) as handle:
            context = handle.store.get_context_by_type_and_name("pipeline_run", self.run_id)
            tries = handle.store.get_executions_by_context(context.id) if context is not None else []
            kinds = {kind.id: kind.name for kind in handle.store.get_execution_types()}
        done = (mlmd.Execution.COMPLETE, mlmd.Execution.CACHED)
        kind = self._nodes[node_id].node_info.type.name
        root = Path(self._ir.runtime_spec.pipeline_root.field_value.string_value, node_id)
        for execution in tries:
            if kinds[execution.type_id] == kind and execution.last_known_state not in done:
                for folder in [*root.glob(f"[!.]*/{execution.id}"), *root.glob(f".system/*/{execution.id}")]:
                    remove_folder(root.parent, folder)


def launcher_of(
    config: Config,
    workdir: Workdir,
    connection: mlmd.ConnectionConfig,
    run_id: str,
    plan: Plan,
    cached: bool = True,
) -> Launcher:
    """Return the launcher of a run that carries out `plan` against the database of `connection`."""
    graph = build(config, workdir.artifacts, connection, workdir.serving, cached=cached, plan=plan)
    return Launcher(graph, run_id)


def launch_all(
    launcher: Launcher, display: StepDisplay | None = None, last: str | None = None
) -> list[StepResult]:
    """Launch every node; a failure, or the decision not to train, skips all that follow.

    Args:
      launcher: Of the nodes.
      display: Shows each node that begins, and its result.
      last: Only this node and what it needs.

    Returns:
      One result a node. The exception of a failed node is in its result, not raised.

    Raises:
      Interrupted: a signal came while a node was at work.
    """
    steps: list[StepResult] = []
    is_over = False
    for node in launcher.node_ids if last is None else launcher.up_to(last):
        if is_over:
            step = StepResult(node, SKIPPED)
        else:
            if display is not None:
                display.start(node)
            step = launcher.launch(node)
            raise_again()
            is_over = step.state == FAILED or declines_training(step)
        if display is not None:
            display.end(step)
        steps.append(step)
    return steps


@functools.cache
def _keep_imports() -> None:
    """Once a process: what has been imported stays, and no collection of garbage looks at it again.

    It is a million objects. While ExampleGen read rows, which are many small lists, looking at them took as
    long as reading.
    """
    gc.freeze()


def _reset_peak_memory() -> None:
    """Linux forgets the process's peak when told so; elsewhere the peak is that of the whole run."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def _peak_memory_mb() -> int:
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(peak.split()[1]) // 1024
