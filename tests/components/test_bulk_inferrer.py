"""Rows without a label: what is read, what a pushed model says of them, and nothing where none was pushed."""

from __future__ import annotations

import json
import os

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from apache_beam.options.pipeline_options import PipelineOptions
from tfx.types import artifact_utils, standard_artifacts

from components.bulk_inferrer import predictions
from components.bulk_inferrer.bulk_config import Bulk
from components.bulk_inferrer.component import BulkInferrer
from components.bulk_inferrer.rows import write_rows
from components.example_gen import delimited
from components.tables import read_table
from trainer.errors import KembarError

ROWS = 'b,a,note\nwords,"two\nlines",x\n, none,y\none,two\nfour,"three, three",z\n'


@pytest.fixture
def examples(tmp_path):
    """An artifact for the split `bulk`."""
    artifact = standard_artifacts.Examples()
    artifact.uri = str(tmp_path / "examples")
    artifact.split_names = artifact_utils.encode_split_names(["bulk"])
    return artifact


@pytest.fixture
def unlabelled(tmp_path, make_data):
    """How a file of rows without a label is read, where `[data]` of tests has one."""

    def make(text):
        path = tmp_path / "rows.csv"
        path.write_text(text)
        return Bulk(input=path).data(make_data())

    return make


def rows_of(examples):
    table = read_table(examples, "bulk")
    return [{name: column[0] for name, column in row.items()} for row in table.to_pylist()]


def test_rows_keep_their_place_and_need_no_label(unlabelled, examples, tmp_path):
    write_rows(unlabelled(ROWS), examples.uri)
    path = str(tmp_path / "rows.csv").encode()
    assert rows_of(examples) == [
        {"file": path, "line": 2, "text_a": b"two\nlines", "text_b": b"words"},
        {"file": path, "line": 6, "text_a": b"three, three", "text_b": b"four"},
    ]
    aside = tmp_path / "examples" / "bulk_quarantine" / "rows.jsonl"
    quarantine = [json.loads(line) for line in aside.read_text().splitlines()]
    assert [(row["line"], row["reason"]) for row in quarantine] == [
        (4, "empty text"),
        (5, "wrong column count"),
    ]
    counts = json.loads((tmp_path / "examples" / "counts.json").read_text())
    assert counts == {"read": 4, "kept": 2, "empty text": 1, "wrong column count": 1}


def test_a_file_without_a_header_may_lack_the_column_of_the_label(make_data, examples, tmp_path):
    labelled = make_data(header=False, columns=("score", "a", "b"))
    path = tmp_path / "rows.csv"
    path.write_text("one,two\n")
    write_rows(Bulk(input=path, columns=["a", "b"]).data(labelled), examples.uri)
    assert [(row["text_a"], row["text_b"]) for row in rows_of(examples)] == [(b"one", b"two")]
    path.write_text("4.5,one,two\n")
    write_rows(Bulk(input=path).data(labelled), examples.uri)
    assert [(row["text_a"], row["text_b"]) for row in rows_of(examples)] == [(b"one", b"two")]


def test_rows_without_a_label_are_no_span(make_data, tmp_path):
    nothing = dict.fromkeys(("train", "eval", "test"))
    spans = make_data(**nothing, pattern=str(tmp_path / "day-{SPAN}.csv"), split={"train": 2})
    data = Bulk(input=tmp_path / "rows.csv").data(spans)
    assert (data.pattern, data.split, data.label, data.path) == (None, None, None, (tmp_path / "rows.csv",))
    assert (data.text_a, data.text_b, data.format) == (spans.text_a, spans.text_b, spans.format)


def test_parquet_rows_have_numbers_across_row_groups(examples, make_data, tmp_path):
    pq.write_table(
        pa.table({"a": list("abcde"), "b": list("vwxyz")}), tmp_path / "p.parquet", row_group_size=2
    )
    data = Bulk(input=tmp_path / "p.parquet").data(make_data(format="parquet"))
    write_rows(data, examples.uri)
    assert [(row["line"], row["text_a"]) for row in rows_of(examples)] == [
        (at + 1, name.encode()) for at, name in enumerate("abcde")
    ]


