"""The first step of a run in a cluster: it makes the plan of the run, which all other steps read."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from components.example_gen.spans import Span
from components.version_folder.push import models_of, versions
from pipeline.config.configuration import Config
from pipeline.graph.plan import Plan
from pipeline.kubeflow.records import RUN, Records
from pipeline.retraining.span_run import SpanRun, prepare_run
from pipeline.retraining.survey import survey_spans
from pipeline.store.ledger import Ledger, LiveEvaluation, SpanVerdict
from pipeline.store.workdir import Workdir
from trainer.errors import ConfigError

if TYPE_CHECKING:
    from pipeline.graph.step_result import StepResult
    from pipeline.runs.launch import Launcher

_PLAN, _REASON, _VERDICTS, _SERVED, _FILES = "plan", "asked", "seen", "served", "files"
LAST = "last"
_UNCHANGED, _DECLINED = "unchanged", "declined"
_BY_HAND = "a run was asked for"


def plan_run(
    config: Config,
    workdir: Workdir,
    ledger: Ledger,
    records: Records,
    force: bool,
    launcher_of: Callable[[Plan, str], Launcher],
    last: str = "",
) -> None:
    """Decide what the run does, read all new spans but the newest, and write the plan down.

    A second try finds the record and changes nothing. `last` is the step that ends a run that goes well.

    Raises:
      ConfigError: no span is complete.
      KembarError: a span that came before could not be read.
    """
    if records.read(RUN) is not None:
        return
    record = {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "clock": time.time(),
        "before": versions(workdir.serving),
        LAST: last,
    }
    requested = _BY_HAND if config.retraining is None or force else None
    span_run, reason = prepare_run(config, workdir, ledger, requested)
    if requested is None and not reason.due:
        records.write(RUN, {**record, _UNCHANGED: reason.figures})
        return
    survey = span_run.survey
    if not survey.ready:
        raise ConfigError(f"[data] pattern = {survey.pattern!r}: no span is complete")

    def read(span: Span, plan: Plan, last: str) -> list[StepResult]:
        launcher = launcher_of(plan, survey.name(span.number))
        steps: list[StepResult] = []
        for node in launcher.up_to(last):
            steps.append(launcher.launch(node))
            if steps[-1].error is not None:
                break
        return steps

    if not span_run.read_backlog(read):
        failed = next(step.error for step in span_run.steps if step.error is not None)
        raise failed
    decided = {
        _PLAN: span_run.make_plan(span_run.newest).to_json(),
        _REASON: span_run.reason,
        _FILES: {number: span.fingerprint for number, span in survey.ready.items()},
        _VERDICTS: {number: asdict(verdict) for number, verdict in span_run.verdicts.items()},
        _SERVED: {number: asdict(evaluation) for number, evaluation in span_run.served.items()},
    }
    records.write(RUN, {**record, **decided})


def plan_of(records: Records) -> Plan:
    """Return the run's plan; an empty one where the run has none."""
    plan = (records.read(RUN) or {}).get(_PLAN)
    return Plan() if plan is None else Plan.from_json(plan)


def record_decline(records: Records) -> None:
    """Write down that nothing is to be trained, for the steps that follow."""
    records.write(RUN, {**(records.read(RUN) or {}), _DECLINED: True})


def is_over(records: Records) -> bool:
    """True where it was decided that there is nothing to do, or nothing to train."""
    record = records.read(RUN) or {}
    return _UNCHANGED in record or _DECLINED in record


def unchanged_of(records: Records) -> str | None:
    """Return the reason why there is nothing to do in this run, where that is so."""
    return (records.read(RUN) or {}).get(_UNCHANGED)


def restore_run(
    config: Config, workdir: Workdir, ledger: Ledger, records: Records, steps: list[StepResult]
) -> SpanRun:
    """Return the whole run, out of its record, once its steps are over."""
    record = records.read(RUN) or {}
    survey = survey_spans(config, ledger.entries(), ledger.examples(), again=True)
    # Files that were mended or replaced while the run was at work are not the ones that it read.
    read = {int(number): files for number, files in record.get(_FILES, {}).items()}
    ready = {
        number: Span(number, survey.ready[number].files if number in survey.ready else (), files)
        for number, files in read.items()
    }
    survey = replace(survey, ready=survey.ready | ready)
    span_run = SpanRun(config, survey, record.get(_REASON, ""), ledger, models_of(workdir.serving))
    span_run.plan, span_run.steps = plan_of(records), steps
    span_run.verdicts = {
        int(number): SpanVerdict(**verdict) for number, verdict in record.get(_VERDICTS, {}).items()
    }
    span_run.served = {
        int(number): LiveEvaluation(**evaluation) for number, evaluation in record.get(_SERVED, {}).items()
    }
    if _PLAN in record:
        number = span_run.plan.carry.span if span_run.plan.carry is not None else 0
        if number in survey.ready:
            span_run.record_verdict(survey.ready[number], steps)
    return span_run
