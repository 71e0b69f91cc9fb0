"""TFX wiring of the serving gate."""

import base64
import os
import tempfile
from pathlib import Path

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import standard_artifacts
from tfx.utils import io_utils, path_utils

from components.artifact_files import write_json
from components.evaluator.predictions import load_predictions
from components.nodes import SERVING_FILE
from components.serving_gate.check import Deployment, judge, run_probe
from components.tables import decode
from trainer import tables
from trainer.exporting.inference import promise_inference
from trainer.families import ContractSignature, Tensor, family_of
from trainer.features import VECTOR
from trainer.spec import Spec

COMPARED_ROWS = 64
# What every family answers, and so what is timed: the served scores of raw examples.
TIMED = "serve_examples"
# The keys of the probe's report that `serving.json` keeps, for people.
_REPORTED = ("load_seconds", "memory_mb", "latency_ms", "warmup_requests", "signatures")


def with_real_vectors(
    goldens: dict[str, dict[str, list]], examples: list[bytes], spec: Spec
) -> dict[str, dict[str, list]]:
    """Requests in which vectors of no declared range are those of the first examples.

    What a family makes up, such as all zeros, may lie a billion deviations from a column's mean, where no
    answer is finite.
    """
    if spec.vector is None or spec.vector.range is not None or not examples:
        return goldens
    vectors = tables.vectors(decode(examples[:2])).tolist()
    return {
        name: {key: vectors if key == VECTOR else value for key, value in inputs.items()}
        for name, inputs in goldens.items()
    }


@component
def ServingGate(
    model: InputArtifact[standard_artifacts.Model],
    evaluation: InputArtifact[standard_artifacts.ModelEvaluation],
    blessing: OutputArtifact[standard_artifacts.InfraBlessing],
    spec: Parameter[str],
    serving: Parameter[str],
    code: Parameter[str],
) -> None:
    """Asks the exported model in a fresh process and blesses it when all that it must be and give is so."""
    del code  # part of the cache key
    parsed, limits = Spec.model_validate_json(spec), Deployment.model_validate_json(serving)
    family = family_of(parsed)
    predictions = load_predictions(evaluation.uri, "test").slice(0, COMPARED_ROWS)
    rows = predictions["serialized"].to_pylist()
    examples = [{"b64": base64.b64encode(row).decode()} for row in rows]
    requests = [{"signature": family.EVALUATED, "inputs": {"examples": examples}}]
    goldens = with_real_vectors(family.golden_requests(parsed), rows, parsed)
    requests += [{"signature": name, "inputs": inputs} for name, inputs in goldens.items()]
    requests += [{"signature": golden.signature, "inputs": golden.inputs} for golden in limits.golden]
    timed = {"signature": TIMED, "inputs": {"examples": examples}} if examples else None
    served = path_utils.serving_model_path(model.uri)
    with tempfile.TemporaryDirectory() as folder:
        report, failure = run_probe(served, requests, Path(folder), limits, timed)
    scores = predictions["score"].to_pylist()
    promised = promise_inference(family.contract(parsed))
    evaluated = {family.SCORE: Tensor("float32", ("batch", len(scores[0])) if scores else None)}
    promised.setdefault(family.EVALUATED, ContractSignature({"examples": Tensor("string")}, evaluated))
    wrong = [failure] if failure else judge(report, promised, family.SCORE, scores, limits)
    verdict = {"blessed": not wrong, "reason": "; ".join(wrong), "reasons": wrong}
    verdict |= {key: report.get(key) for key in _REPORTED}
    write_json(verdict, blessing.uri, SERVING_FILE)
    sign = "INFRA_NOT_BLESSED" if wrong else "INFRA_BLESSED"
    io_utils.write_string_file(os.path.join(blessing.uri, sign), "")
    blessing.set_int_custom_property("blessed", int(not wrong))
