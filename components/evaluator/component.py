"""Candidate and champion on every split, through the signature that production serves.

TFX's own Evaluator pours all splits into one and drops the predictions; the gates need both apart, so
this component calls TFMA itself.
"""

import functools
import math
import os
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import tensorflow as tf
import tensorflow_model_analysis as tfma
from tfx.components.util import tfxio_utils
from tfx.dsl.component.experimental.annotations import (
    BeamComponentParameter,
    InputArtifact,
    OutputArtifact,
    Parameter,
)
from tfx.dsl.component.experimental.decorators import component
from tfx.types import standard_artifacts
from tfx.utils import io_utils, path_utils
from tfx_bsl.tfxio import tensor_adapter

from components.artifact_files import write_json
from components.evaluator.metrics import FamilyMetrics
from components.evaluator.predictions import (
    CANDIDATE,
    CHAMPION,
    PREDICTIONS,
    SERIALIZED,
    labels_and_scores,
    load_predictions,
)
from components.nodes import CONFUSION_FILE, REASONS_FILE, SLICES_FILE
from components.tables import decode, read_table, split_files
from trainer import tables
from trainer.confusion import confusion, shown_classes
from trainer.exporting.ops import load_model
from trainer.families import family_of
from trainer.features import LABEL
from trainer.spec import Spec
from trainer.undefined import dump, reason_of

SPLITS = ("eval", "test")
_TAGS = [tf.saved_model.SERVING]


@component(use_beam=True)
def Evaluator(
    examples: InputArtifact[list[standard_artifacts.Examples]],
    schema: InputArtifact[standard_artifacts.Schema],
    model: InputArtifact[standard_artifacts.Model],
    evaluation: OutputArtifact[standard_artifacts.ModelEvaluation],
    spec: Parameter[str],
    code: Parameter[str],
    champion: InputArtifact[standard_artifacts.Model] = None,
    beam_pipeline: BeamComponentParameter[beam.Pipeline] = None,
) -> None:
    """Writes `SPLIT/` with TFMA's results and `predictions/SPLIT*.parquet` for each evaluated split."""
    del code  # part of the cache key
    parsed = Spec.model_validate_json(spec)
    # TFMA knows a model that is alone by the empty name.
    models = {CANDIDATE: model, CHAMPION: champion} if champion else {"": model}
    config = eval_config(parsed, list(models))
    shared = [
        tfma.default_eval_shared_model(
            eval_saved_model_path=path_utils.serving_model_path(artifact.uri),
            model_name=name,
            eval_config=config,
            # Whatever process works for Beam loads the ops of other libraries that the model holds.
            custom_model_loader=tfma.ModelLoader(
                functools.partial(load_model, path_utils.serving_model_path(artifact.uri), _TAGS), _TAGS
            ),
        )
        for name, artifact in models.items()
    ]
    schema_proto = io_utils.SchemaReader().read(io_utils.get_only_uri_in_dir(schema.uri))
    factory = tfxio_utils.get_tfxio_factory_from_artifact(
        examples=examples,
        telemetry_descriptors=["Evaluator"],
        schema=schema_proto,
        raw_record_column_name=tfma.ARROW_INPUT_COLUMN,
    )
    with beam_pipeline as pipeline:
        for split in SPLITS:
            tfxio = factory(split_files(examples, split))
            adapter = tensor_adapter.TensorAdapterConfig(
                arrow_schema=tfxio.ArrowSchema(), tensor_representations=tfxio.TensorRepresentations()
            )
            extractors = tfma.default_extractors(
                eval_shared_model=shared, eval_config=config, tensor_adapter_config=adapter
            )
            at = next(i for i, e in enumerate(extractors) if "predict" in e.stage_name.lower()) + 1
            prefix = os.path.join(evaluation.uri, PREDICTIONS, split)
            writer = _write_predictions(prefix, family_of(parsed).SCORE)
            extractors.insert(at, tfma.extractors.Extractor("WritePredictions", writer))
            evaluate = tfma.ExtractEvaluateAndWriteResults(
                eval_shared_model=shared,
                eval_config=config,
                extractors=extractors,
                output_path=os.path.join(evaluation.uri, split),
                tensor_adapter_config=adapter,
            )
            _ = pipeline | f"Read[{split}]" >> tfxio.BeamSource() | f"Evaluate[{split}]" >> evaluate
    write_reasons(evaluation.uri, [CANDIDATE, *([CHAMPION] if champion else [])], parsed)
    write_slices(evaluation.uri, examples, parsed)


def write_reasons(uri: str, models: list[str], spec: Spec) -> None:
    """Writes `undefined.json`: model, split, metric without a value, and why; TFMA has NaN for it."""
    reasons: dict[str, dict[str, dict[str, str]]] = {model: {} for model in models}
    for model in models:
        for split in SPLITS:
            label, score = labels_and_scores(uri, split, model)
            measured = family_of(spec).metrics(label, score, spec)
            missing = {name: reason_of(value) for name, value in measured.items() if not math.isfinite(value)}
            value = _farthest(uri, split, score, spec) if missing else ""
            reasons[model][split] = {name: reason + value for name, reason in missing.items()}
    write_json(reasons, uri, REASONS_FILE)


