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
from components.live_metrics import FILE as LIVE
from components.retraining_gate.decision import FILE as DECISION
from components.version_folder.push import age_of, damaged, in_service, models_of
from pipeline.config.configuration import Config
from pipeline.retraining.ledger import ACCEPTED, REJECTED, Entry, Ledger, Seen, Served
from pipeline.retraining.plan import Plan
from pipeline.retraining.reasons import Reason, find_reason
from pipeline.retraining.survey import Survey, gates_of, look, model_config, plan_for, rules_of
from pipeline.store.workdir import Workdir
from trainer.errors import ConfigError, DataRejected, KembarError
from trainer.undefined import values

if TYPE_CHECKING:
    from pipeline.runs.steps import Step

GATE = "RetrainingGate"
_READER, _JUDGE, _LIVE = "ExampleGen", "DataGate", "LiveMetrics"


def says_no(step: Step) -> bool:
    """Whether this step decided that nothing is to be trained, so that what follows is left out."""
    return step.id == GATE and "decision" in step.outputs and not decision_of([step])["train"]


def decision_of(steps: Sequence[Step]) -> dict[str, Any]:
    """What the gate decided; nothing where it did not come so far."""
    for step in steps:
        if step.id == GATE and "decision" in step.outputs:
            return json.loads(Path(step.outputs["decision"].uri, DECISION).read_text())
    return {}


def begin_work(config: Config, workdir: Workdir, ledger: Ledger, asked: str | None) -> tuple[Work, Reason]:
    """What lies there now, and whether there is something to do.

    Args:
      config: The configuration.
      workdir: Where the versions are.
      ledger: The pipeline's.
      asked: A person's reason to train; None where one has to be found.

    Raises:
      ConfigError: no file fits the pattern of the data, and none ever did.
    """
    entries = ledger.entries()
    survey = look(config, entries, ledger.examples(), again=asked is not None)
    if not (survey.ready or survey.waiting or survey.rejected):
        raise ConfigError(f"[data] pattern = {survey.pattern!r}: no file fits it: correct it")
    version = in_service(workdir.serving, workdir.name)
    reason = find_reason(config, survey, entries, version, age_of(workdir.serving, version))
    broken = damaged(workdir.serving)
    if broken is not None and survey.ready:
        why = f"version {broken} is damaged"
        reason = replace(reason, work=True, asked="; ".join(filter(None, (why, reason.asked))))
    return Work(
        config, survey, reason.asked if asked is None else asked, ledger, models_of(workdir.serving)
    ), reason


def entry_of(found: dict[str, Any], config: Config | None, work: Work | None) -> Entry:
    """What the ledger keeps of a run, or of a decision that nothing is to be done, from its summary.

    Without `config` and `work` it is of a run of which no more is known than its summary says.
    """
    told = Entry(
        at=found["started"],
        status=found["status"],
        reason=found["reason"],
        seconds=found["seconds"],
        run_id=found["run_id"],
        version=found["model"]["version"],
        metrics=found["metrics"],
    )
    if work is None or config is None:
        return told
    return replace(
        told,
        span=max(work.seen, default=max(work.survey.ready, default=None)),
        spans=work.seen,
        served=work.served,
        trained=work.trained,
        config=model_config(config) if work.trained else "",
        gates=gates_of(config) if work.trained else "",
        why=found.get("retraining", {}).get("why", ""),
    )


