"""The spans on disk held against those on record: which are new, which accepted, which wait."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from components.example_gen import spans
from components.example_gen.reader import check_files
from components.example_gen.spans import Carry, Span
from pipeline.config.configuration import Config
from pipeline.graph.plan import Plan
from pipeline.store.ledger import REJECTED, LedgerEntry, SpanExamples, span_verdicts, trained_spans
from trainer.errors import DataRejected, KembarError


@dataclass(frozen=True)
class SpanSurvey:
    """The spans that matter now."""

    pattern: str | None
    ready: dict[int, Span] = field(default_factory=dict)
    """complete ones that can be in the window, read or not"""
    pending: tuple[Span, ...] = ()
    """of those, the ones to be read, by number"""
    untrained: tuple[int, ...] = ()
    """of those that are accepted, the ones that no model was trained on"""
    rejected: dict[int, str] = field(default_factory=dict)
    """as they lie there now, with the reason"""
    waiting: dict[int, str] = field(default_factory=dict)
    missing: tuple[int, ...] = ()

    def name(self, span: int) -> str:
        """Return the span's name for a person."""
        return spans.name(span, self.pattern) if self.pattern is not None else "the data"

    def names(self, numbers: Sequence[int]) -> str:
        """Return the names of several spans, at most ten of them."""
        listed = [self.name(number) for number in numbers]
        return ", ".join(listed[:10]) + (f" and {len(listed) - 10} more" if len(listed) > 10 else "")

    def to_json(self) -> dict[str, Any]:
        """For summary.json."""
        return {
            "window": [self.name(number) for number in sorted(self.ready)],
            "new": [self.name(span.number) for span in self.pending],
            "rejected": {self.name(number): reason for number, reason in sorted(self.rejected.items())},
            "waiting": {self.name(number): reason for number, reason in sorted(self.waiting.items())},
            "missing": [self.name(number) for number in self.missing],
        }


def survey_spans(
    config: Config,
    entries: Sequence[LedgerEntry],
    examples: Sequence[SpanExamples],
    again: bool = False,
    now: float | None = None,
) -> SpanSurvey:
    """Compare the spans on disk with those on record.

    Args:
      config: The configuration; data without spans is one span that changes.
      entries: The ledger's.
      examples: Those of spans that are still there.
      again: Whether data without spans that was rejected is to be looked at once more.
      now: Unix time, for tests.
    """
    verdicts, trained, rules = span_verdicts(entries), trained_spans(entries), rules_of(config)
    data = config.data
    if data.pattern is None:
        files = tuple(path for paths in data.files().values() for path in paths)
        candidates = [Span(0, files, spans.fingerprint(files))]
    else:
        candidates = spans.find(data.pattern, data.spans or spans.Spans(), now)
    rejected = {
        span.number: was.reason
        for span in candidates
        if (was := verdicts.get(span.number)) is not None
        and was.outcome == REJECTED
        and (was.files, was.rules) == (span.fingerprint, rules)
        and not (again and data.pattern is None)
    }
    there = {(example.span, example.files) for example in examples if example.accepted is not None}
    known = {number: verdict.files for number, verdict in verdicts.items() if verdict.outcome != REJECTED}
    present = {span.number for span in candidates}
    # Files that were read may be archived: their examples are still there.
    candidates += [
        Span(number, (), files)
        for number, files in known.items()
        if number not in present and (number, files) in there
    ]
    candidates.sort(key=lambda span: span.number)
    usable = [span for span in candidates if not span.waiting and span.number not in rejected]
    window = data.spans.window if data.spans is not None else "all"
    ready = {span.number: span for span in (usable if window == "all" else usable[-window:])}
    accepted = [
        span
        for span in ready.values()
        if known.get(span.number) == span.fingerprint
        and (data.pattern is None or (span.number, span.fingerprint) in there)
    ]
    oldest = min(ready, default=0)
    return SpanSurvey(
        data.pattern,
        ready,
        tuple(span for span in ready.values() if span not in accepted),
        tuple(span.number for span in accepted if (span.number, span.fingerprint) not in trained),
        {number: reason for number, reason in rejected.items() if number >= oldest},
        {span.number: span.waiting for span in candidates if span.waiting},
        tuple(number for number in spans.missing(span.number for span in candidates) if number >= oldest),
    )


def plan_for(
    survey: SpanSurvey, span: Span, accepted: Sequence[int], reason: str, examples: Sequence[SpanExamples]
) -> Plan:
    """The plan of a run that reads `span`, and trains on it and on those that are `accepted`."""
    if survey.pattern is None:
        return Plan(reason=reason)
    window = {
        number: survey.ready[number].fingerprint
        for number in sorted({*accepted, span.number})
        if number in survey.ready
    }
    mine = [
        example.id for example in examples if (example.span, example.files) == (span.number, span.fingerprint)
    ]
    # A span that was read before sees what it saw the first time, and comes out of the cache.
    before = [
        example
        for example in examples
        if example.accepted is not None and example.id < min(mine, default=example.id + 1)
    ]
    earlier = max(before, key=lambda example: example.accepted or 0, default=None)
    carry = Carry(
        span.number,
        span.fingerprint,
        min(window),
        earlier.uri if earlier is not None else "",
        {example.uri: example.span for example in before if example.span >= min(window)},
    )
    return Plan(span.files, carry, window, reason)


def defect_of(span: Span, config: Config) -> KembarError | None:
    """Return the error that ends the reading of a span: a file cannot be read, or has not the columns."""
    for path in span.files:
        if not os.access(path, os.R_OK):
            why = "it is gone" if not path.exists() else "this user may not"
            return KembarError(f"{path}: cannot be read: {why}")
    try:
        check_files(span.files, config.data)
    except KembarError as error:
        # What stands where names should may be no text at all.
        return DataRejected(str(error).encode("utf-8", "backslashreplace").decode())
    return None


def rules_of(config: Config) -> str:
    """Digest of what a span is judged by: where it changes, spans that were rejected are looked at again."""
    rules = {
        "data": config.data.model_dump(mode="json", exclude={"spans", "schema_file", "path"}),
        "schema": config.data.schema_file.read_text() if config.data.schema_file is not None else "",
        "validation": config.validation.model_dump(mode="json"),
    }
    return _digest(rules)


def model_config(config: Config) -> str:
    """Digest of what a model depends on besides data and code."""
    return _digest({"spec": config.spec.model_dump(mode="json")})


def gates_of(config: Config) -> str:
    """Digest of what a model is judged by."""
    return _digest({"gates": config.gates.model_dump(mode="json"), "serving": config.serving.for_gate()})


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
