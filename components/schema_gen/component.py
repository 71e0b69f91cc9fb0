"""Publishes the use case's schema as an artifact.

TFX's own ImportSchemaGen is cached by the file's path, so that an edited schema is not noticed, and
needs that path to exist where the step runs. This one carries the text itself.
"""

import os

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.dsl.component.experimental.annotations import OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import standard_artifacts
from tfx.utils import io_utils


@component
def ImportSchemaGen(
    schema: OutputArtifact[standard_artifacts.Schema], text: Parameter[str], code: Parameter[str]
) -> None:
    """Writes `text`, a tensorflow.metadata Schema in text format, where TFX looks for it."""
    del code  # part of the cache key
    text_format.Parse(text, schema_pb2.Schema())
    io_utils.write_string_file(os.path.join(schema.uri, "schema.pbtxt"), text)
