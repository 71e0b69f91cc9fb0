"""One run: its plan, its steps and how it ended.

New spans are read and judged in their order, then one model is trained on all. `pipeline/runs/local.py`
drives it in one process; `pipeline/kubeflow/step.py` a step a process, with its state on disk between them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.example_gen.spans import Span
from components.nodes import DATA_GATE, EXAMPLE_GEN, LIVE_FILE, LIVE_METRICS, QUALITY_GATE
from components.version_folder.push import age_of, damaged, in_service, models_of, versions
from pipeline.config.configuration import Config
from pipeline.graph.plan import Plan
from pipeline.graph.step_result import FAILED, SKIPPED, StepResult
from pipeline.retraining.reasons import find_reason
from pipeline.retraining.survey import (
    SpanSurvey,
    defect_of,
    gates_of,
    model_config,
    plan_for,
    rules_of,
    survey_spans,
)
from pipeline.runs.display import StepDisplay
from pipeline.runs.summary import decision_of, show_files, summarize
from pipeline.store.ledger import ACCEPTED, REJECTED, Ledger, LedgerEntry, LiveEvaluation, SpanVerdict
from pipeline.store.outcome import UNCHANGED, RunStart, without_steps, write
from pipeline.store.workdir import Workdir
from pipeline.terminal import Terminal
from trainer.errors import DataRejected, SectionError
from trainer.undefined import values

if TYPE_CHECKING:
    from pipeline.runs.launch import Launcher


@dataclass
class Run:
    """One run of a pipeline.

    Attributes:
      config: The configuration.
      workdir: Where it works.
      ledger: The pipeline's.
      start: Of the run.
      survey: The spans on disk when it began.
      reason: The reason to train that was known then.
      idle: Why there is nothing to do; None where there is.
      before: The versions that were there when it began.
      pushed: Where each version's model was, to the version.
      cached: Whether a step may reuse what it made before.
      verdicts: Of the spans that were read, by their numbers.
      served: How well the model in service does on them.
      plan: What is carried out now.
      steps: Of that plan.
    """

    config: Config
    workdir: Workdir
    ledger: Ledger
    start: RunStart
    survey: SpanSurvey
    reason: str = ""
    idle: str | None = None
    before: list[int] = field(default_factory=list)
    pushed: dict[str, int] = field(default_factory=dict)
    cached: bool = True
    verdicts: dict[int, SpanVerdict] = field(default_factory=dict)
    served: dict[int, LiveEvaluation] = field(default_factory=dict)
    plan: Plan = field(default_factory=Plan)
    steps: list[StepResult] = field(default_factory=list)

    @classmethod
    def decide(
        cls,
        config: Config,
        workdir: Workdir,
        ledger: Ledger,
        start: RunStart,
        requested: str | None,
        cached: bool = True,
    ) -> Run:
        """Survey the data, and return the run over it; it is idle where there is no reason to train.

        Args:
          config: The configuration.
          workdir: Where the versions are.
          ledger: The pipeline's.
          start: Of the run.
          requested: A person's reason to train; without one the data and the model in service decide.
          cached: Whether a step may reuse what it made before.

        Raises:
          SectionError: no file fits the pattern of the data, and none ever did; or no span is complete.
        """
        before, entries = versions(workdir.serving), ledger.entries()
        survey = survey_spans(config, entries, ledger.examples(), again=requested is not None)
        if not (survey.ready or survey.waiting or survey.rejected):
            raise SectionError(f"[data] pattern = {survey.pattern!r}: no file fits it: correct it")
        version = in_service(workdir.serving, workdir.name)
        reason = find_reason(config, survey, entries, version, age_of(workdir.serving, version))
        broken = damaged(workdir.serving)
        if broken is not None and survey.ready:
            why = f"version {broken} is damaged"
            reason = replace(reason, due=True, text="; ".join(filter(None, (why, reason.text))))
        idle = reason.figures if requested is None and not reason.due else None
        if idle is None and not survey.ready:
            raise SectionError(f"[data] pattern = {survey.pattern!r}: no span is complete: {reason.figures}")
        text = reason.text if requested is None else requested
        pushed = models_of(workdir.serving)
        return cls(config, workdir, ledger, start, survey, text, idle, before, pushed, cached)

    def launcher(self, plan: Plan, suffix: str = "") -> Launcher:
        """Return the launcher of a plan's nodes; `suffix` tells it from others of the run."""
        from pipeline.runs.launch import launcher_of  # takes seconds

        run_id = f"{self.start.run_id}-{suffix}" if suffix else self.start.run_id
        return launcher_of(self.config, self.workdir, self.ledger.connection, run_id, plan, self.cached)

    def launch(
        self, plan: Plan, suffix: str = "", last: str | None = None, terminal: Terminal | None = None
    ) -> list[StepResult]:
        """Launch the nodes of a plan in this process, or those up to `last`, and show them on `terminal`."""
        from pipeline.runs.launch import launch_all  # takes seconds

        launcher = self.launcher(plan, suffix)
        display = None if terminal is None else StepDisplay(terminal, len(launcher.node_ids))
        return launch_all(launcher, display, last)

    def read_backlog(self, say: Callable[[str], None]) -> bool:
        """Read all new spans but the newest, a line to `say` for each; True where the run can go on."""
        last = LIVE_METRICS if self.config.retraining is not None else DATA_GATE
        for span in self.survey.pending[:-1]:
            name, started = self.survey.name(span.number), time.monotonic()
            plan = self.make_plan(span)
            steps = self._broken(span)
            if not steps:
                steps = self.launch(plan, name, last)
                say(f"  {name} read in {time.monotonic() - started:.1f} s")
            if not self.record_verdict(span, steps):
                self.plan, self.steps = plan, steps
                return False
        return True

    def finish(self, terminal: Terminal) -> None:
        """Read the newest span and run to the end; where it is bad, with the newest good one."""
        newest = self.newest
        self.plan = self.make_plan(newest)
        self.steps = self._broken(newest) or self.launch(self.plan, terminal=terminal)
        went_on = self.record_verdict(newest, self.steps)
        rejected = went_on and self.verdicts[newest.number].outcome == REJECTED
        good = [*self._with(ACCEPTED), *self.survey.untrained]
        if rejected and good:
            span = self.survey.ready[max(good)]
            self.plan = self.make_plan(span)
            again = f"{self.survey.name(span.number)}-again" if self.plan.carry else ""
            self.steps = self.launch(self.plan, again, terminal=terminal)

    def keep(self, summary: dict[str, Any], say: Callable[[str], None], is_newest: bool = True) -> None:
        """Keep how the run ended: the files that people look for, `summary.json`, the entry in the history.

        Args:
          summary: Of the run.
          say: Takes a line where not all files can be shown.
          is_newest: False where a later run has begun, whose files those on top of the work folder are.

        Raises:
          OSError: the summary cannot be written.
          StatusError: the database does not take the entry.
        """
        root = self.workdir.root
        if is_newest and self.idle is None and self.steps:
            try:
                show_files(self.steps, root)
            except OSError as error:  # what was pushed is in service all the same
                say(f"  warning: {root}: not all that there is to see: {error}: make room")
        if is_newest:
            write(root, summary)
        self.ledger.append(self.entry(summary))

    def close(self, steps: list[StepResult]) -> None:
        """Take the steps that other processes ran, and keep the verdict on the span that they read."""
        self.steps, self.pushed = steps, models_of(self.workdir.serving)
        number = self.plan.carry.span if self.plan.carry is not None else 0
        if number in self.survey.ready:
            self.record_verdict(self.survey.ready[number], steps)

    def summary(self) -> dict[str, Any]:
        """Return what `summary.json` says of the run as it stands.

        Raises:
          KembarError: a file of a step is not there.
        """
        if self.idle is not None:
            outcome = without_steps(UNCHANGED, self.idle)
        else:
            peak = max(step.peak_memory_mb for step in self.steps)
            outcome = {"peak_memory_mb": peak, **summarize(self.steps, self.before, self.workdir.name)}
        return self.start.summary({**outcome, "retraining": self.to_json()})

    def entry(self, summary: dict[str, Any]) -> LedgerEntry:
        """Return the ledger's entry of the run, or of the decision that nothing is to be done."""
        entry = LedgerEntry.of_summary(summary)
        if self.idle is not None:
            return entry
        return replace(
            entry,
            span=max(self.verdicts, default=max(self.survey.ready, default=None)),
            spans=self.verdicts,
            served=self.served,
            trained=self.trained,
            config=model_config(self.config) if self.trained else "",
            gates=gates_of(self.config) if self.trained else "",
            why=summary.get("retraining", {}).get("why", ""),  # nothing where it failed outside of any step
        )

    @property
    def newest(self) -> Span:
        """The span that the last run of all reads: the newest one that is new, or of all."""
        pending = self.survey.pending
        return pending[-1] if pending else self.survey.ready[max(self.survey.ready)]

    def make_plan(self, span: Span) -> Plan:
        """Return the plan of a run that reads `span`, as things stand now."""
        pending = {new.number for new in self.survey.pending}
        accepted = [number for number in self.survey.ready if number not in pending]
        accepted += self._with(ACCEPTED)
        examples = tuple(self.ledger.examples()) if self.survey.pattern is not None else ()
        return plan_for(self.survey, span, accepted, self.reason, examples)

    def record_verdict(self, span: Span, steps: list[StepResult]) -> bool:
        """Keep the verdict on a span, out of the steps that read it; False where a failure left none."""
        by_id = {step.id: step for step in steps}
        rules = rules_of(self.config)
        judge = by_id.get(DATA_GATE)
        if judge is not None and judge.state not in (FAILED, SKIPPED):
            self.verdicts[span.number] = SpanVerdict(span.fingerprint, ACCEPTED, rules=rules)
            self._record_evaluation(span, by_id.get(LIVE_METRICS))
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
        if not any(step.id == QUALITY_GATE and step.outputs for step in self.steps):
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
        live = json.loads(Path(artifact.uri, LIVE_FILE).read_text())
        if live["model"] is not None:
            version, metrics = self.pushed.get(live["model"]), values(live["metrics"])
            self.served[span.number] = LiveEvaluation(version, live["rows"], metrics)

    def _broken(self, span: Span) -> list[StepResult]:
        """Return a failed step where the files of a span cannot be read, or have not the columns."""
        error = None if self.survey.pattern is None else defect_of(span, self.config)
        return [] if error is None else [StepResult(EXAMPLE_GEN, FAILED, error=error)]
