"""TFX's Transform with another reader and another writer.

Half of the time of TFX's own goes into moving single records through Beam. The hooks overridden here are
TFX's, but not part of its public interface; its version is pinned.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import apache_beam as beam
import pyarrow as pa
import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx import components as tfx_components
from tfx.components.transform import executor
from tfx.dsl.components.base import executor_spec
from tfx.dsl.io import fileio
from tfx.types import (
    Artifact,
    BaseChannel,
    artifact_utils,
    component_spec,
    standard_artifacts,
    standard_component_specs,
)
from tfx.utils import path_utils
from tfx_bsl.coders import example_coder

from components.resolvers.window import EXAMPLES_IDS, ids_of
from components.tfrecords import BatchedExamples, write_batches
from trainer.fitting.warm_start import folder_beside
from trainer.preprocessing import BASE

TRAIN, BASE_MODEL = "train", "base_model"
# Compressed examples of a training split, on average, from which on spans are worth a part of their own.
CACHED_BYTES = 16 << 20


def reading_of(
    examples: Sequence[Artifact], half_life: float | None, started: bool
) -> tuple[bool, dict[str, float]]:
    """Whether the examples of a call are read as one, and the shares of the rows that are read.

    TFX gives each artifact a part of the Beam graph of its own, for analysis and for each split, and can keep
    what it counted in one. That is worth it where the artifacts are large: those of small spans are read as
    one.

    Args:
      examples: Artifacts in the order of their spans.
      half_life: Spans back at which a row counts half; None: all count the same.
      started: Whether only tokens are counted that the model, from which training starts, does not know.

    Returns:
      Whether all are read as one; folder of a training split to the share of its rows, where not all count.
    """
    folders = [artifact_utils.get_split_uri([artifact], TRAIN) for artifact in examples]
    spans_back = {f: examples[-1].span - a.span for f, a in zip(folders, examples, strict=True)}
    shares = {}
    if half_life is not None:
        shares = {folder: 0.5 ** (back / half_life) for folder, back in spans_back.items() if back}
    files = [file for folder in folders for file in fileio.glob(os.path.join(folder, "*.gz"))]
    size = sum(tf.io.gfile.stat(file).length for file in files)
    # What was counted in rows that are fewer each time, or for one model, is of no use the next time.
    return half_life is not None or started or size < CACHED_BYTES * len(examples), shares


class _Processor(executor.TransformProcessor):
    """TFX's, which is told of the first of `uris` only; where there are any, all are read as one."""

    def __init__(self, uris: list[str], shares: dict[str, float]) -> None:
        super().__init__()
        self._uris = uris
        self._shares = shares

    def _CreateTFXIO(self, dataset: Any, schema: schema_pb2.Schema) -> BatchedExamples:
        pattern = dataset.file_pattern
        patterns = [pattern.replace(self._uris[0], uri, 1) for uri in self._uris] or [pattern]
        source = BatchedExamples(patterns, schema=schema, telemetry_descriptors=["Transform"])
        source.shares = self._shares
        return source

    @staticmethod
    def _EncodeAndWrite(schema: schema_pb2.Schema, file_format: str, output_path: str) -> beam.PTransform:
        del file_format  # ours are always TFRecords
        return "Encode" >> beam.ParDo(_Encode(schema)) | "Write" >> write_batches(output_path)


class _Encode(beam.DoFn):
    def __init__(self, schema: schema_pb2.Schema) -> None:
        self._schema = schema

    def setup(self) -> None:
        self._encoder = example_coder.RecordBatchToExamplesEncoder(self._schema)

    def process(self, element: tuple[pa.RecordBatch, dict[str, pa.Array]]) -> Iterator[list[bytes]]:
        yield self._encoder.encode(element[0])


@contextmanager
def _processor_of(uris: list[str], shares: dict[str, float]) -> Iterator[None]:
    """Gives TFX's executor our processor while the block runs.

    Its `Do` makes a `TransformProcessor` by the name in its own module, in the midst of 150 lines, and takes
    none from a subclass, an argument or a property (TFX 1.21). So that name is ours for as long as a call
    takes, and a process executes one node at a time.
    """
    own = executor.TransformProcessor
    executor.TransformProcessor = functools.partial(_Processor, uris, shares)
    try:
        yield
    finally:
        executor.TransformProcessor = own


class Executor(executor.Executor):
    """TFX's executor, with the processor above in place of its own."""

    def Do(self, input_dict: dict, output_dict: dict, exec_properties: dict[str, Any]) -> None:
        """Run TFX's own executor with our processor."""
        examples = sorted(input_dict["examples"], key=lambda artifact: artifact.span)
        inputs, outputs = {**input_dict, "examples": examples}, output_dict
        config = json.loads(exec_properties["custom_config"])
        if base := inputs.pop(BASE_MODEL, []):
            # The folder that it left for `preprocessing_fn`: its vocabulary comes first.
            config[BASE] = folder_beside(path_utils.serving_model_path(artifact_utils.get_single_uri(base)))
            exec_properties = {**exec_properties, "custom_config": json.dumps(config)}
        together, shares = reading_of(examples, config.get("half_life"), bool(base))
        if together:
            inputs |= {"examples": examples[:1], "analyzer_cache": []}
            outputs = {key: value for key, value in output_dict.items() if key != "updated_analyzer_cache"}
        with _processor_of([artifact.uri for artifact in examples] if together else [], shares):
            super().Do(inputs, outputs, exec_properties)
        output_dict["transformed_examples"] = outputs["transformed_examples"]
        for cache in output_dict.get("updated_analyzer_cache", []):
            cache.set_string_custom_property(EXAMPLES_IDS, ids_of(examples))


class TransformSpec(standard_component_specs.TransformSpec):
    """TFX's, and the model that a training starts from."""

    INPUTS: ClassVar = {
        **standard_component_specs.TransformSpec.INPUTS,
        BASE_MODEL: component_spec.ChannelParameter(type=standard_artifacts.Model, optional=True),
    }


class Transform(tfx_components.Transform):
    """TFX's Transform component; `base_model` holds a model whose ids are to stay, or none."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(self, *, base_model: BaseChannel | None = None, **options: Any) -> None:
        super().__init__(**options)
        standard: Any = self.spec
        self.spec: Any = TransformSpec(
            **standard.inputs, **standard.outputs, **standard.exec_properties, **{BASE_MODEL: base_model}
        )
