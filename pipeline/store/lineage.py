"""The descent of artifacts: what each was made from, or only compared with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

# Inputs that something was only compared with, or began from: of what they were made, nothing was made here.
_COMPARED = {"champion", "previous", "served", "base_model"}
# Ids in one question to the database: SQLite takes no more than 32,766.
_BATCH = 1_000


class Lineage:
    """The descent of artifacts, as ML Metadata has it; read once, in a few questions."""

    def __init__(self, store: MetadataStore) -> None:
        self.artifacts = {artifact.id: artifact for artifact in store.get_artifacts()}
        self.types = {kind.id: kind.name for kind in store.get_artifact_types()}
        self._inputs: dict[int, set[int]] = defaultdict(set)
        self._compared: dict[int, set[int]] = defaultdict(set)
        self._outputs: dict[int, set[int]] = defaultdict(set)
        self._makers: dict[int, set[int]] = defaultdict(set)
        for event in in_batches(list(self.artifacts), store.get_events_by_artifact_ids):
            if event.type in (mlmd.Event.INPUT, mlmd.Event.DECLARED_INPUT, mlmd.Event.INTERNAL_INPUT):
                self._inputs[event.execution_id].add(event.artifact_id)
                if event.path.steps and event.path.steps[0].key in _COMPARED:
                    self._compared[event.execution_id].add(event.artifact_id)
            else:
                self._outputs[event.execution_id].add(event.artifact_id)
                if event.type in (mlmd.Event.OUTPUT, mlmd.Event.DECLARED_OUTPUT):
                    self._makers[event.artifact_id].add(event.execution_id)

    def touched(self, executions: Iterable[int]) -> set[int]:
        """All that executions read or wrote."""
        return {
            artifact
            for execution in executions
            for artifact in self._inputs[execution] | self._outputs[execution]
        }

    def makers(self, artifacts: Iterable[int]) -> set[int]:
        """The executions that wrote artifacts, those that found them in the cache too."""
        return {execution for artifact in artifacts for execution in self._makers[artifact]}

    def ancestors(self, artifacts: Iterable[int]) -> set[int]:
        """The artifacts, all they were made from or compared with, and what was made in the same breath.

        The cache takes the outputs of an execution all together or not at all. What was compared with was
        compared with something in its turn, back to the first run: it is kept, and its ancestors are not.
        """
        reached: set[int] = set()
        compared: set[int] = set()
        open_ = set(artifacts)
        while open_:
            reached |= open_
            makers = self.makers(open_)
            others = {artifact for execution in makers for artifact in self._compared[execution]}
            compared |= others
            open_ = self.touched(makers) - others - reached
        together = {artifact for execution in self.makers(compared) for artifact in self._outputs[execution]}
        return reached | compared | together


def in_batches(items: list[Any], ask: Callable[[list[Any]], Iterable[Any]]) -> list[Any]:
    """Return the answers of the database about many items, of which it takes so many at once."""
    batches = (items[start : start + _BATCH] for start in range(0, len(items), _BATCH))
    return [answer for batch in batches for answer in ask(batch)]
