"""The schema of data whose configuration names no schema file: what `[data]` says, and no more."""

from __future__ import annotations

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from components.example_gen.data_config import DataSection
from trainer.features import LABEL, TEXT_A, TEXT_B, VECTOR

TRAINING, SERVING = "TRAINING", "SERVING"


def default_schema(data: DataSection) -> str:
    """A tensorflow.metadata Schema in text format: each feature in every row, with its size and range."""
    schema = schema_pb2.Schema(default_environment=[TRAINING, SERVING])
    if data.vector is not None:
        _feature(schema, VECTOR, schema_pb2.FLOAT, data.vector.dimension, data.vector.range)
    else:
        for text in (TEXT_A, TEXT_B):
            _feature(schema, text, schema_pb2.BYTES, 1, None)
    if data.label is not None:
        kind = schema_pb2.INT if data.label.kind == "classes" else schema_pb2.FLOAT
        feature = _feature(schema, LABEL, kind, 1, data.label.bounds)
        # Requests carry no label.
        feature.not_in_environment.append(SERVING)
    return text_format.MessageToString(schema)


def _feature(
    schema: schema_pb2.Schema, name: str, kind: int, size: int, bounds: tuple[float, float] | None
) -> schema_pb2.Feature:
    feature = schema.feature.add(name=name, type=kind)
    feature.presence.min_fraction = 1.0
    feature.presence.min_count = 1
    feature.shape.dim.add(size=size)
    if bounds is not None and kind == schema_pb2.INT:
        feature.int_domain.min, feature.int_domain.max = int(bounds[0]), int(bounds[1])
    elif bounds is not None:
        feature.float_domain.min, feature.float_domain.max = bounds
    return feature
