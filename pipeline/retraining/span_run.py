"""One run over spans: new ones are read and judged in their order, then one model is trained on all.

The same code works for a run in one process and for one whose steps are containers: what differs is how a
plan is carried out.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.example_gen.spans import Span
from components.files import LIVE, TRAINING_DECISION
from components.version_folder.push import age_of, damaged, in_service, models_of
from pipeline.config.configuration import Config
from pipeline.graph.plan import Plan
from pipeline.retraining.reasons import TrainingReason, find_reason
from pipeline.retraining.survey import SpanSurvey, gates_of, model_config, plan_for, rules_of, survey_spans
from pipeline.store.ledger import ACCEPTED, REJECTED, Ledger, LedgerEntry, LiveEvaluation, SpanVerdict
from pipeline.store.workdir import Workdir
from trainer.errors import ConfigError, DataRejected, KembarError
from trainer.undefined import values

if TYPE_CHECKING:
    from pipeline.graph.step_result import StepResult

GATE = "RetrainingGate"
_READER, _JUDGE, _LIVE = "ExampleGen", "DataGate", "LiveMetrics"


def declines_training(step: StepResult) -> bool:
    """True where this step decided that nothing is to be trained, and the steps behind it are left out."""
    return step.id == GATE and "decision" in step.outputs and not decision_of([step])["train"]


def decision_of(steps: Sequence[StepResult]) -> dict[str, Any]:
    """Return the gate's decision, as its file has it; an empty one where the gate has not run."""
    for step in steps:
        if step.id == GATE and "decision" in step.outputs:
            return json.loads(Path(step.outputs["decision"].uri, TRAINING_DECISION).read_text())
    return {}


def prepare_run(
    config: Config, workdir: Workdir, ledger: Ledger, requested: str | None
) -> tuple[SpanRun, TrainingReason]:
    """Survey the data, and return the run over it with the reason to train or not to train.

    Args:
      config: The configuration.
      workdir: Where the versions are.
      ledger: The pipeline's.
      requested: A person's reason to train; None where one has to be found.

    Raises:
      ConfigError: no file fits the pattern of the data, and none ever did.
    """
    entries = ledger.entries()
    survey = survey_spans(config, entries, ledger.examples(), again=requested is not None)
    if not (survey.ready or survey.waiting or survey.rejected):
        raise ConfigError(f"[data] pattern = {survey.pattern!r}: no file fits it: correct it")
    version = in_service(workdir.serving, workdir.name)
    reason = find_reason(config, survey, entries, version, age_of(workdir.serving, version))
    broken = damaged(workdir.serving)
    if broken is not None and survey.ready:
        why = f"version {broken} is damaged"
        reason = replace(reason, due=True, text="; ".join(filter(None, (why, reason.text))))
    text = reason.text if requested is None else requested
    return SpanRun(config, survey, text, ledger, models_of(workdir.serving)), reason


def entry_of(summary: dict[str, Any], config: Config | None, span_run: SpanRun | None) -> LedgerEntry:
    """Return the ledger's entry of a run, or of a decision that nothing is to be done, from its summary.

    Without `config` and `span_run` it is of a run of which no more is known than its summary says.
    """
    entry = LedgerEntry(
        at=summary["started"],
        status=summary["status"],
        reason=summary["reason"],
        seconds=summary["seconds"],
        run_id=summary["run_id"],
        version=summary["model"]["version"],
        metrics=summary["metrics"],
    )
    if span_run is None or config is None:
        return entry
    return replace(
        entry,
        span=max(span_run.verdicts, default=max(span_run.survey.ready, default=None)),
        spans=span_run.verdicts,
        served=span_run.served,
        trained=span_run.trained,
        config=model_config(config) if span_run.trained else "",
        gates=gates_of(config) if span_run.trained else "",
        why=summary.get("retraining", {}).get("why", ""),
    )


