"""A schema proposed from data: what `[data]` says, what TFDV sees, and a comment on every feature."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from components.example_gen.data_config import DataSection
from components.schema_gen.default import default_schema
from trainer.features import LABEL, TEXT_A, TEXT_B, VECTOR

Splits = Mapping[str, statistics_pb2.DatasetFeatureStatisticsList]


def infer_schema(splits: Splits, data: DataSection) -> str:
    """A tensorflow.metadata Schema in text format, which every split fits.

    Types, presence and shapes are what TFDV infers, ranges and environments what `[data]` says. The extremes
    that were seen are told in comments and are no limits: the next data may well go beyond them.

    Args:
      splits: split to its statistics, the training split among them.
      data: the `[data]` section that the statistics are of.
    """
    schema = text_format.Parse(default_schema(data), schema_pb2.Schema())
    by_name = _infer(splits)
    for feature in schema.feature:
        inferred = by_name.get(feature.name, feature)
        feature.type = inferred.type
        feature.presence.CopyFrom(inferred.presence)
        if not inferred.HasField("shape"):  # rows differ in how many values they have
            feature.ClearField("shape")
            feature.value_count.CopyFrom(inferred.value_count)
    sizes = [f"{split} {splits[split].datasets[0].num_examples:,}" for split in sorted(splits)]
    advice = "Read it, correct it, keep it with the code."
    lines = [f"# Proposed by kembar schema infer from {', '.join(sizes)} rows. {advice}", ""]
    for feature in schema.feature:
        lines += _comment(feature.name, splits, data)
        body = text_format.MessageToString(feature, indent=2).rstrip()
        lines += [f"feature {{\n{body}\n}}"]
    lines += ["# Requests are checked as SERVING, data as TRAINING."]
    lines += [f'default_environment: "{name}"' for name in schema.default_environment]
    return "\n".join(lines) + "\n"


def _infer(splits: Splits) -> dict[str, schema_pb2.Feature]:
    # Texts are free: what few different ones a small file has are no list of all.
    options = {"infer_feature_shape": True, "max_string_domain_size": 0}
    first, *others = (splits[split] for split in sorted(splits))
    schema = tfdv.infer_schema(first, **options)
    for statistics in others:
        schema = tfdv.update_schema(schema, statistics, **options)
    return {feature.name: feature for feature in schema.feature}


def _comment(name: str, splits: Splits, data: DataSection) -> list[str]:
    """Comment on a feature: its meaning, and its statistics over all splits."""
    meaning = {
        TEXT_A: f"The first text, column {data.text_a!r}.",
        TEXT_B: f"The second text, column {data.text_b!r}.",
        VECTOR: "Numbers in their order" + (f", of {data.vector.dimension} columns." if data.vector else "."),
        LABEL: _label_meaning(data),
    }[name]
    features = [stats for _, stats in _statistics(splits, name)]
    lines = [f"# {meaning}"]
    strings = [stats.string_stats for stats in features if stats.HasField("string_stats")]
    numbers = [stats.num_stats for stats in features if stats.HasField("num_stats")]
    rows = max(1, sum(stats.common_stats.num_non_missing for stats in strings + numbers))
    if strings:
        length = sum(s.avg_length * s.common_stats.num_non_missing for s in strings)
        different = ", ".join(
            f"about {stats.string_stats.unique:,} different in {split}"
            for split, stats in _statistics(splits, name)
        )
        lines.append(f"# Seen: {length / rows:.0f} bytes on average, {different}.")
    if numbers:
        low, high = min(n.min for n in numbers), max(n.max for n in numbers)
        mean = sum(n.mean * n.common_stats.num_non_missing for n in numbers)
        lines.append(f"# Seen: {low:g} to {high:g}, mean {mean / rows:.4g}.")
        if name == VECTOR and data.vector is not None and data.vector.range is None:
            lines.append("# [data] declares no range; with one, values outside are quarantined.")
    return lines


def _label_meaning(data: DataSection) -> str:
    label = data.label
    if label is None:
        return ""
    if label.classes is not None:
        names = ", ".join(label.classes[:20]) + (", ..." if len(label.classes) > 20 else "")
        return f"The class, column {label.column!r}, as its place in: {names}. Requests carry none."
    low, high = label.bounds
    kind = "0 or 1" if label.kind == "binary" else f"a score of {low:g} to {high:g}"
    return f"The label, column {label.column!r}: {kind}. Requests carry none."


def _statistics(splits: Splits, name: str) -> Iterator[tuple[str, statistics_pb2.FeatureNameStatistics]]:
    """Each split that has the feature, in order, and what TFDV counted of it there."""
    for split, statistics in sorted(splits.items()):
        for stats in statistics.datasets[0].features:
            if stats.path.step[:] == [name]:
                yield split, stats
