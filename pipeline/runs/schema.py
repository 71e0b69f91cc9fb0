"""`kembar schema infer`: proposes a schema from the data, as ingestion and TFX describe it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.types import artifact_utils

from components.example_gen import spans
from components.example_gen.data_config import DataSection
from components.nodes import STATISTICS_FILE, STATISTICS_GEN
from components.schema_gen.infer import Splits, infer_schema
from pipeline.config.configuration import Config
from pipeline.config.preflight import preflight
from pipeline.graph.plan import Plan
from pipeline.outputs import is_special, write_output
from pipeline.runs.launch import launch_all, launcher_of
from pipeline.store.database import connection
from pipeline.store.workdir import Workdir
from trainer.errors import ConfigError


def infer(source: str, config: Config, output: Path | None) -> str:
    """The schema's text; written to `output` too, whole or not at all. Of spans the newest one is read.

    Raises:
      ConfigError: a file of the data is missing or lacks a column, no span is complete, or `output` is there
        already.
      DataRejected: too many rows cannot be used.
    """
    if output is not None and output.exists() and not is_special(output):
        raise ConfigError(f"--output {output}: is there already: remove it, or name another file")
    # The schema that the configuration names may be the one that is to be written.
    data = config.data.model_copy(update={"schema_file": None, "schema_text": None})
    if data.pattern is not None:
        data = _newest_span(source, data, data.pattern)
    config = config.model_copy(update={"data": data})
    preflight(source, config)
    with tempfile.TemporaryDirectory(prefix="kembar-schema-") as folder:
        text = infer_schema(_describe(config, Path(folder)), data)
    text_format.Parse(text, schema_pb2.Schema())
    if output is not None:
        write_output(output, text)
    return text


def _newest_span(source: str, data: DataSection, pattern: str) -> DataSection:
    complete = [span for span in spans.find(pattern, data.spans or spans.Spans()) if not span.waiting]
    if not complete:
        raise ConfigError(f"{source}: [data] pattern = {pattern!r}: no span is complete")
    return data.of_span(complete[-1].files)


def _describe(config: Config, folder: Path) -> Splits:
    """The statistics of each split, by the pipeline's own first steps in a folder of their own."""
    workdir = Workdir(folder, folder / "serving")
    launcher = launcher_of(config, workdir, connection(None, workdir), "schema", Plan())
    steps = launch_all(launcher, last=STATISTICS_GEN)
    for step in steps:
        if step.error is not None:
            raise step.error
    statistics = steps[-1].outputs["statistics"]
    splits = artifact_utils.decode_split_names(statistics.properties["split_names"].string_value)
    return {
        split: tfdv.load_stats_binary(str(Path(statistics.uri, f"Split-{split}", STATISTICS_FILE)))
        for split in splits
    }
