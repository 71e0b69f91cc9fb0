"""TFX wiring of the gates behind ingestion and validation."""

import os

from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import artifact_utils, standard_artifacts
from tfx.utils import io_utils

from components.artifact_files import read_json, write_json
from components.data_gate.anomalies import read
from components.data_gate.gate import TRAIN, Gate
from components.data_gate.validation_config import EXAMPLES_ID, Validation
from components.data_gate.verdict import DataVerdict, Verdict
from components.drift.sampling import sample_split
from components.example_gen.counts import check_counts
from components.example_gen.data_config import DataSection
from components.nodes import COUNTS_FILE, VERDICT_FILE
from trainer.errors import DataRejected
from trainer.spec import Spec


@component
def RowGate(
    examples: InputArtifact[standard_artifacts.Examples],
    data: Parameter[str],
    alone: Parameter[int],
    code: Parameter[str],
) -> None:
    """Fails the run when too many rows had to be quarantined, or a split of data that is `alone` has none.

    Raises:
      DataRejected: naming the file, the counts, the commonest reasons and the first row.
    """
    del code  # part of the cache key
    check_counts(examples.uri, DataSection.model_validate_json(data), bool(alone))


@component
def DataGate(
    examples: InputArtifact[standard_artifacts.Examples],
    anomalies: InputArtifact[standard_artifacts.ExampleAnomalies],
    schema: InputArtifact[standard_artifacts.Schema],
    verdict: OutputArtifact[DataVerdict],
    spec: Parameter[str],
    validation: Parameter[str],
    log: Parameter[str],
    code: Parameter[str],
    previous: InputArtifact[DataVerdict] = None,
) -> None:
    """Writes `verdict.json` and the profiles of the splits, or fails the run.

    Anomalies are ExampleValidator's; drift is against `previous`, the verdict on the data accepted before.

    Raises:
      DataRejected: naming everything whose severity is `reject`: split, feature, value and limit.
    """
    del log, code  # parts of the cache key
    parsed, policy = Spec.model_validate_json(spec), Validation.model_validate_json(validation)
    result = Verdict()
    gate = Gate(parsed, policy, result)
    for split in artifact_utils.decode_split_names(anomalies.split_names):
        content = io_utils.read_bytes_file(os.path.join(anomalies.uri, f"Split-{split}", "SchemaDiff.pb"))
        result.add_anomalies(policy, split, read(anomalies_pb2.Anomalies.FromString(content)))
    if previous is None:
        result.remarks.append("drift: no data was accepted before, nothing to compare with")
    else:
        result.compared_with = {"drift": previous.uri}
    gate.check_leaks(read_json(examples.uri, COUNTS_FILE))
    splits = artifact_utils.decode_split_names(examples.split_names)
    for split in sorted(splits, key=lambda name: name != TRAIN):
        table, total = sample_split(examples, split, policy.sample_rows)
        if not total:
            result.remarks.append(f"{split}: no rows")
            continue
        gate.compare_split(split, table, total, previous.uri if previous is not None else None)
    gate.compare_log(io_utils.parse_pbtxt_file(os.path.join(schema.uri, "schema.pbtxt"), schema_pb2.Schema()))
    if result.rejection is not None:
        raise DataRejected(result.rejection)
    gate.save(verdict.uri)
    write_json(result.to_json(), verdict.uri, VERDICT_FILE)
    verdict.set_int_custom_property(EXAMPLES_ID, examples.id)
