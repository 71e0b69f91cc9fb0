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
from ml_metadata.errors import StatusError
from tensorflow_metadata.proto.v0 import schema_pb2

from components.atomic_pusher.pins import read_pins
from components.atomic_pusher.versions import versions
from components.bulk_inferrer.config import RESULT
from components.example_gen.config import matching
from components.example_gen.reader import check_columns
from pipeline.backup import back_up, protect
from pipeline.config import Config
from pipeline.lock import lock
from pipeline.notify import notify, notify_error
from pipeline.outcome import EXIT_CODES, FILE, failed, failure, unchanged, write
from pipeline.retraining.ledger import Ledger
from pipeline.retraining.work import Work, begin_work, entry_of, says_no
from pipeline.terminal import Terminal
from pipeline.workdir import Workdir
from trainer.config import PairModel
from trainer.errors import ConfigError, KembarError, Locked

if TYPE_CHECKING:
    from components.example_gen.spans import Span
    from pipeline.retraining.plan import Plan
    from pipeline.runners.steps import Step


def preflight(source: str, config: Config) -> None:
    """Looks at every file that the configuration names, before any component starts.

    Raises:
      ConfigError: naming configuration, key, value and fix.
    """
    schema, written = config.data.schema_file, config.data.schema_text
    if schema is not None and not schema.is_file():
        raise ConfigError(f"{source}: [data] schema_file = {str(schema)!r}: no such file: correct the path")
    sources = {f"[data] {key}": names for key, names in config.data.sources().items()}
    if config.bulk is not None:
        sources["[bulk] input"] = config.bulk.input
    for key, names in sources.items():
        for name in names:
            if not matching(name):
                raise ConfigError(f"{source}: {key} = {str(name)!r}: no such file: correct the path")
    place = f"[data] schema_file: {schema}" if schema is not None else "[data] schema_text"
    try:
        text_format.Parse(
            written or (schema.read_text(encoding="utf-8") if schema else ""), schema_pb2.Schema()
        )
    except (text_format.ParseError, UnicodeDecodeError, OSError) as error:
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
    read = [(f"[data] {key}", files, config.data) for key, files in config.data.files().items()]
    if config.bulk is not None:
        unlabelled = config.bulk.data(config.data)
        read.append(("[bulk] input", unlabelled.files()["path"], unlabelled))
    for key, files, data in read:
        for file in files:
            try:
                check_columns(file, data)
            except KembarError as error:
                raise type(error)(f"{source}: {key}: {error}") from None


def run(path: Path, config: Config, workdir: Workdir, terminal: Terminal) -> int:
    """Runs the pipeline and returns the exit code; `summary.json` says the rest."""
    return _locked(path, config, workdir, terminal, "asked for by kembar run")


def retrain(path: Path, config: Config, workdir: Workdir, terminal: Terminal, force: bool = False) -> int:
    """Runs the pipeline where there is a reason, and returns the exit code.

    It can be called at any time and any number of times: what was done is not done again.
    """
    return _locked(path, config, workdir, terminal, "asked for by --force" if force else None)


def _locked(path: Path, config: Config, workdir: Workdir, terminal: Terminal, asked: str | None) -> int:
    try:
        preflight(str(path), config)
        # Whether these can be read is better known before hours of work.
        config.serving.for_gate()
        read_pins(workdir.serving)
        with lock(workdir.root), terminal.noise_to(workdir.log):
            return _run(config, workdir, terminal, asked)
    except Locked:
        raise
    except KembarError as error:
        notify_error(config.notify, config.pipeline.name, error)
        raise


