"""The gate's work, without TFX's wiring: profiles, comparisons, verdict."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import tensorflow_data_validation as tfdv
from tensorflow_data_validation.statistics import stats_impl
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.dsl.io import fileio

from components.data_gate import anomalies
from components.data_gate.leaks import leaks
from components.data_gate.validation_config import DRIFT, SKEW, SPLITS, Validation
from components.data_gate.verdict import LOG, Verdict
from components.drift.compare import compare
from components.drift.derive import Derived, derive
from components.drift.profile import Profile
from components.drift.requests import read_requests
from components.example_gen.paths import matching
from components.schema_gen.default import SERVING
from trainer.features import TEXT_A, VECTOR
from trainer.spec import Spec

TRAIN = "train"
_PROFILES = "profiles"


class Gate:
    """Compares one run's splits with each other, with those accepted before, and with logged requests."""

    def __init__(self, spec: Spec, validation: Validation, verdict: Verdict) -> None:
        self._spec = spec
        self._validation = validation
        self._verdict = verdict
        self._profiles: dict[str, Profile] = {}

    def compare_split(self, split: str, table: pa.Table, total: int, previous: str | None) -> None:
        """Compare with the same split of `previous`, a verdict's folder, and with the training split.

        The training split has to come first, because the others are compared with it.
        """
        sample = derive(table, self._spec.label, self._spec.vector)
        folder = os.path.join(previous, _PROFILES, split) if previous is not None else ""
        if folder and fileio.exists(folder):
            self._measure(DRIFT, split, Profile.load(folder), sample)
        if TRAIN in self._profiles:
            self._measure(SPLITS, split, self._profiles[TRAIN], sample)
        self._profiles[split] = Profile.of(sample, total, self._spec.label)

    def compare_log(self, schema: schema_pb2.Schema) -> None:
        """Compare logged requests with the training split, and with the schema as requests must fit it."""
        pattern = self._validation.serving_log
        if pattern is None:
            return
        if not matching(pattern):
            self._verdict.remarks.append(f"skew: no file matches [validation] serving_log = '{pattern}'")
            return
        requests = read_requests(str(pattern), self._spec.vector, self._validation.sample_rows)
        rows = requests.table.num_rows
        self._verdict.remarks.append(
            f"skew: {rows} requests out of {requests.lines} lines of '{pattern}', "
            f"{requests.unusable} lines of the sample are none"
        )
        if not rows:
            return
        sample = derive(requests.table, self._spec.label, self._spec.vector)
        self._measure(SKEW, LOG, self._profiles[TRAIN], sample)
        if {TEXT_A, VECTOR} & set(requests.table.column_names):
            violations = check_requests(requests.table, schema)
            self._verdict.add_anomalies(self._validation, LOG, violations, SKEW)

    def check_leaks(self, counts: dict[str, Any]) -> None:
        """Compare the splits with each other, by the counts of ingestion."""
        self._verdict.add_leaks(self._validation, leaks(counts, texts=self._spec.vector is None))

    def save(self, folder: str) -> None:
        """Writes the profiles that later data is compared with."""
        for split, profile in self._profiles.items():
            profile.save(os.path.join(folder, _PROFILES, split))

    def _measure(self, subject: str, split: str, reference: Profile, sample: Derived) -> None:
        measured = compare(reference, sample, self._spec.label)
        self._verdict.add_measures(self._validation, subject, split, measured)


def check_requests(table: pa.Table, schema: schema_pb2.Schema) -> Iterable[anomalies.Anomaly]:
    """TFDV's anomalies of requests against the schema's SERVING environment."""
    [batch] = table.combine_chunks().to_batches()
    statistics = stats_impl.generate_statistics_in_memory(batch, tfdv.StatsOptions(schema=schema))
    return anomalies.read(tfdv.validate_statistics(statistics, schema, environment=SERVING))
