"""TFX wiring of the quality gate."""

import math
import os
from dataclasses import asdict

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import standard_artifacts
from tfx.utils import io_utils

from components.artifact_files import read_json, write_json
from components.evaluator.predictions import CANDIDATE, CHAMPION, labels_and_scores
from components.evaluator.results import load_metrics
from components.nodes import BASELINES_FILE, DECISION_FILE
from components.quality_gate.decision import Gates, decide
from components.quality_gate.noise import Noise, bootstrap
from trainer.families import family_of
from trainer.spec import Spec
from trainer.undefined import dump, load, reasons, values


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
    baseline_metrics = read_json(baselines.uri, BASELINES_FILE)
    others = {name: load(by_split[limits.split]) for name, by_split in baseline_metrics.items()}
    measured = load_metrics(evaluation.uri, CANDIDATE)
    metric = limits.metric or family_of(parsed).primary_metric(parsed)
    noise = _noise(evaluation.uri, limits, metric, parsed, champion is not None)
    decision = decide(
        limits,
        metric,
        measured[limits.split],
        others,
        load_metrics(evaluation.uri, CHAMPION)[limits.split] if champion else None,
        noise,
    )
    interval = {metric: [noise.low, noise.high]} if noise else {}
    stored = {split: dump(metrics) for split, metrics in measured.items()}
    record = {
        **asdict(decision),
        "reason": decision.reason,
        "metrics": values(stored),
        "undefined": reasons(stored),
        "interval": interval,
    }
    write_json(record, blessing.uri, DECISION_FILE)
    sign = "BLESSED" if decision.blessed else "NOT_BLESSED"
    io_utils.write_string_file(os.path.join(blessing.uri, sign), "")
    blessing.set_int_custom_property("blessed", int(decision.blessed))
    blessing.set_int_custom_property("current_model_id", model.id)
    blessing.set_string_custom_property("current_model", model.uri)


def _noise(uri: str, gates: Gates, metric: str, spec: Spec, with_champion: bool) -> Noise | None:
    """The part of chance in the deciding metric; None without `[gates] confidence`."""
    if not gates.confidence:
        return None
    label, candidate = labels_and_scores(uri, gates.split, CANDIDATE)
    _, champion = labels_and_scores(uri, gates.split, CHAMPION)
    return bootstrap(
        metric,
        # A name that is none of them is for `decide` to tell.
        lambda labels, scores: family_of(spec).metrics(labels, scores, spec).get(metric, math.nan),
        label,
        candidate,
        champion if with_champion and champion.shape == candidate.shape else None,
        gates.confidence,
    )
