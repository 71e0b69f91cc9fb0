"""What the first step of a run in a cluster does for all others: it makes the plan that all of them read."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from components.example_gen.spans import Span
from components.version_folder.push import models_of, versions
from pipeline.config.configuration import Config
from pipeline.kubeflow.records import RUN, Records
from pipeline.retraining.ledger import Ledger, Seen, Served
from pipeline.retraining.plan import Plan
from pipeline.retraining.survey import look
from pipeline.retraining.work import Work, begin_work
from pipeline.store.workdir import Workdir
from trainer.errors import ConfigError

if TYPE_CHECKING:
    from pipeline.runs.launch import Launcher
    from pipeline.runs.steps import Step

_PLAN, _ASKED, _SEEN, _SERVED, _FILES = "plan", "asked", "seen", "served", "files"
LAST = "last"
_UNCHANGED, _DECLINED = "unchanged", "declined"
_BY_HAND = "a run was asked for"


def begin(
    config: Config,
    workdir: Workdir,
    ledger: Ledger,
    records: Records,
    force: bool,
    launcher_of: Callable[[Plan, str], Launcher],
    last: str = "",
) -> None:
    """Decides what the run does, reads all new spans but the newest, and writes it down.

    A second try finds the record and changes nothing. `last` is the step that ends a run that goes well.

    Raises:
      ConfigError: no span is complete.
      KembarError: a span that came before could not be read.
    """
    if records.read(RUN) is not None:
        return
    begun = {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "clock": time.time(),
        "before": versions(workdir.serving),
        LAST: last,
    }
    asked = _BY_HAND if config.retraining is None or force else None
    work, reason = begin_work(config, workdir, ledger, asked)
    if asked is None and not reason.work:
        records.write(RUN, {**begun, _UNCHANGED: reason.figures})
        return
    if not work.survey.ready:
        raise ConfigError(f"[data] pattern = {work.survey.pattern!r}: no span is complete")

    def read(span: Span, plan: Plan, last: str) -> list[Step]:
        launcher = launcher_of(plan, work.survey.name(span.number))
        steps: list[Step] = []
        for node in launcher.up_to(last):
            steps.append(launcher.launch(node))
            if steps[-1].error is not None:
                break
        return steps

    if not work.read_backlog(read):
        failed = next(step.error for step in work.steps if step.error is not None)
        raise failed
    told = {
        _PLAN: work.make_plan(work.newest).to_json(),
        _ASKED: work.asked,
        _FILES: {number: span.fingerprint for number, span in work.survey.ready.items()},
        _SEEN: {number: asdict(seen) for number, seen in work.seen.items()},
        _SERVED: {number: asdict(served) for number, served in work.served.items()},
    }
    records.write(RUN, {**begun, **told})


def plan_of(records: Records) -> Plan:
    """The run's plan; one that says nothing where it has none."""
    told = (records.read(RUN) or {}).get(_PLAN)
    return Plan() if told is None else Plan.from_json(told)


def decline(records: Records) -> None:
    """Notes the decision that nothing is to be trained, for the steps that follow."""
    records.write(RUN, {**(records.read(RUN) or {}), _DECLINED: True})


def is_over(records: Records) -> bool:
    """Whether it was decided that there is nothing to do, or nothing to train."""
    told = records.read(RUN) or {}
    return _UNCHANGED in told or _DECLINED in told


def unchanged_of(records: Records) -> str | None:
    """Why there is nothing to do in this run, where that is so."""
    return (records.read(RUN) or {}).get(_UNCHANGED)


def work_of(config: Config, workdir: Workdir, ledger: Ledger, records: Records, steps: list[Step]) -> Work:
    """The whole run, once its steps are over."""
    told = records.read(RUN) or {}
    survey = look(config, ledger.entries(), ledger.examples(), again=True)
    # Files that were mended or replaced while the run was at work are not the ones that it read.
    read = {int(number): files for number, files in told.get(_FILES, {}).items()}
    ready = {
        number: Span(number, survey.ready[number].files if number in survey.ready else (), files)
        for number, files in read.items()
    }
    survey = replace(survey, ready=survey.ready | ready)
    work = Work(config, survey, told.get(_ASKED, ""), ledger, models_of(workdir.serving))
    work.plan, work.steps = plan_of(records), steps
    work.seen = {int(number): Seen(**seen) for number, seen in told.get(_SEEN, {}).items()}
    work.served = {int(number): Served(**served) for number, served in told.get(_SERVED, {}).items()}
    if _PLAN in told:
        number = work.plan.carry.span if work.plan.carry is not None else 0
        if number in survey.ready:
            work.note(survey.ready[number], steps)
    return work
