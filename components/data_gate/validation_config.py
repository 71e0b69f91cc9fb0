"""The `[validation]` section: what is compared, within which limits, and what becomes of a finding."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveInt, model_validator
from tensorflow_metadata.proto.v0 import anomalies_pb2

from trainer.errors import suggestion
from trainer.features import LABEL, TEXT_A, TEXT_B, VECTOR
from trainer.section import Section

# What the gate leaves, every check that it made; its type's name has the form that Kubeflow wants.
VERDICT_TYPE = "kembar.DataVerdict"
# Custom property by which the gate tells which Examples artifact a verdict is on.
EXAMPLES_ID = "examples_id"
Severity = Literal["reject", "warn", "ignore"]
REJECT, WARN, IGNORE = "reject", "warn", "ignore"

# What is looked at.
ANOMALIES, DRIFT, SKEW, SPLITS, LEAKS = "anomalies", "drift", "skew", "splits", "leaks"
SUBJECTS = (ANOMALIES, DRIFT, SKEW, SPLITS, LEAKS)
FEATURES = (TEXT_A, TEXT_B, VECTOR, LABEL)


class ValidationLimits(Section):
    """The distance of each measure from its reference that is allowed beyond chance at the sample's size."""

    label_balance: NonNegativeFloat = Field(
        0.1, description="change of a class's share, or of the mean score as a share of its range"
    )
    label_distribution: NonNegativeFloat = Field(0.1, description="scores: divergence of histograms, bits")
    label_agreement: NonNegativeFloat = Field(
        0.3, description="change of the correlation of the label with the tokens that both texts share"
    )
    characters: NonNegativeFloat = Field(0.1, description="divergence of text lengths, bits")
    tokens: NonNegativeFloat = Field(0.1, description="divergence of text lengths in tokens, bits")
    out_of_vocabulary: NonNegativeFloat = Field(
        0.1, description="share of tokens that the reference lacks, beyond what it lets expect"
    )
    token_distribution: NonNegativeFloat = Field(0.1, description="divergence of common tokens, bits")
    numbers: NonNegativeFloat = Field(0.1, description="divergence of the worst column of a vector, bits")
    shared_rows: NonNegativeFloat = Field(0.01, description="share of a split's rows that another split has")
    shared_texts: NonNegativeFloat = Field(0.2, description="share of a split's texts that another split has")


KINDS = tuple(ValidationLimits.model_fields)


class Validation(Section):
    """Severities, limits, and the log of requests to compare with."""

    anomalies: Severity = Field("reject", description="the data does not fit its schema")
    drift: Severity = Field("reject", description="the data is unlike the data accepted before")
    skew: Severity = Field("warn", description="logged requests are unlike the training split")
    splits: Severity = Field("warn", description="eval or test are unlike the training split")
    leaks: Severity = Field("warn", description="splits with files of their own share rows or texts")
    severity: dict[str, Severity] = Field(
        {}, description="exceptions by kind and feature, for example { 'drift:text_a' = 'warn' }"
    )
    limits: ValidationLimits = ValidationLimits()
    sample_rows: PositiveInt = Field(20_000, description="rows of each split that measures are taken on")
    serving_log: Path | None = Field(None, description="JSON lines of logged requests; may be a pattern")

    @model_validator(mode="after")
    def _exceptions_are_known(self) -> Self:
        shown = [*SUBJECTS, *FEATURES, *KINDS]
        known = [*shown, *anomalies_pb2.AnomalyInfo.Type.keys()]
        for rule in self.severity:
            for part in rule.split(":"):
                if part not in known:
                    fix = suggestion(part, known, f"known are {', '.join(shown)}")
                    raise ValueError(f"severity {rule!r}: {part!r} is no check, feature or kind: {fix}")
        return self

    def severity_of(self, subject: str, feature: str, kind: str) -> Severity:
        """The severity of a finding.

        An exception holds where all of its parts are among the three; the one with most parts decides,
        among equals a kind before a feature before a subject.
        """
        of = (subject, feature, kind)
        holding = [rule.split(":") for rule in self.severity if set(rule.split(":")) <= set(of)]
        narrowest = max(holding, key=lambda parts: (len(parts), max(map(of.index, parts))), default=None)
        severity: Severity = getattr(self, subject)
        return severity if narrowest is None else self.severity[":".join(narrowest)]
