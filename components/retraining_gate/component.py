"""TFX wiring of the decision to train."""

from dataclasses import asdict

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import Artifact, standard_artifacts

from components.artifact_files import read_json, write_json
from components.data_gate.validation_config import DRIFT, SKEW, WARN
from components.data_gate.verdict import Check, DataVerdict
from components.nodes import DECISION_FILE, LIVE_FILE, VERDICT_FILE
from components.retraining_gate.decision import decide
from components.retraining_gate.retraining_config import Retraining
from trainer.undefined import load


class RetrainingDecision(Artifact):
    """`decision.json`: the decision to train, its reasons and figures."""

    TYPE_NAME = "kembar.RetrainingDecision"


@component
def RetrainingGate(
    verdict: InputArtifact[DataVerdict],
    live: InputArtifact[standard_artifacts.ModelEvaluation],
    decision: OutputArtifact[RetrainingDecision],
    retraining: Parameter[str],
    reason: Parameter[str],
    code: Parameter[str],
) -> None:
    """Writes `decision.json`. Whoever runs the pipeline leaves out what is behind this when it says no."""
    del code  # part of the cache key
    checks = [Check.from_json(check) for check in read_json(verdict.uri, VERDICT_FILE)["checks"]]
    measured = read_json(live.uri, LIVE_FILE)
    warned = [check for check in checks if check.flagged and check.severity == WARN]
    drift = [check.sentence for check in warned if check.subject in (DRIFT, SKEW)]
    metrics = load(measured["metrics"]) if measured["model"] is not None else None
    decided = decide(Retraining.model_validate_json(retraining), reason, metrics, measured["rows"], drift)
    record = {"train": decided.train, "reason": decided.reason, **asdict(decided)}
    write_json(record, decision.uri, DECISION_FILE)
