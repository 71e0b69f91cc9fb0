"""TFX wiring of the quality gate."""

import json
import os
from dataclasses import asdict

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.dsl.io import fileio
from tfx.types import standard_artifacts

from components.baselines.component import FILE as BASELINES_FILE
from components.evaluator.component import CANDIDATE, CHAMPION
from components.evaluator.results import load_metrics
from components.quality_gate.decision import Gates, decide
from trainer.families import family_of
from trainer.spec import Spec

FILE = "decision.json"


@component
def QualityGate(
    model: InputArtifact[standard_artifacts.Model],
    evaluation: InputArtifact[standard_artifacts.ModelEvaluation],
    baselines: InputArtifact[standard_artifacts.ModelEvaluation],
    blessing: OutputArtifact[standard_artifacts.ModelBlessing],
    spec: Parameter[str],
    gates: Parameter[str],
    code: Parameter[str],
    champion: InputArtifact[standard_artifacts.Model] = None,
) -> None:
    """Writes `decision.json` and blesses the model, or does not, in the way that TFX's Pusher understands."""
    del code  # part of the cache key
    parsed, limits = Spec.model_validate_json(spec), Gates.model_validate_json(gates)
    with fileio.open(os.path.join(baselines.uri, BASELINES_FILE)) as file:
        others = {name: by_split[limits.split] for name, by_split in json.loads(file.read()).items()}
    measured = load_metrics(evaluation.uri, CANDIDATE)
    decision = decide(
        limits,
        limits.metric or family_of(parsed).primary_metric(parsed),
        measured[limits.split],
        others,
        load_metrics(evaluation.uri, CHAMPION)[limits.split] if champion else None,
    )
    with fileio.open(os.path.join(blessing.uri, FILE), "w") as file:
        file.write(json.dumps({**asdict(decision), "reason": decision.reason, "metrics": measured}, indent=2))
    with fileio.open(
        os.path.join(blessing.uri, "BLESSED" if decision.blessed else "NOT_BLESSED"), "w"
    ) as file:
        file.write("")
    blessing.set_int_custom_property("blessed", int(decision.blessed))
    blessing.set_int_custom_property("current_model_id", model.id)
    blessing.set_string_custom_property("current_model", model.uri)
