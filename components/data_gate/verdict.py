"""What the gate says: every check with its severity, and the sentences for a person."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from components.data_gate.anomalies import Anomaly
from components.data_gate.leaks import Leak
from components.data_gate.validation_config import (
    ANOMALIES,
    DRIFT,
    IGNORE,
    LEAKS,
    REJECT,
    SKEW,
    SPLITS,
    WARN,
    Validation,
)
from components.drift.compare import Measured

# Findings that an error tells in full.
_TOLD = 6
_AGAINST = {
    DRIFT: "the data accepted before",
    SKEW: "the training split",
    SPLITS: "the training split",
}
LOG = "serving_log"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. A measure is found wanting above `limit` + `chance`.

    An anomaly has no value: TFDV says in words what is wrong, and nothing of what is right.
    """

    subject: str
    split: str
    feature: str
    kind: str
    severity: str
    found: bool
    detail: str
    value: float | None = None
    limit: float | None = None
    chance: float | None = None

    @property
    def excess(self) -> float:
        """How many times over what is allowed the value is."""
        if self.value is None or self.limit is None or self.chance is None:
            return float("inf")
        return self.value / max(self.limit + self.chance, 1e-9)

    @property
    def sentence(self) -> str:
        """Split, feature, measure, value and what is allowed."""
        if self.value is None or self.limit is None or self.chance is None or self.subject == LEAKS:
            return f"{self.split}, feature {self.feature!r}: {self.detail}" if self.feature else self.detail
        return (
            f"{self.split}, feature {self.feature!r}: {self.kind} {self.value:.3g} against "
            f"{_AGAINST[self.subject]} is above {self.limit + self.chance:.3g} (limit {self.limit:g}, chance "
            f"{self.chance:.2g}): {self.detail}"
        )


@dataclass
class Verdict:
    """All checks, what they were made against, and what could not be compared."""

    checks: list[Check] = field(default_factory=list)
    compared_with: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add_anomalies(
        self, validation: Validation, split: str, found: Iterable[Anomaly], subject: str = ANOMALIES
    ) -> None:
        """Anomalies of a split; those of the log of requests are a matter of skew."""
        for one in found:
            severity = validation.severity_of(subject, one.feature, one.kind)
            place = subject, split, one.feature, one.kind
            self.checks.append(Check(*place, severity, severity != IGNORE, one.description))

    def add_measures(
        self, validation: Validation, subject: str, split: str, measured: Iterable[Measured]
    ) -> None:
        """Measures of a split against one reference."""
        for one in measured:
            severity = validation.severity_of(subject, one.feature, one.kind)
            limit = float(getattr(validation.limits, one.kind))
            found = severity != IGNORE and one.value > limit + one.chance
            place = subject, split, one.feature, one.kind
            numbers = round(one.value, 6), limit, round(one.chance, 6)
            self.checks.append(Check(*place, severity, found, one.detail, *numbers))

    def add_leaks(self, validation: Validation, leaks: Iterable[Leak]) -> None:
        """What splits share; of two that share rows nothing more is said of their texts."""
        told: set[tuple[str, str]] = set()
        for leak in leaks:
            severity = validation.severity_of(LEAKS, "", leak.kind)
            limit = float(getattr(validation.limits, leak.kind))
            found = severity != IGNORE and leak.share > limit and leak.splits not in told
            told |= {leak.splits} if found else set()
            place = LEAKS, leak.splits[1], "", leak.kind
            self.checks.append(
                Check(*place, severity, found, leak.sentence(limit), round(leak.share, 6), limit, 0.0)
            )

    def found(self, severity: str) -> list[Check]:
        """What was found wanting, the worst first."""
        found = [check for check in self.checks if check.found and check.severity == severity]
        return sorted(found, key=lambda check: -check.excess)

    @property
    def warnings(self) -> list[str]:
        """One sentence each."""
        return [check.sentence for check in self.found(WARN)]

    @property
    def rejection(self) -> str | None:
        """One line that says all that the run is rejected for, or None."""
        found = self.found(REJECT)
        anomalies = [check.sentence for check in found if check.subject == ANOMALIES]
        leaks = [check.sentence for check in found if check.subject == LEAKS]
        changes = [check for check in found if check.subject not in (ANOMALIES, LEAKS)]
        parts = []
        if leaks:
            parts.append(f"the splits are not apart: {'; '.join(leaks)}")
        if anomalies:
            parts.append(
                f"the data does not fit its schema: {'; '.join(anomalies)}: "
                "mend the data, or the schema if it is out of date"
            )
        if changes:
            told = "; ".join(check.sentence for check in changes[:_TOLD])
            more = f"; and {len(changes) - _TOLD} more" if len(changes) > _TOLD else ""
            accept = " ".join(
                f"--set validation.{name}=warn" for name in _ordered(c.subject for c in changes)
            )
            kinds = _ordered(check.kind for check in changes if check.value is not None)
            parts.append(
                f"the data has changed: {told}{more}: mend the data; or, if it is meant to be so, run once "
                f"with {accept}" + (f", or raise [validation.limits] {', '.join(kinds)}" if kinds else "")
            )
        return "; ".join(parts) or None

    def to_json(self) -> dict[str, Any]:
        """What `verdict.json` holds."""
        return {
            "compared_with": self.compared_with,
            "notes": self.notes,
            "warnings": self.warnings,
            "checks": [asdict(check) for check in self.checks],
        }


def _ordered(names: Iterable[str]) -> list[str]:
    """Without doubles, in the order in which they came."""
    return list(dict.fromkeys(names))