def test_rows_of_which_none_can_be_used_are_an_error(unlabelled, examples):
    with pytest.raises(
        KembarError, match=r"\[bulk\] input: none of 1 rows can be used; the first: .*rows\.csv line 2"
    ):
        write_rows(unlabelled("a,b\n,x\n"), examples.uri)


class Counting(tf.Module):
    """Stands for a model: all kinds of outputs that families have."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")])
    def answer(self, examples):
        parsed = tf.io.parse_example(examples, {"text_a": tf.io.FixedLenFeature([], tf.string)})
        length = tf.strings.length(parsed["text_a"])
        score = tf.cast(length, tf.float32) / 7
        return {
            "score": score,
            "odd": length % 2 == 1,
            "label": tf.strings.join(["n", tf.as_string(length)]),
            "probabilities": tf.stack([score, 1 - score], axis=1),
        }


@pytest.fixture
def infer(tmp_path, examples):
    """Runs the component on `examples`, with a model that was pushed or not; the folder of its table."""
    model, pushed = standard_artifacts.Model(), standard_artifacts.PushedModel()
    model.uri = str(tmp_path / "model")
    module = Counting()
    path = os.path.join(model.uri, "Format-Serving")
    tf.saved_model.save(module, path, signatures={"serve_examples": module.answer})

    def run(was_pushed):
        pushed.set_int_custom_property("pushed", was_pushed)
        pushed.set_string_custom_property("pushed_version", "1234")
        predictions = standard_artifacts.InferenceResult()
        predictions.uri = str(tmp_path / "predictions")
        BulkInferrer.test_call(
            examples=examples,
            model=model,
            pushed_model=pushed,
            predictions=predictions,
            code="",
            beam_pipeline=beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"])),
        )
        return tmp_path / "predictions"

    return run


def test_the_table_has_each_usable_row_in_its_order_with_what_the_model_said(
    unlabelled, examples, infer, monkeypatch, tmp_path
):
    monkeypatch.setattr(delimited, "BATCH_ROWS", 4)  # several files, read in any order
    texts = ["x" * (1 + at * 5 % 13) for at in range(30)]
    data = unlabelled(
        "a,b\n" + "".join(f"{text},b\n" if at != 7 else ",b\n" for at, text in enumerate(texts))
    )
    write_rows(data, examples.uri)
    assert len(list((tmp_path / "examples" / "Split-bulk").iterdir())) == 8
    monkeypatch.setattr(predictions, "_ROWS", 3)
    table = pq.read_table(infer(1) / "predictions.parquet")
    assert table.column_names == [
        "file",
        "line",
        "text_a",
        "text_b",
        "label",
        "odd",
        "probabilities",
        "score",
    ]
    assert table.schema.metadata[b"version"] == b"1234"
    kept = [(at + 2, text) for at, text in enumerate(texts) if at != 7]
    assert table["line"].to_pylist() == [line for line, _ in kept]
    assert table["text_a"].to_pylist() == [text for _, text in kept]
    assert table["label"].to_pylist() == [f"n{len(text)}" for _, text in kept]
    assert table["odd"].to_pylist() == [len(text) % 2 == 1 for _, text in kept]
    assert table["score"].to_pylist() == pytest.approx([len(text) / 7 for _, text in kept], rel=1e-6)
    assert [len(row) for row in table["probabilities"].to_pylist()] == [2] * 29
    assert str(table.schema.field("score").type) == "float"


def test_without_a_push_nothing_is_written(unlabelled, examples, infer):
    write_rows(unlabelled("a,b\nx,y\n"), examples.uri)
    assert not infer(0).exists()
