"""The decisions of a pipeline in ML Metadata: one execution of type `kembar.Retraining` for each."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd
from pydantic import BeforeValidator, TypeAdapter

from components.data_gate.validation_config import EXAMPLES_ID, VERDICT_TYPE
from components.example_gen.spans import FILES
from pipeline.store.backup import SQLITE_FILES
from pipeline.store.workdir import Workdir
from trainer.undefined import values

TYPE = "kembar.Retraining"
ACCEPTED, REJECTED = "accepted", "rejected"
_ENTRY, _PIPELINE = "entry", "pipeline"
_EXAMPLES = "Examples"
_NUMBERS = BeforeValidator(values)


@dataclass(frozen=True)
class SpanVerdict:
    """The verdict on one span when it was read."""

    files: str
    """fingerprint"""
    outcome: str
    reason: str = ""
    rules: str = ""
    """digest of what it was judged by"""


@dataclass(frozen=True)
class LiveEvaluation:
    """The metrics of the model in service on a span that was new to it."""

    version: int | None
    """none where the log of versions does not know it"""
    rows: int
    metrics: Annotated[dict[str, float | None], _NUMBERS]


@dataclass(frozen=True)
class LedgerEntry:
    """One decision: what was seen, what was done and why."""

    at: str
    """ISO 8601, UTC"""
    status: str
    """as in summary.json"""
    reason: str
    seconds: float
    run_id: str | None = None
    span: int | None = None
    """the newest that was looked at"""
    spans: dict[int, SpanVerdict] = field(default_factory=dict)
    served: dict[int, LiveEvaluation] = field(default_factory=dict)
    trained: dict[int, str] = field(default_factory=dict)
    """span to fingerprint of its files, where a model was trained"""
    config: str = ""
    """digest of what the model depends on besides data and code"""
    gates: str = ""
    """digest of what that model was judged by"""
    why: str = ""
    """what made it train"""
    version: int | None = None
    metrics: Annotated[dict[str, dict[str, float | None]], _NUMBERS] = field(default_factory=dict)

    @classmethod
    def of_summary(cls, summary: dict[str, Any]) -> LedgerEntry:
        """Return the entry of a run of which no more is known than its summary says."""
        return cls(
            at=summary["started"],
            status=summary["status"],
            reason=summary["reason"],
            seconds=summary["seconds"],
            run_id=summary["run_id"],
            version=summary["model"]["version"],
            metrics=summary["metrics"],
        )

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> LedgerEntry:
        """As it was written; what a later version of this program has added is left out.

        Metrics are numbers or None; an older version wrote words for what is no number.
        """
        return _OF_JSON.validate_python(record)


_OF_JSON = TypeAdapter(LedgerEntry)


@dataclass(frozen=True)
class SpanExamples:
    """An Examples artifact of one span."""

    id: int
    uri: str
    span: int
    files: str
    accepted: int | None
    """the id of the verdict on it"""


class Ledger:
    """The entries of one pipeline, oldest first, and the examples that they speak of."""

    def __init__(self, connection: mlmd.ConnectionConfig, pipeline: str) -> None:
        self.connection = connection
        self.store = MetadataStore(connection)
        self._pipeline = pipeline

    @classmethod
    def local(cls, workdir: Workdir, pipeline: str) -> Ledger:
        """In the SQLite file of a work folder, which is made when missing."""
        workdir.root.mkdir(parents=True, exist_ok=True)
        connection = mlmd.ConnectionConfig()
        connection.sqlite.filename_uri = str(workdir.metadata)
        connection.sqlite.connection_mode = mlmd.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
        return cls(connection, pipeline)

    def entries(self) -> list[LedgerEntry]:
        """All entries, oldest first; of a run that was summed up several times, the last one."""
        latest: dict[str | int, LedgerEntry] = {}
        for execution in sorted(self.store.get_executions_by_type(TYPE), key=lambda execution: execution.id):
            if execution.custom_properties[_PIPELINE].string_value == self._pipeline:
                entry = LedgerEntry.from_json(json.loads(execution.custom_properties[_ENTRY].string_value))
                latest.pop(entry.run_id or execution.id, None)
                latest[entry.run_id or execution.id] = entry
        return list(latest.values())

    def append(self, entry: LedgerEntry) -> None:
        """Adds one entry, at once and as a whole."""
        kind = mlmd.ExecutionType(name=TYPE)
        execution = mlmd.Execution(
            type_id=self.store.put_execution_type(kind), last_known_state=mlmd.Execution.COMPLETE
        )
        # The whole as JSON, and beside it what somebody would ask the database for.
        shown = {"status": entry.status, "reason": entry.reason, "run_id": entry.run_id or ""}
        text = json.dumps(asdict(entry), ensure_ascii=False, sort_keys=True, allow_nan=False)
        for name, value in {_PIPELINE: self._pipeline, _ENTRY: text, **shown}.items():
            execution.custom_properties[name].string_value = value
        self.store.put_executions([execution])

    def examples(self) -> list[SpanExamples]:
        """All examples of spans that are still there, oldest first."""
        context = self.store.get_context_by_type_and_name("pipeline", self._pipeline)
        if context is None:
            return []
        kinds = {kind.id: kind.name for kind in self.store.get_artifact_types()}
        live = [
            artifact
            for artifact in self.store.get_artifacts_by_context(context.id)
            if artifact.state == mlmd.Artifact.LIVE
        ]
        verdicts = {
            artifact.custom_properties[EXAMPLES_ID].int_value: artifact.id
            for artifact in live
            if kinds[artifact.type_id] == VERDICT_TYPE
        }
        return sorted(
            (
                SpanExamples(
                    artifact.id,
                    artifact.uri,
                    artifact.properties["span"].int_value,
                    artifact.custom_properties[FILES].string_value,
                    verdicts.get(artifact.id),
                )
                for artifact in live
                if kinds[artifact.type_id] == _EXAMPLES
                and FILES in artifact.custom_properties
                and os.path.isdir(artifact.uri)
            ),
            key=lambda examples: examples.id,
        )


def read_entries(workdir: Workdir, pipeline: str) -> list[LedgerEntry]:
    """All entries, oldest first, of a work folder that may be read-only.

    SQLite has to write to a database that a killed process has left: where it cannot, a copy is read.
    """
    if os.access(workdir.root, os.W_OK) and os.access(workdir.metadata, os.W_OK):
        return Ledger.local(workdir, pipeline).entries()
    with tempfile.TemporaryDirectory() as folder:
        copy = replace(workdir, root=Path(folder))
        for end in SQLITE_FILES:
            source = workdir.metadata.with_name(workdir.metadata.name + end)
            if source.is_file():
                shutil.copyfile(source, copy.metadata.with_name(source.name))
        return Ledger.local(copy, pipeline).entries()


def span_verdicts(entries: Iterable[LedgerEntry]) -> dict[int, SpanVerdict]:
    """Return the last verdict on each span."""
    verdicts: dict[int, SpanVerdict] = {}
    for entry in entries:
        verdicts |= entry.spans
    return verdicts


def trained_spans(entries: Iterable[LedgerEntry]) -> set[tuple[int, str]]:
    """Spans that a model was trained on, with the fingerprint of their files."""
    return {pair for entry in entries for pair in entry.trained.items()}
