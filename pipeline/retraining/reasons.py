"""The reason to train, as far as it is known before any data is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from components.retraining_gate.retraining_config import Retraining
from pipeline.config.configuration import Config
from pipeline.retraining.survey import SpanSurvey, gates_of, model_config
from pipeline.store.ledger import LedgerEntry
from pipeline.store.outcome import NOT_BLESSED, SERVING_REJECTED


@dataclass(frozen=True)
class TrainingReason:
    """The reason to train now, or the figures that speak against it."""

    due: bool
    """True where there is something to do"""
    text: str
    """reason enough to train; empty where only the new data can decide"""
    figures: str


def find_reason(
    config: Config,
    survey: SpanSurvey,
    entries: Sequence[LedgerEntry],
    version: int | None,
    age: timedelta | None,
) -> TrainingReason:
    """Return the reason for a training now.

    Args:
      config: The configuration.
      survey: The spans on disk.
      entries: The earlier decisions.
      version: The version in service.
      age: How long it has been there.
    """
    section = config.retraining or Retraining()
    new = [span.number for span in survey.pending]
    lacking = [*survey.untrained, *new]
    trained = [entry for entry in entries if entry.trained]
    reasons = []
    refused = _refused(config, trained[-1]) if version is None and trained else ""
    if version is None and (lacking or not refused):
        reasons.append("nothing is in service yet")
    if new and section.every_span:
        reasons.append(f"{survey.names(new)} {'is' if len(new) == 1 else 'are'} new")
    elif lacking and section.every_span:
        reasons.append(f"no model was trained on {survey.names(lacking)} yet")
    if trained and trained[-1].config != model_config(config):
        reasons.append("the configuration of the model has changed")
    if lacking and section.max_age is not None and age is not None and age > section.max_age:
        limit = f"([retraining] max_age = {_days(section.max_age)})"
        reasons.append(f"version {version} is {_days(age)} old {limit}")
    if version is None and not survey.ready:
        reasons = []
    return TrainingReason(
        bool(reasons or new), "; ".join(reasons), _figures(survey, section, version, age, refused)
    )


def _refused(config: Config, last: LedgerEntry) -> str:
    """Return the reason why the gates as they are now would refuse the last model again, or nothing."""
    same = last.gates == gates_of(config) and last.config == model_config(config)
    return last.reason if same and last.status in (NOT_BLESSED, SERVING_REJECTED) else ""


def _figures(
    survey: SpanSurvey, section: Retraining, version: int | None, age: timedelta | None, refused: str
) -> str:
    parts = []
    if version is None:
        parts.append("nothing is in service")
        if refused:
            parts.append(f"the last model was refused: {refused}")
    elif age is not None:
        limit = f" of at most {_days(section.max_age)}" if section.max_age is not None else ""
        parts.append(f"version {version} is {_days(age)} old{limit}")
    newest = f"up to {survey.name(max(survey.ready))}" if survey.ready and survey.pattern is not None else ""
    parts.append(f"no new data {newest}".rstrip())
    if survey.untrained:
        parts.append(f"not trained on: {survey.names(survey.untrained)}")
    if survey.waiting:
        waiting = [f"{survey.name(number)} ({why})" for number, why in sorted(survey.waiting.items())]
        parts.append(f"not complete: {', '.join(waiting[:3])}")
    if survey.missing:
        parts.append(f"missing: {survey.names(survey.missing)}")
    if survey.rejected:
        parts.append(f"rejected before: {survey.names(sorted(survey.rejected))}")
    return "; ".join(parts)


def _days(length: timedelta) -> str:
    hours = length.total_seconds() / 3_600
    return f"{hours / 24:.1f} days" if hours >= 48 else f"{hours:.1f} hours"