@dataclass
class Work:
    """What was found out so far.

    Attributes:
      config: The configuration.
      survey: What lay there at the beginning.
      asked: The reason to train that was known then.
      ledger: The pipeline's.
      pushed: Where each version's model was, to the version.
      seen: The spans that were read, and what became of them.
      served: The model in service on them.
      steps: Of the run that came last.
      plan: Of that run.
    """

    config: Config
    survey: Survey
    asked: str
    ledger: Ledger
    pushed: dict[str, int]
    seen: dict[int, Seen] = field(default_factory=dict)
    served: dict[int, Served] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    plan: Plan = field(default_factory=Plan)

    @property
    def newest(self) -> Span:
        """The span that the last run of all reads: the newest one that is new, or of all."""
        pending = self.survey.pending
        return pending[-1] if pending else self.survey.ready[max(self.survey.ready)]

    @property
    def front(self) -> str:
        """The last node that only looks at new data."""
        return _LIVE if self.config.retraining is not None else _JUDGE

    def make_plan(self, span: Span) -> Plan:
        """For a run that reads `span`, as things stand now."""
        pending = {one.number for one in self.survey.pending}
        accepted = [number for number in self.survey.ready if number not in pending]
        accepted += [number for number, seen in self.seen.items() if seen.outcome == ACCEPTED]
        examples = tuple(self.ledger.examples()) if self.survey.pattern is not None else ()
        return plan_for(self.survey, span, accepted, self.asked, examples)

    def read_backlog(self, carry_out: Callable[[Span, Plan, str], list[Step]]) -> bool:
        """Reads all new spans but the newest; whether it can go on.

        Args:
          carry_out: Runs a plan up to a node.
        """
        for span in self.survey.pending[:-1]:
            plan = self.make_plan(span)
            steps = self._broken(span) or carry_out(span, plan, self.front)
            if not self.note(span, steps):
                self.steps, self.plan = steps, plan
                return False
        return True

    def finish(self, carry_out: Callable[[Plan], list[Step]]) -> None:
        """Reads the newest span and goes on to the end; where it is bad, with the newest good one.

        Args:
          carry_out: Runs a plan to its end.
        """
        newest = self.newest
        self.plan = self.make_plan(newest)
        self.steps = self._broken(newest) or carry_out(self.plan)
        went_on = self.note(newest, self.steps)
        rejected = went_on and self.seen[newest.number].outcome == REJECTED
        good = [number for number, seen in self.seen.items() if seen.outcome == ACCEPTED]
        good += self.survey.untrained
        if rejected and good:
            self.plan = self.make_plan(self.survey.ready[max(good)])
            self.steps = carry_out(self.plan)

    def note(self, span: Span, steps: list[Step]) -> bool:
        """Keeps what became of a span; False where that is not known, because something failed."""
        from pipeline.runs.steps import FAILED, SKIPPED

        by_id = {step.id: step for step in steps}
        rules = rules_of(self.config)
        judge = by_id.get(_JUDGE)
        if judge is not None and judge.state not in (FAILED, SKIPPED):
            self.seen[span.number] = Seen(span.fingerprint, ACCEPTED, rules=rules)
            self._note_served(span, by_id.get(_LIVE))
            return True
        failed = next((step for step in steps if step.state == FAILED), None)
        if failed is not None and isinstance(failed.error, DataRejected):
            self.seen[span.number] = Seen(span.fingerprint, REJECTED, str(failed.error), rules)
            return True
        return False

    def to_json(self) -> dict[str, Any]:
        """For summary.json."""
        decision, name = decision_of(self.steps), self.survey.name
        spans = self.survey.to_json()
        spans["rejected"] = {
            **spans["rejected"],
            **{name(n): seen.reason for n, seen in self.seen.items() if seen.outcome == REJECTED},
        }
        spans["accepted"] = [name(n) for n, seen in sorted(self.seen.items()) if seen.outcome == ACCEPTED]
        spans["trained"] = [name(n) for n in sorted(self.trained)]
        return {
            "why": decision.get("reason", self.asked) if self.trained else "",
            "spans": spans,
            "served": {name(n): asdict(one) for n, one in sorted(self.served.items())},
        }

    @property
    def trained(self) -> dict[int, str]:
        """The spans that a model was trained on, with the fingerprint of their files."""
        if not any(step.id == "QualityGate" and step.outputs for step in self.steps):
            return {}
        if self.survey.pattern is None:
            return {number: span.fingerprint for number, span in self.survey.ready.items()}
        return self.plan.window

    def _note_served(self, span: Span, step: Step | None) -> None:
        artifact = step.outputs.get("evaluation") if step is not None else None
        if artifact is None:
            return
        told = json.loads(Path(artifact.uri, LIVE).read_text())
        if told["model"] is not None:
            metrics = values(told["metrics"])
            self.served[span.number] = Served(self.pushed.get(told["model"]), told["rows"], metrics)

    def _broken(self, span: Span) -> list[Step]:
        """A failed step, where the span's files have not the columns that are wanted."""
        from components.example_gen.reader import check_files
        from pipeline.runs.steps import FAILED, Step

        if self.survey.pattern is None:
            return []
        for path in span.files:
            if not os.access(path, os.R_OK):
                why = "it is gone" if not path.exists() else "this user may not"
                return [Step(_READER, FAILED, error=KembarError(f"{path}: cannot be read: {why}"))]
        try:
            check_files(span.files, self.config.data)
        except KembarError as error:
            # What stands where names should may be no text at all.
            said = str(error).encode("utf-8", "backslashreplace").decode()
            return [Step(_READER, FAILED, error=DataRejected(said))]
        return []