def _run(config: Config, workdir: Workdir, terminal: Terminal, asked: str | None) -> int:
    started, clock = datetime.now(UTC), time.monotonic()
    begun = {
        "pipeline": config.pipeline.name,
        "run_id": started.strftime("%Y%m%dT%H%M%S.%fZ"),
        "started": started.isoformat(timespec="seconds"),
    }
    # Whoever reads the summary of a run that was killed must not take it for the one before.
    (workdir.root / FILE).unlink(missing_ok=True)
    try:
        protect(workdir, terminal.say)
    except KembarError as error:
        write(workdir.root, {**begun, "seconds": 0.0, **failed(str(error))})
        raise
    ledger = Ledger.local(workdir, config.pipeline.name)
    before = versions(workdir.serving)
    work, reason = begin_work(config, workdir.serving, ledger, asked)
    if asked is None and not reason.work:
        found = {**begun, **unchanged(reason.figures), "retraining": work.to_json()}
        found["seconds"] = round(time.monotonic() - clock, 2)
        write(workdir.root, found)
        ledger.append(entry_of(found, config, None))
        back_up(workdir, terminal.say)
        notify(config.notify, found)
        terminal.result(f"{config.pipeline.name}: unchanged: {reason.figures} ({found['seconds']:.0f} s)")
        return 0
    if not work.survey.ready:
        raise ConfigError(f"[data] pattern = {work.survey.pattern!r}: no span is complete: {reason.figures}")
    from pipeline.gc import tidy
    from pipeline.report import write_report

    found = _work_off(work, workdir, terminal, begun, clock, before)
    try:
        write(workdir.root, found)
        ledger.append(entry_of(found, config, work))
        if config.retraining is not None and config.retraining.keep_runs and EXIT_CODES[found["status"]] == 0:
            tidy(config, workdir, ledger, config.retraining.keep_runs, terminal.say)
        page = write_report(config, workdir)
    except (OSError, StatusError) as error:
        raise KembarError(
            f"{found['status']}: {found['reason']}; and what there is to say of it could not be written in "
            f"{workdir.root}: {' '.join(str(error).split())}: make room"
        ) from None
    back_up(workdir, terminal.say)
    notify(config.notify, found, page)
    _conclude(found, config, workdir, terminal)
    return EXIT_CODES[found["status"]]


def _work_off(
    work: Work, workdir: Workdir, terminal: Terminal, begun: dict[str, Any], clock: float, before: list[int]
) -> dict[str, Any]:
    """Carries it out, and returns the summary."""
    config = work.config
    terminal.say(
        f"{config.pipeline.name}: {_shown(workdir.root)}, "
        f"everything else that is printed goes to {_shown(workdir.log)}"
    )
    # Here and not above: it takes seconds, and its noise belongs into the log.
    from absl import logging
    from tfx.orchestration.metadata import sqlite_metadata_connection_config

    from pipeline import graph, summary
    from pipeline.runners.local import LocalRunner

    logging.set_verbosity(logging.INFO)
    metadata = sqlite_metadata_connection_config(str(workdir.metadata))

    def runner_of(plan: Plan, name: str = "") -> LocalRunner:
        built = graph.build(config, workdir.artifacts, metadata, workdir.serving, plan=plan)
        return LocalRunner(built, begun["run_id"] + name)

    def read(span: Span, plan: Plan, last: str) -> list[Step]:
        at = time.monotonic()
        steps = runner_of(plan, f"-{work.survey.name(span.number)}").run(up_to=last)
        terminal.say(f"  {work.survey.name(span.number)} read in {time.monotonic() - at:.1f} s")
        return steps

    def finish(plan: Plan) -> list[Step]:
        name = f"-{work.survey.name(plan.carry.span)}-again" if work.steps and plan.carry else ""
        runner = runner_of(plan, name)
        report = _Report(terminal, len(runner.node_ids))
        return runner.run(report.start, report.end, says_no)

    try:
        if work.read_backlog(read):
            work.finish(finish)
        steps = work.steps
        for step in steps:
            if step.error is not None:
                traceback.print_exception(step.error, file=sys.stderr)
        found: dict[str, Any] = {
            **begun,
            "seconds": round(time.monotonic() - clock, 2),
            "peak_memory_mb": max(step.peak_memory_mb for step in steps),
            **summary.summarize(steps, before),
            "retraining": work.to_json(),
        }
        summary.show_files(steps, workdir.root)
    except KembarError:
        raise
    except Exception as error:  # noqa: BLE001 - outside of any component: the summary says so too
        traceback.print_exc(file=sys.stderr)
        found = {**begun, "seconds": round(time.monotonic() - clock, 2), **failure(error)}
    return found


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
    bulk = found.get("bulk")
    if bulk is not None:
        scored, place = bulk["rows_scored"], _shown(workdir.root / RESULT)
        terminal.say(
            f"  bulk: {scored} of {bulk['rows_read']} rows scored" + (f": {place}" if scored else "")
        )
    for warning in data["warnings"]:
        terminal.say(f"  warning: {warning}")
    if found["status"] == "failed":
        terminal.say(f"kembar: error: {found['reason']} (traceback in {_shown(workdir.log)})")
    terminal.result(f"{found['pipeline']}: {found['status']}: {found['reason']} ({found['seconds']:.0f} s)")


def _shown(path: Path) -> str:
    """Relative where that is shorter."""
    relative = os.path.relpath(path)
    return relative if not relative.startswith("..") else str(path)
