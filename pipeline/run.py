"""`kembar run`: the whole pipeline in this process, and the summary of it."""

from __future__ import annotations

import os
import sys
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from components.atomic_pusher.pins import read_pins
from components.atomic_pusher.versions import versions
from components.example_gen.config import matching
from components.example_gen.reader import check_columns
from pipeline.config import Config
from pipeline.lock import lock
from pipeline.terminal import Terminal
from pipeline.workdir import Workdir
from trainer.config import PairModel
from trainer.errors import ConfigError, KembarError

if TYPE_CHECKING:
    from pipeline.runners.launch import Step


def preflight(source: str, config: Config) -> None:
    """Looks at every file that the configuration names, before any component starts.

    Raises:
      ConfigError: naming configuration, key, value and fix.
    """
    schema, written = config.data.schema_file, config.data.schema_text
    if schema is not None and not schema.is_file():
        raise ConfigError(f"{source}: [data] schema_file = {str(schema)!r}: no such file: correct the path")
    for key, names in config.data.sources().items():
        for name in names:
            if not matching(name):
                raise ConfigError(f"{source}: [data] {key} = {str(name)!r}: no such file: correct the path")
    place = f"[data] schema_file: {schema}" if schema is not None else "[data] schema_text"
    try:
        text_format.Parse(
            written or (schema.read_text(encoding="utf-8") if schema else ""), schema_pb2.Schema()
        )
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise ConfigError(f"{source}: {place}: {error}") from None
    _check_files(source, config)


def _check_files(source: str, config: Config) -> None:
    """What is inside the files."""
    if isinstance(config.model, PairModel) and (config.model.weights or config.model.token_vectors):
        from trainer.pretrained import check_folder
        from trainer.vectors import check_vectors

        try:
            if config.model.weights is not None:
                check_folder(config.model.weights)
            check_vectors(config.model)
        except ConfigError as error:
            raise ConfigError(f"{source}: {error}") from None
    for key, files in config.data.files().items():
        for file in files:
            try:
                check_columns(file, config.data)
            except KembarError as error:
                raise type(error)(f"{source}: [data] {key}: {error}") from None


def run(path: Path, config: Config, workdir: Workdir, terminal: Terminal) -> int:
    """Runs the pipeline and returns the exit code; `summary.json` says the rest."""
    preflight(str(path), config)
    # Whether these can be read is better known before hours of work.
    config.serving.for_gate()
    read_pins(workdir.serving)
    with lock(workdir.root), terminal.noise_to(workdir.log):
        return _run(config, workdir, terminal)


def _run(config: Config, workdir: Workdir, terminal: Terminal) -> int:
    started, clock = datetime.now(UTC), time.monotonic()
    name = config.pipeline.name
    terminal.say(
        f"{name}: {_shown(workdir.root)}, everything else that is printed goes to {_shown(workdir.log)}"
    )
    # Here and not above: it takes seconds, and its noise belongs into the log.
    from absl import logging
    from tfx.orchestration.metadata import sqlite_metadata_connection_config

    from pipeline import graph, summary
    from pipeline.report import write_report
    from pipeline.runners.local import LocalRunner

    logging.set_verbosity(logging.INFO)
    begun = {"pipeline": name, "run_id": None, "started": started.isoformat(timespec="seconds")}
    # Whoever reads the summary of a run that was killed must not take it for the one before.
    (workdir.root / summary.FILE).unlink(missing_ok=True)
    try:
        before = versions(workdir.serving)
        metadata = sqlite_metadata_connection_config(str(workdir.metadata))
        runner = LocalRunner(graph.build(config, workdir.artifacts, metadata, workdir.serving))
        report = _Report(terminal, len(runner.node_ids))
        steps = runner.run(report.start, report.end)
        for step in steps:
            if step.error is not None:
                traceback.print_exception(step.error, file=sys.stderr)
        found: dict[str, Any] = {
            **begun,
            "run_id": runner.run_id,
            "seconds": round(time.monotonic() - clock, 2),
            "peak_memory_mb": max(step.peak_memory_mb for step in steps),
            **summary.summarize(steps, before),
        }
        summary.show_files(steps, workdir.root)
    except KembarError:
        raise
    except Exception as error:  # noqa: BLE001 - outside of any component: the summary says so too
        traceback.print_exc(file=sys.stderr)
        found = {**begun, "seconds": round(time.monotonic() - clock, 2), **summary.failure(error)}
    summary.write(workdir.root, found)
    write_report(config, workdir)
    _conclude(found, config, workdir, terminal)
    return summary.EXIT_CODES[found["status"]]


class _Report:
    """One line a component, when it has ended; while it works, a spinner where there is a terminal."""

    def __init__(self, terminal: Terminal, total: int) -> None:
        self._terminal = terminal
        self._total = total
        self._done = 0
        self._status = terminal.console.status("") if terminal.console.is_terminal else None

    def start(self, node: str) -> None:
        if self._status is not None:
            self._status.update(node)
            self._status.start()

    def end(self, step: Step) -> None:
        self._done += 1
        if self._status is not None:
            self._status.stop()
        line = f"  {self._done:>2}/{self._total} {step.id:<18} {step.state:<8}"
        if step.seconds:
            line += f"{step.seconds:7.1f} s {step.peak_memory_mb:6d} MB"
        self._terminal.say(line)


def _conclude(found: dict[str, Any], config: Config, workdir: Workdir, terminal: Terminal) -> None:
    split = config.gates.split
    rows = {"model": found["metrics"].get(split, {})}
    rows |= {name: measured.get(split, {}) for name, measured in found["baselines"].items()}
    for name, measured in rows.items():
        shown = "  ".join(
            f"{key} {value:.4f}" for key, value in sorted(measured.items()) if value is not None
        )
        if shown:
            terminal.say(f"  {split} {name:<14} {shown}")
    data = found["data"]
    if data["rows_quarantined"]:
        reasons = ", ".join(f"{reason} ({n})" for reason, n in data["quarantine_reasons"].items())
        terminal.say(f"  {data['rows_quarantined']} of {data['rows_read']} rows quarantined: {reasons}")
    for warning in data["warnings"]:
        terminal.say(f"  warning: {warning}")
    if found["status"] == "failed":
        terminal.say(f"kembar: error: {found['reason']} (traceback in {_shown(workdir.log)})")
    terminal.result(f"{found['pipeline']}: {found['status']}: {found['reason']} ({found['seconds']:.0f} s)")


def _shown(path: Path) -> str:
    """Relative where that is shorter."""
    relative = os.path.relpath(path)
    return relative if not relative.startswith("..") else str(path)
