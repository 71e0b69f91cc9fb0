"""A value of a kind that its column does not have costs its row, not the file."""

import tensorflow as tf

from components.example_gen.data_config import DataSection
from tests.components.example_rows import Row, read_rows

COLUMNS = {"text_a": "a", "text_b": "b", "label": {"column": "same", "kind": "binary"}}


def of_kinds(**features):
    """A tf.Example whose features are what their values are."""
    kinds = {bytes: ("bytes_list", tf.train.BytesList), int: ("int64_list", tf.train.Int64List)}
    written = {}
    for name, values in features.items():
        key, kind = kinds.get(type(values[0]), ("float_list", tf.train.FloatList))
        written[name] = tf.train.Feature(**{key: kind(value=values)})
    return tf.train.Example(features=tf.train.Features(feature=written)).SerializeToString()


def write(path, examples):
    with tf.io.TFRecordWriter(str(path)) as writer:
        for one in examples:
            writer.write(one)


def test_a_feature_may_be_whole_in_one_example_and_not_in_another(tmp_path):
    """Each decodes alone, and together they do not."""
    path = tmp_path / "pairs"
    write(
        path,
        [
            of_kinds(a=[b"x"], b=[b"y"], same=[1.0], other=[1]),
            of_kinds(a=[b"v"], b=[b"w"], same=[0], other=[b"not asked for"]),
            of_kinds(a=[b"p"], b=[7], same=[0.0]),
            of_kinds(a=[b"q"], b=[b"r"], same=[b"much"]),
            of_kinds(a=[b"q"], b=[b"r"]),
        ],
    )
    rows = list(read_rows(path, DataSection(format="tfrecord", path=path, **COLUMNS)))
    assert rows[:2] == [Row("x", "y", 1.0), Row("v", "w", 0.0)]
    assert [row.reason for row in rows[2:]] == ["not a text", "bad label", "missing key"]


def test_a_vector_may_be_whole_in_one_example_and_not_in_another(tmp_path):
    path = tmp_path / "rows"
    write(path, [of_kinds(v=[0.5, 2.0]), of_kinds(v=[1, 2]), of_kinds(v=[b"1"]), of_kinds(v=[1])])
    data = DataSection(format="tfrecord", path=path, vector={"column": "v", "dimension": 2})
    rows = list(read_rows(path, data))
    assert [row.vector.tolist() for row in rows[:2]] == [[0.5, 2.0], [1.0, 2.0]]
    assert [row.reason for row in rows[2:]] == ["wrong dimension", "wrong dimension"]


def test_a_whole_number_that_no_float_holds_costs_its_row_alone(tmp_path):
    huge = "9" * 400
    pairs, vectors = tmp_path / "pairs", tmp_path / "vectors"
    pairs.write_text(f'{{"a": "x", "b": "y", "same": 1}}\n{{"a": "v", "b": "w", "same": {huge}}}\n')
    vectors.write_text(f'{{"v": [1, 2]}}\n{{"v": [1, -{huge}]}}\n')
    [good, bad] = read_rows(pairs, DataSection(format="jsonl", path=pairs, **COLUMNS))
    assert (good, bad.reason, bad.line) == (Row("x", "y", 1.0), "bad label", 2)
    assert bad.detail == f"column 'same': {huge[:40]!r} is not a binary label"
    [good, bad] = read_rows(
        vectors, DataSection(format="jsonl", path=vectors, vector={"column": "v", "dimension": 2})
    )
    assert (good.vector.tolist(), bad.reason, bad.line) == ([1, 2], "bad number", 2)
