from __future__ import annotations

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import anomalies_pb2

from components.data_gate.anomalies import describe


def anomalies(text: str) -> anomalies_pb2.Anomalies:
    return text_format.Parse(text, anomalies_pb2.Anomalies())


def test_no_anomaly_is_no_sentence():
    assert describe(anomalies(""), "train") == []


def test_every_reason_of_every_feature_is_named_in_order():
    found = anomalies("""
        anomaly_info { key: "label" value {
          path { step: "label" }
          reason { short_description: "Out-of-range values" description: "Unexpectedly high value: 5." }
          reason { short_description: "Missing values" }
        } }
        anomaly_info { key: "extra" value {
          reason { short_description: "New column" description: "In data but not in schema." }
        } }
        anomaly_info { key: "deep" value {
          path { step: "a" step: "b" }
          reason { short_description: "Bad" }
        } }
    """)
    assert describe(found, "eval") == [
        "eval, feature 'a.b': Bad",
        "eval, feature 'extra': New column: In data but not in schema.",
        "eval, feature 'label': Out-of-range values: Unexpectedly high value: 5.",
        "eval, feature 'label': Missing values",
    ]


def test_an_anomaly_of_the_whole_split_comes_first():
    found = anomalies("""
        dataset_anomaly_info { description: "Low num examples in dataset." }
        anomaly_info { key: "label" value { reason { short_description: "Bad" } } }
    """)
    assert describe(found, "test") == ["test: Low num examples in dataset.", "test, feature 'label': Bad"]
