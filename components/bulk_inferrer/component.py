"""TFX wiring of inference on rows without a label.

TFX's own BulkInferrer cannot answer with classes: docs/decisions/057-a-bulkinferrer-of-our-own.md.
"""

import apache_beam as beam
from tfx.dsl.component.experimental.annotations import (
    BeamComponentParameter,
    InputArtifact,
    OutputArtifact,
    Parameter,
)
from tfx.dsl.component.experimental.decorators import component
from tfx.types import artifact_utils, standard_artifacts
from tfx.utils import path_utils

from components.bulk_inferrer.bulk_config import SPLIT
from components.bulk_inferrer.predictions import answer, join
from components.bulk_inferrer.rows import write_rows
from components.champion import PUSHED_VERSION
from components.example_gen.data_config import DataSection
from components.tables import split_files
from trainer.errors import DataRejected, KembarError


@component
def BulkExampleGen(
    examples: OutputArtifact[standard_artifacts.Examples],
    data: Parameter[str],
    changed: Parameter[str],
    code: Parameter[str],
) -> None:
    """Reads the files of `[bulk]` into the split `bulk`, as ExampleGen reads those of `[data]`.

    Raises:
      KembarError: there is no row to answer. What the model learned from is in order, so it is no rejection
        of data.
    """
    del changed, code  # parts of the cache key
    examples.split_names = artifact_utils.encode_split_names([SPLIT])
    try:
        write_rows(DataSection.model_validate_json(data), examples.uri)
    except DataRejected as error:
        raise KembarError(f"[bulk] input: {error}") from None


@component(use_beam=True)
def BulkInferrer(
    examples: InputArtifact[standard_artifacts.Examples],
    model: InputArtifact[standard_artifacts.Model],
    pushed_model: InputArtifact[standard_artifacts.PushedModel],
    predictions: OutputArtifact[standard_artifacts.InferenceResult],
    code: Parameter[str],
    beam_pipeline: BeamComponentParameter[beam.Pipeline] = None,
) -> None:
    """Writes `predictions.parquet`: what the signature `serve_examples` says of each row; or nothing.

    Only a model that this run pushed, or had pushed before, is asked.
    """
    del code  # part of the cache key
    if pushed_model.get_int_custom_property("pushed") != 1:
        return
    path = path_utils.serving_model_path(model.uri)
    with beam_pipeline as pipeline:
        _ = pipeline | answer(split_files(examples, SPLIT), path, predictions.uri)
    join(predictions.uri, pushed_model.get_string_custom_property(PUSHED_VERSION))
