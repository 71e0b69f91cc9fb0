"""TFX wiring of the serving gate."""

import base64
import json
import os
import tempfile
from pathlib import Path

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.dsl.io import fileio
from tfx.types import standard_artifacts
from tfx.utils import path_utils

from components.evaluator.results import load_predictions
from components.serving_gate.check import Serving, judge, run_probe
from trainer.families import family_of
from trainer.spec import Spec

FILE = "serving.json"
COMPARED_ROWS = 64


@component
def ServingGate(
    model: InputArtifact[standard_artifacts.Model],
    evaluation: InputArtifact[standard_artifacts.ModelEvaluation],
    blessing: OutputArtifact[standard_artifacts.InfraBlessing],
    spec: Parameter[str],
    serving: Parameter[str],
    code: Parameter[str],
) -> None:
    """Asks the exported model in a fresh process and blesses it when it gives the evaluator's numbers."""
    del code  # part of the cache key
    parsed, limits = Spec.model_validate_json(spec), Serving.model_validate_json(serving)
    family = family_of(parsed)
    seen = load_predictions(evaluation.uri, "test").slice(0, COMPARED_ROWS)
    examples = [{"b64": base64.b64encode(row).decode()} for row in seen["serialized"].to_pylist()]
    requests = [{"signature": family.EVALUATED, "inputs": {"examples": examples}}]
    requests += [
        {"signature": name, "inputs": inputs} for name, inputs in family.golden_requests(parsed).items()
    ]
    with tempfile.TemporaryDirectory() as folder:
        answers, failure = run_probe(
            path_utils.serving_model_path(model.uri), requests, Path(folder), limits.gate_timeout
        )
    wrong = [failure] if failure else judge(answers, family.SCORE, seen["score"].to_pylist())
    report = {"blessed": not wrong, "reason": "; ".join(wrong), "load_seconds": answers.get("load_seconds")}
    with fileio.open(os.path.join(blessing.uri, FILE), "w") as file:
        file.write(json.dumps(report, indent=2))
    with fileio.open(
        os.path.join(blessing.uri, "INFRA_NOT_BLESSED" if wrong else "INFRA_BLESSED"), "w"
    ) as file:
        file.write("")
    blessing.set_int_custom_property("blessed", int(not wrong))