def _farthest(uri: str, split: str, score: np.ndarray, spec: Spec) -> str:
    """A clause on the value farthest from 0 in the first row without a finite score; empty for texts."""
    bad = np.flatnonzero(~np.isfinite(score).all(axis=1))
    if spec.vector is None or not bad.size:
        return ""
    row = load_predictions(uri, split)[SERIALIZED][int(bad[0])].as_py()
    [vector] = tables.vectors(decode([row]))
    at = int(np.abs(vector).argmax())
    return f", such as the one whose column {spec.vector.name(at)!r} holds {np.float32(vector[at])!s}"


def write_slices(uri: str, examples: Any, spec: Spec) -> None:
    """Writes what the candidate does on parts of the splits, and which classes it takes for which.

    `slices.json` has split, slice, metrics on its rows, and how many they are; `confusion.json` has, by
    split, what `trainer.confusion` says, and is there for models that decide between classes only.
    """
    family, train = family_of(spec), read_table(examples, "train")
    tables_of: dict[str, dict[str, Any]] = {}
    slices: dict[str, dict[str, dict[str, Any]]] = {}
    for split in SPLITS:
        rows = decode(load_predictions(uri, split)[SERIALIZED].to_pylist())
        label, score = labels_and_scores(uri, split, CANDIDATE)
        if spec.label is not None and shown_classes(spec):
            # What is no finite number is for the quality gate; here it would be the end of the step.
            finite = np.isfinite(score).all(axis=1)
            tables_of[split] = confusion(label[finite], score[finite], spec.label)
        slices[split] = {}
        for name, values in (family.slices(train, rows, spec) if len(score) else {}).items():
            for value in dict.fromkeys(sorted(values)):
                at = values == value
                measured = family.metrics(label[at], score[at], spec)
                slices[split][f"{name} {value}"] = {"rows": int(at.sum()), **dump(measured)}
    write_json(slices, uri, SLICES_FILE)
    if tables_of:
        write_json(tables_of, uri, CONFUSION_FILE, indent=None)


def eval_config(spec: Spec, models: list[str]) -> tfma.EvalConfig:
    """TFMA's configuration: the served signature, the family's metrics, nothing decided here."""
    model_specs = [
        tfma.ModelSpec(
            name=name,
            signature_name=family_of(spec).EVALUATED,
            label_key=LABEL if spec.label is not None else "",
            prediction_key=family_of(spec).SCORE,
            is_baseline=name == CHAMPION,
        )
        for name in models
    ]
    metrics = tfma.metrics.specs_from_metrics([FamilyMetrics(spec.model_dump_json())], model_names=models)
    config = tfma.EvalConfig(
        model_specs=model_specs, slicing_specs=[tfma.SlicingSpec()], metrics_specs=metrics
    )
    # Differences between two models are for the gate, which also knows when they are noise.
    return tfma.utils.update_eval_config_with_defaults(
        config, has_baseline=len(models) > 1, rubber_stamp=True
    )


@beam.ptransform_fn
def _write_predictions(extracts: beam.PCollection, prefix: str, output: str) -> beam.PCollection:
    """Passes everything on and writes the models' scores beside the examples."""
    rows = extracts | "Rows" >> beam.FlatMap(_rows, output)
    scores = [(name, pa.list_(pa.float64())) for name in ("score", CHAMPION)]
    columns = pa.schema([(SERIALIZED, pa.binary()), *scores])
    _ = rows | "Write" >> beam.io.WriteToParquet(prefix, columns, file_name_suffix=".parquet")
    return extracts


def _rows(extracts: dict[str, Any], output: str) -> list[dict[str, Any]]:
    predictions, examples = extracts[tfma.PREDICTIONS_KEY], extracts[tfma.INPUT_KEY]
    scores = _scores(predictions, CANDIDATE, output)
    both = isinstance(predictions, dict) and CHAMPION in predictions
    served = _scores(predictions, CHAMPION, output) if both else [[]] * len(examples)
    return [
        {SERIALIZED: bytes(serialized), "score": _numbers(score), CHAMPION: _numbers(other)}
        for serialized, score, other in zip(examples, scores, served, strict=True)
    ]


def _scores(predictions: Any, model: str, output: str) -> Any:
    # With one model TFMA leaves the level of the model's name out.
    scores = predictions.get(model, predictions) if isinstance(predictions, dict) else predictions
    return scores[output] if isinstance(scores, dict) else scores


def _numbers(score: Any) -> list[float]:
    return np.asarray(score, np.float64).ravel().tolist()
