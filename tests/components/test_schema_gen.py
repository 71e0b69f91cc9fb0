"""The schema that is made of `[data]`, and the one that is proposed from data."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from tensorflow_data_validation.statistics import stats_impl
from tensorflow_metadata.proto.v0 import schema_pb2

from components.schema_gen.default import default_schema
from components.schema_gen.infer import infer_schema


def statistics(**columns):
    batch = pa.RecordBatch.from_arrays(list(columns.values()), list(columns))
    return stats_impl.generate_statistics_in_memory(batch, tfdv.StatsOptions())


def texts(*values):
    return pa.array([[value.encode()] for value in values], pa.list_(pa.binary()))


def numbers(*rows):
    return pa.array([[float(value) for value in np.atleast_1d(row)] for row in rows], pa.list_(pa.float32()))


def parse(text):
    return text_format.Parse(text, schema_pb2.Schema())


@pytest.fixture
def splits():
    return {
        "train": statistics(text_a=texts("a", "b", "a"), text_b=texts("c", "d", "e"), label=numbers(1, 2, 4)),
        "eval": statistics(text_a=texts("f"), text_b=texts("gg"), label=numbers(5)),
    }


def test_the_proposal_is_what_data_says_where_the_data_is_so(make_data, splits):
    text = infer_schema(splits, make_data())
    assert parse(text) == parse(default_schema(make_data()))
    assert text == infer_schema(dict(reversed(splits.items())), make_data())


def test_every_feature_is_commented_with_its_column_and_what_was_seen(make_data, splits):
    lines = infer_schema(splits, make_data()).splitlines()
    assert lines[0].startswith("# Proposed by kembar schema infer from eval 1, train 3 rows.")
    for at in (at for at, line in enumerate(lines) if line == "feature {"):
        assert lines[at - 1].startswith("# Seen: ")
        assert lines[at - 2].startswith("# The ")
    assert "# The first text, column 'a'." in lines
    assert "# Seen: 1 bytes on average, about 1 different in eval, about 2 different in train." in lines
    assert "# The label, column 'score': a score of 0 to 5. Requests carry none." in lines
    assert "# Seen: 1 to 5, mean 3." in lines


def test_data_fits_its_proposal_as_training_and_requests_fit_without_label(make_data, splits):
    schema = parse(infer_schema(splits, make_data()))
    for one in splits.values():
        assert not tfdv.validate_statistics(one, schema, environment="TRAINING").anomaly_info
    request = statistics(text_a=texts("x"), text_b=texts("y"))
    assert not tfdv.validate_statistics(request, schema, environment="SERVING").anomaly_info
    assert list(tfdv.validate_statistics(request, schema, environment="TRAINING").anomaly_info) == ["label"]


def test_a_vector_keeps_its_dimension_and_gets_no_range_that_nobody_declared(make_data):
    classes = {"column": "c", "kind": "classes", "classes": ("x", "y")}
    vector = {"columns": ("p", "q"), "dimension": 2}
    data = make_data(text_a=None, text_b=None, vector=vector, label=classes)
    found = statistics(vector=numbers([1, -2], [3, 4]), label=pa.array([[0], [1]], pa.list_(pa.int64())))
    text = infer_schema({"train": found}, data)
    by_name = {feature.name: feature for feature in parse(text).feature}
    assert by_name["vector"].shape.dim[0].size == 2
    assert not by_name["vector"].HasField("float_domain")
    assert (by_name["label"].int_domain.min, by_name["label"].int_domain.max) == (0, 1)
    assert "# Seen: -2 to 4, mean 1.5." in text
    assert "# [data] declares no range; with one, values outside are quarantined." in text
    assert "as its place in: x, y." in text