@dataclass
class SpanRun:
    """One run over spans: its plan, its steps, and the verdicts on the spans that were read so far.

    Attributes:
      config: The configuration.
      survey: The spans on disk when the run began.
      reason: The reason to train that was known then.
      ledger: The pipeline's.
      pushed: Where each version's model was, to the version.
      verdicts: Of the spans that were read, by their numbers.
      served: How well the model in service does on them.
      steps: Of the run that came last.
      plan: Of that run.
    """

    config: Config
    survey: SpanSurvey
    reason: str
    ledger: Ledger
    pushed: dict[str, int]
    verdicts: dict[int, SpanVerdict] = field(default_factory=dict)
    served: dict[int, LiveEvaluation] = field(default_factory=dict)
    steps: list[StepResult] = field(default_factory=list)
    plan: Plan = field(default_factory=Plan)

    @property
    def newest(self) -> Span:
        """The span that the last run of all reads: the newest one that is new, or of all."""
        pending = self.survey.pending
        return pending[-1] if pending else self.survey.ready[max(self.survey.ready)]

    @property
    def last_data_node(self) -> str:
        """The last node that only looks at new data."""
        return _LIVE if self.config.retraining is not None else _JUDGE

    def make_plan(self, span: Span) -> Plan:
        """Return the plan of a run that reads `span`, as things stand now."""
        pending = {new.number for new in self.survey.pending}
        accepted = [number for number in self.survey.ready if number not in pending]
        accepted += self._with(ACCEPTED)
        examples = tuple(self.ledger.examples()) if self.survey.pattern is not None else ()
        return plan_for(self.survey, span, accepted, self.reason, examples)

    def read_backlog(self, carry_out: Callable[[Span, Plan, str], list[StepResult]]) -> bool:
        """Read all new spans but the newest; True where the run can go on.

        Args:
          carry_out: Runs a plan up to a node.
        """
        for span in self.survey.pending[:-1]:
            plan = self.make_plan(span)
            steps = self._broken(span) or carry_out(span, plan, self.last_data_node)
            if not self.record_verdict(span, steps):
                self.steps, self.plan = steps, plan
                return False
        return True

    def finish(self, carry_out: Callable[[Plan], list[StepResult]]) -> None:
        """Read the newest span and run to the end; where it is bad, with the newest good one.

        Args:
          carry_out: Runs a plan to its end.
        """
        newest = self.newest
        self.plan = self.make_plan(newest)
        self.steps = self._broken(newest) or carry_out(self.plan)
        went_on = self.record_verdict(newest, self.steps)
        rejected = went_on and self.verdicts[newest.number].outcome == REJECTED
        good = [*self._with(ACCEPTED), *self.survey.untrained]
        if rejected and good:
            self.plan = self.make_plan(self.survey.ready[max(good)])
            self.steps = carry_out(self.plan)

    def record_verdict(self, span: Span, steps: list[StepResult]) -> bool:
        """Keep the verdict on a span, out of the steps that read it; False where a failure left none."""
        from pipeline.graph.step_result import FAILED, SKIPPED

        by_id = {step.id: step for step in steps}
        rules = rules_of(self.config)
        judge = by_id.get(_JUDGE)
        if judge is not None and judge.state not in (FAILED, SKIPPED):
            self.verdicts[span.number] = SpanVerdict(span.fingerprint, ACCEPTED, rules=rules)
            self._record_evaluation(span, by_id.get(_LIVE))
            return True
        failed = next((step for step in steps if step.state == FAILED), None)
        if failed is not None and isinstance(failed.error, DataRejected):
            self.verdicts[span.number] = SpanVerdict(span.fingerprint, REJECTED, str(failed.error), rules)
            return True
        return False

    def to_json(self) -> dict[str, Any]:
        """For summary.json."""
        decision, name = decision_of(self.steps), self.survey.name
        spans = self.survey.to_json()
        spans["rejected"] = {
            **spans["rejected"],
            **{name(n): self.verdicts[n].reason for n in self._with(REJECTED)},
        }
        spans["accepted"] = [name(n) for n in sorted(self._with(ACCEPTED))]
        spans["trained"] = [name(n) for n in sorted(self.trained)]
        return {
            "why": decision.get("reason", self.reason) if self.trained else "",
            "spans": spans,
            "served": {name(n): asdict(evaluation) for n, evaluation in sorted(self.served.items())},
        }

    @property
    def trained(self) -> dict[int, str]:
        """The spans that a model was trained on, with the fingerprint of their files."""
        if not any(step.id == "QualityGate" and step.outputs for step in self.steps):
            return {}
        if self.survey.pattern is None:
            return {number: span.fingerprint for number, span in self.survey.ready.items()}
        return self.plan.window

    def _with(self, outcome: str) -> list[int]:
        return [number for number, verdict in self.verdicts.items() if verdict.outcome == outcome]

    def _record_evaluation(self, span: Span, step: StepResult | None) -> None:
        artifact = step.outputs.get("evaluation") if step is not None else None
        if artifact is None:
            return
        live = json.loads(Path(artifact.uri, LIVE).read_text())
        if live["model"] is not None:
            version, metrics = self.pushed.get(live["model"]), values(live["metrics"])
            self.served[span.number] = LiveEvaluation(version, live["rows"], metrics)

    def _broken(self, span: Span) -> list[StepResult]:
        """A failed step, where the span's files have not the columns that are wanted."""
        from components.example_gen.reader import check_files
        from pipeline.graph.step_result import FAILED, StepResult

        if self.survey.pattern is None:
            return []
        for path in span.files:
            if not os.access(path, os.R_OK):
                why = "it is gone" if not path.exists() else "this user may not"
                return [StepResult(_READER, FAILED, error=KembarError(f"{path}: cannot be read: {why}"))]
        try:
            check_files(span.files, self.config.data)
        except KembarError as error:
            # What stands where names should may be no text at all.
            message = str(error).encode("utf-8", "backslashreplace").decode()
            return [StepResult(_READER, FAILED, error=DataRejected(message))]
        return []
