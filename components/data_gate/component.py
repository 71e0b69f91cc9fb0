"""TFX wiring of the gates behind ingestion and validation."""

import json
import os

from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.dsl.io import fileio
from tfx.types import artifact_utils, standard_artifacts

from components.data_gate.anomalies import describe
from components.example_gen.config import Data
from components.example_gen.counts import check_counts
from trainer.errors import DataRejected


@component
def RowGate(
    examples: InputArtifact[standard_artifacts.Examples],
    data: Parameter[str],
    code: Parameter[str],
) -> None:
    """Fails the run when too many rows had to be quarantined, or a split has none.

    Raises:
      DataRejected: naming the file, the counts, the commonest reasons and the first row.
    """
    del code  # part of the cache key
    check_counts(examples.uri, Data.model_validate_json(data))


@component
def DataGate(
    anomalies: InputArtifact[standard_artifacts.ExampleAnomalies],
    verdict: OutputArtifact[standard_artifacts.ExampleAnomalies],
    code: Parameter[str],
) -> None:
    """Fails the run when ExampleValidator found an anomaly in any split.

    Raises:
      DataRejected: naming every anomaly, its split and its feature.
    """
    del code  # part of the cache key
    found = []
    for split in artifact_utils.decode_split_names(anomalies.split_names):
        with fileio.open(os.path.join(anomalies.uri, f"Split-{split}", "SchemaDiff.pb"), "rb") as file:
            found += describe(anomalies_pb2.Anomalies.FromString(file.read()), split)
    with fileio.open(os.path.join(verdict.uri, "verdict.json"), "w") as file:
        file.write(json.dumps({"anomalies": found}, indent=2))
    if found:
        raise DataRejected(
            f"the data does not fit its schema: {'; '.join(found)}: "
            "mend the data, or the schema if it is out of date"
        )
