"""Runs the graph in this process, node by node, with TFX's own launcher.

TFX's LocalDagRunner does the same but says nothing of what it does; a run here reports each node's
state, seconds and memory, and can tell what was cached.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx.dsl.compiler import compiler, constants
from tfx.orchestration import metadata
from tfx.orchestration.local import runner_utils
from tfx.orchestration.pipeline import Pipeline
from tfx.orchestration.portable import launcher, runtime_parameter_utils

from components.atomic_pusher.component import PUSHED_DESTINATION
from trainer.errors import KembarError

RAN, CACHED, SKIPPED, FAILED = "ran", "cached", "skipped", "failed"


@dataclass
class Step:
    """What became of one node."""

    id: str
    state: str
    seconds: float = 0.0
    peak_memory_mb: int = 0
    outputs: dict[str, mlmd.Artifact] = field(default_factory=dict)
    error: BaseException | None = None


class LocalRunner:
    """One run of a pipeline against its metadata database."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.run_id = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        self._ir = compiler.Compiler().compile(pipeline)
        runtime_parameter_utils.substitute_runtime_parameter(
            self._ir, {constants.PIPELINE_RUN_ID_PARAMETER_NAME: self.run_id}
        )
        self._deployment = runner_utils.extract_local_deployment_config(self._ir)
        kind = self._deployment.metadata_connection_config.WhichOneof("connection_config")
        self._connection = getattr(self._deployment.metadata_connection_config, kind)

    @property
    def node_ids(self) -> list[str]:
        """All nodes, in the order in which they run."""
        return [node.pipeline_node.node_info.id for node in self._ir.nodes]

    def run(self, on_start: Callable[[str], None], on_end: Callable[[Step], None]) -> list[Step]:
        """Runs every node; the first failure skips all that follow.

        Returns:
          One step a node. The exception of a failed node is in its step, not raised.
        """
        self._forget_vanished_versions()
        steps: list[Step] = []
        failed = False
        for node in self._ir.nodes:
            node_id = node.pipeline_node.node_info.id
            if failed:
                step = Step(node_id, SKIPPED)
            else:
                on_start(node_id)
                step = self._launch(node.pipeline_node)
                failed = step.state == FAILED
            on_end(step)
            steps.append(step)
        return steps

    def _launch(self, node: Any) -> Step:
        step = Step(node.node_info.id, RAN)
        started = time.monotonic()
        _reset_peak_memory()
        try:
            info = launcher.Launcher(
                pipeline_node=node,
                mlmd_connection=metadata.Metadata(self._connection),
                pipeline_info=self._ir.pipeline_info,
                pipeline_runtime_spec=self._ir.runtime_spec,
                executor_spec=runner_utils.extract_executor_spec(self._deployment, step.id),
                custom_driver_spec=runner_utils.extract_custom_driver_spec(self._deployment, step.id),
            ).launch()
            if info is not None and info.execution_id:
                step.state, step.outputs = self._read_execution(info.execution_id)
            if step.state == FAILED:  # the launcher only logs when inputs cannot be resolved
                raise KembarError(f"{step.id}: its inputs cannot be resolved")
        except Exception as error:  # noqa: BLE001 - whatever a component raises is a failed step
            step.state, step.error = FAILED, error
        step.seconds = time.monotonic() - started
        step.peak_memory_mb = _peak_memory_mb()
        return step

    def _read_execution(self, execution_id: int) -> tuple[str, dict[str, mlmd.Artifact]]:
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

    def _forget_vanished_versions(self) -> None:
        """Marks pushed models deleted whose folder is gone: else the cache would say that they are served."""
        with metadata.Metadata(self._connection) as handle:
            # A new database does not know the type yet.
            if not any(kind.name == "PushedModel" for kind in handle.store.get_artifact_types()):
                return
            gone = [
                artifact
                for artifact in handle.store.get_artifacts_by_type("PushedModel")
                if PUSHED_DESTINATION in artifact.custom_properties
                and not Path(artifact.custom_properties[PUSHED_DESTINATION].string_value).is_dir()
            ]
            for artifact in gone:
                artifact.state = mlmd.Artifact.DELETED
            handle.store.put_artifacts(gone)


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
