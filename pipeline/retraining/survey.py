"""What lies on disk against what is on record: which spans are new, which accepted, what is in the way."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from components.example_gen import spans
from components.example_gen.spans import Carry, Span
from pipeline.config.configuration import Config
from pipeline.retraining.ledger import REJECTED, Entry, SpanExamples, seen_spans, trained_spans
from pipeline.retraining.plan import Plan


@dataclass(frozen=True)
class Survey:
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
        """What a person calls it."""
        return spans.name(span, self.pattern) if self.pattern is not None else "the data"

    def names(self, numbers: Sequence[int]) -> str:
        """Several, at most ten of them."""
        told = [self.name(number) for number in numbers]
        return ", ".join(told[:10]) + (f" and {len(told) - 10} more" if len(told) > 10 else "")

    def to_json(self) -> dict[str, Any]:
        """For summary.json."""
        return {
            "window": [self.name(number) for number in sorted(self.ready)],
            "new": [self.name(span.number) for span in self.pending],
            "rejected": {self.name(number): reason for number, reason in sorted(self.rejected.items())},
            "waiting": {self.name(number): reason for number, reason in sorted(self.waiting.items())},
            "missing": [self.name(number) for number in self.missing],
        }


def look(
    config: Config,
    entries: Sequence[Entry],
    examples: Sequence[SpanExamples],
    again: bool = False,
    now: float | None = None,
) -> Survey:
    """Compares what is on disk with what is on record.

    Args:
      config: The configuration; data without spans is one span that changes.
      entries: The ledger's.
      examples: Those of spans that are still there.
      again: Whether data without spans that was rejected is to be looked at once more.
      now: Unix time, for tests.
    """
    seen, trained, rules = seen_spans(entries), trained_spans(entries), rules_of(config)
    data = config.data
    if data.pattern is None:
        files = tuple(path for paths in data.files().values() for path in paths)
        found = [Span(0, files, spans.fingerprint(files))]
    else:
        found = spans.find(data.pattern, data.spans or spans.Spans(), now)
    rejected = {
        span.number: was.reason
        for span in found
        if (was := seen.get(span.number)) is not None
        and was.outcome == REJECTED
        and (was.files, was.rules) == (span.fingerprint, rules)
        and not (again and data.pattern is None)
    }
    there = {(one.span, one.files) for one in examples if one.accepted is not None}
    known = {number: one.files for number, one in seen.items() if one.outcome != REJECTED}
    present = {span.number for span in found}
    # Files that were read may be archived: their examples are still there.
    found += [
        Span(number, (), files)
        for number, files in known.items()
        if number not in present and (number, files) in there
    ]
    found.sort(key=lambda span: span.number)
    usable = [span for span in found if not span.waiting and span.number not in rejected]
    window = data.spans.window if data.spans is not None else "all"
    ready = {span.number: span for span in (usable if window == "all" else usable[-window:])}
    accepted = [
        span
        for span in ready.values()
        if known.get(span.number) == span.fingerprint
        and (data.pattern is None or (span.number, span.fingerprint) in there)
    ]
    oldest = min(ready, default=0)
    return Survey(
        data.pattern,
        ready,
        tuple(span for span in ready.values() if span not in accepted),
        tuple(span.number for span in accepted if (span.number, span.fingerprint) not in trained),
        {number: reason for number, reason in rejected.items() if number >= oldest},
        {span.number: span.waiting for span in found if span.waiting},
        tuple(number for number in spans.missing(span.number for span in found) if number >= oldest),
    )


def plan_for(
    survey: Survey, span: Span, accepted: Sequence[int], asked: str, examples: Sequence[SpanExamples]
) -> Plan:
    """The plan of a run that reads `span`, and trains on it and on those that are `accepted`."""
    if survey.pattern is None:
        return Plan(asked=asked)
    window = {
        number: survey.ready[number].fingerprint
        for number in sorted({*accepted, span.number})
        if number in survey.ready
    }
    mine = [one.id for one in examples if (one.span, one.files) == (span.number, span.fingerprint)]
    # A span that was read before sees what it saw the first time, and comes out of the cache.
    before = [
        one
        for one in examples
        if one.accepted is not None and one.id not in mine and one.id < min(mine, default=one.id + 1)
    ]
    earlier = max(before, key=lambda one: one.accepted or 0, default=None)
    carry = Carry(
        span.number,
        span.fingerprint,
        min(window),
        earlier.uri if earlier is not None else "",
        {one.uri: one.span for one in before if one.span >= min(window)},
    )
    return Plan(span.files, carry, window, asked)


def rules_of(config: Config) -> str:
    """Digest of what a span is judged by: where it changes, spans that were rejected are looked at again."""
    told = {
        "data": config.data.model_dump(mode="json", exclude={"spans", "schema_file", "path"}),
        "schema": config.data.schema_file.read_text() if config.data.schema_file is not None else "",
        "validation": config.validation.model_dump(mode="json"),
    }
    return _digest(told)


def model_config(config: Config) -> str:
    """Digest of what a model depends on besides data and code."""
    return _digest({"spec": config.spec.model_dump(mode="json")})


def gates_of(config: Config) -> str:
    """Digest of what a model is judged by."""
    return _digest({"gates": config.gates.model_dump(mode="json"), "serving": config.serving.for_gate()})


def _digest(told: object) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]
