"""The verdict of the gate: every check with its severity, and the sentences for a person."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tfx.types import Artifact

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
    VERDICT_TYPE,
    WARN,
    Validation,
)
from components.drift.compare import Measured

# Changes of the data that an error gives in full.
_LISTED_CHANGES = 6
_AGAINST = {DRIFT: "the data accepted before", **dict.fromkeys((SKEW, SPLITS), "the training split")}
LOG = "serving_log"


@dataclass(frozen=True)
class Check:
    """One comparison that was made. A measure is flagged above `limit` + `chance`.

    An anomaly has no value: TFDV says in words what is wrong, and nothing of what is right.
    """

    subject: str
    split: str
    feature: str
    kind: str
    severity: str
    flagged: bool
    detail: str
    value: float | None = None
    limit: float | None = None
    chance: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The check as `verdict.json` has it, where a flagged check is `found`."""
        return {"found" if key == "flagged" else key: value for key, value in asdict(self).items()}

    @classmethod
    def from_json(cls, read: Mapping[str, Any]) -> Check:
        """The check of which `to_json` made `read`."""
        return cls(**{"flagged" if key == "found" else key: value for key, value in read.items()})

    @property
    def excess(self) -> float:
        """The value as a multiple of what is allowed."""
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


class DataVerdict(Artifact):
    """`verdict.json`, and a profile of each split. TFX keeps it only where the data was accepted."""

    TYPE_NAME = VERDICT_TYPE


@dataclass
class Verdict:
    """All checks, what they were made against, and what could not be compared."""

    checks: list[Check] = field(default_factory=list)
    compared_with: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    def add_anomalies(
        self, validation: Validation, split: str, anomalies: Iterable[Anomaly], subject: str = ANOMALIES
    ) -> None:
        """Anomalies of a split; those of the log of requests are a matter of skew."""
        for anomaly in anomalies:
            severity = validation.severity_of(subject, anomaly.feature, anomaly.kind)
            key = subject, split, anomaly.feature, anomaly.kind
            self.checks.append(Check(*key, severity, severity != IGNORE, anomaly.description))

    def add_measures(
        self, validation: Validation, subject: str, split: str, measured: Iterable[Measured]
    ) -> None:
        """Measures of a split against one reference."""
        for measure in measured:
            severity = validation.severity_of(subject, measure.feature, measure.kind)
            limit = float(getattr(validation.limits, measure.kind))
            flagged = severity != IGNORE and measure.value > limit + measure.chance
            key = subject, split, measure.feature, measure.kind
            numbers = round(measure.value, 6), limit, round(measure.chance, 6)
            self.checks.append(Check(*key, severity, flagged, measure.detail, *numbers))

    def add_leaks(self, validation: Validation, leaks: Iterable[Leak]) -> None:
        """Add what splits share; of two that share rows, shared texts are not flagged."""
        reported: set[tuple[str, str]] = set()
        for leak in leaks:
            severity = validation.severity_of(LEAKS, "", leak.kind)
            limit = float(getattr(validation.limits, leak.kind))
            flagged = severity != IGNORE and leak.share > limit and leak.splits not in reported
            reported |= {leak.splits} if flagged else set()
            key = LEAKS, leak.splits[1], "", leak.kind
            numbers = round(leak.share, 6), limit, 0.0
            self.checks.append(Check(*key, severity, flagged, leak.sentence(limit), *numbers))

    def findings(self, severity: str) -> list[Check]:
        """The flagged checks of a severity, the worst first."""
        findings = [check for check in self.checks if check.flagged and check.severity == severity]
        return sorted(findings, key=lambda check: -check.excess)

    @property
    def warnings(self) -> list[str]:
        """One sentence each."""
        return [check.sentence for check in self.findings(WARN)]

    @property
    def rejection(self) -> str | None:
        """One line that says all that the run is rejected for, or None."""
        findings = self.findings(REJECT)
        anomalies = [check.sentence for check in findings if check.subject == ANOMALIES]
        leaks = [check.sentence for check in findings if check.subject == LEAKS]
        changes = [check for check in findings if check.subject not in (ANOMALIES, LEAKS)]
        parts = []
        if leaks:
            parts.append(f"the splits are not apart: {'; '.join(leaks)}")
        if anomalies:
            parts.append(
                f"the data does not fit its schema: {'; '.join(anomalies)}: "
                "mend the data, or the schema if it is out of date"
            )
        if changes:
            listed = "; ".join(check.sentence for check in changes[:_LISTED_CHANGES])
            more = f"; and {len(changes) - _LISTED_CHANGES} more" if len(changes) > _LISTED_CHANGES else ""
            subjects = dict.fromkeys(check.subject for check in changes)
            accept = " ".join(f"--set validation.{name}=warn" for name in subjects)
            kinds = dict.fromkeys(check.kind for check in changes if check.value is not None)
            parts.append(
                f"the data has changed: {listed}{more}: mend the data; or, if it is meant to be so, run once "
                f"with {accept}" + (f", or raise [validation.limits] {', '.join(kinds)}" if kinds else "")
            )
        return "; ".join(parts) or None

    def to_json(self) -> dict[str, Any]:
        """The content of `verdict.json`."""
        return {
            "compared_with": self.compared_with,
            "notes": self.remarks,
            "warnings": self.warnings,
            "checks": [check.to_json() for check in self.checks],
        }
