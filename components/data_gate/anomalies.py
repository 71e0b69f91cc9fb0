"""What TFDV found wrong, in words."""

from __future__ import annotations

from tensorflow_metadata.proto.v0 import anomalies_pb2


def describe(anomalies: anomalies_pb2.Anomalies, split: str) -> list[str]:
    """One sentence for each anomaly: split, feature, what is wrong."""
    found = []
    if anomalies.HasField("dataset_anomaly_info"):
        found.append(f"{split}: {anomalies.dataset_anomaly_info.description}")
    for feature, info in sorted(anomalies.anomaly_info.items()):
        name = ".".join(info.path.step) or feature
        found += [f"{split}, feature {name!r}: {_sentence(reason)}" for reason in info.reason]
    return found


def _sentence(reason: anomalies_pb2.AnomalyInfo.Reason) -> str:
    return (
        f"{reason.short_description}: {reason.description}"
        if reason.description
        else reason.short_description
    )
