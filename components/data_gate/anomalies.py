"""TFDV's anomalies in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tensorflow_metadata.proto.v0 import anomalies_pb2


@dataclass(frozen=True)
class Anomaly:
    """One reason: the feature, empty for the whole split; TFDV's name for the kind; a sentence."""

    feature: str
    kind: str
    description: str


def read(anomalies: anomalies_pb2.Anomalies) -> Iterator[Anomaly]:
    """Every reason of every feature; those of the whole split come first."""
    if anomalies.HasField("dataset_anomaly_info"):
        info = anomalies.dataset_anomaly_info
        for reason in info.reason or [anomalies_pb2.AnomalyInfo.Reason(description=info.description)]:
            yield _anomaly("", reason)
    for feature, info in sorted(anomalies.anomaly_info.items()):
        for reason in info.reason:
            yield _anomaly(".".join(info.path.step) or feature, reason)


def _anomaly(feature: str, reason: anomalies_pb2.AnomalyInfo.Reason) -> Anomaly:
    parts = [part for part in (reason.short_description, reason.description) if part]
    return Anomaly(feature, anomalies_pb2.AnomalyInfo.Type.Name(reason.type), ": ".join(parts))
