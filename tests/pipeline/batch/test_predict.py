"""`kembar predict` around a model of arithmetic: what is read, what is written, what is refused."""

from __future__ import annotations

import csv
import gzip
import io
import json
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.batch import predict as predicting
from pipeline.batch import rows
from pipeline.batch.predict import FileRequest, embed, predict, predict_pair
from pipeline.serving.signatures import ModelSignature, TensorSpec
from pipeline.store.workdir import Workdir
from trainer.errors import ConfigError, ServingError

HEADER = "text_a,text_b\n"


def signature(**outputs: tuple[str, tuple]) -> ModelSignature:
    """What a model says that it gives, by name."""
    return ModelSignature(
        "serving_default", {}, {name: TensorSpec(name, *spec) for name, spec in outputs.items()}
    )


class Lengths:
    """Scores a pair by its numbers of bytes, in tenths."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.signatures = {"serving_default": None, "embed": None}

    def signature(self, name):
        return signature(score=("float32", (None,)), label=("int64", (None,)))

    def predict(self, signature, inputs):
        if signature == "embed":
            return {"embedding": np.array([[len(text), 0.1] for text in inputs["text"]], np.float32)}
        assert signature == "serving_default"
        self.batches.append(len(inputs["text_a"]))
        lengths = np.array(
            [len(a) + 100 * len(b) for a, b in zip(inputs["text_a"], inputs["text_b"], strict=True)]
        )
        return {
            "score": lengths.astype(np.float32) / np.float32(10),
            "label": (lengths > 300).astype(np.int64),
        }


class Classes:
    """Names and probabilities, as a model of classes gives them."""

    def signature(self, name):
        return signature(label=("string", (None,)), probabilities=("float32", (None, 2)))

    def predict(self, signature, inputs):
        rows = len(inputs["text_a"])
        names = np.empty(rows, object)
        names[:] = ["naïve".encode()] * rows
        return {"label": names, "probabilities": np.tile(np.array([0.1, 0.9], np.float32), (rows, 1))}


@pytest.fixture
def workdir(tmp_path):
    return Workdir(tmp_path / "work", tmp_path / "work" / "serving" / "twins")


@pytest.fixture
def model(workdir, monkeypatch):
    """The version in service."""
    (workdir.serving / "7").mkdir(parents=True)
    (workdir.serving / "7" / "saved_model.pb").touch()
    served = Lengths()
    monkeypatch.setattr(predicting, "load_served", lambda base, name: served)
    return served


@pytest.fixture
def data(make_data):
    """A section whose texts are in `a` and `b`."""
    return make_data()


@pytest.fixture
def ask(new_terminal, workdir, data):
    """Scores two texts or a file."""

    def call(source: Path | None = None, texts=None, output: Path | None = None, data=data, **how) -> None:
        if texts is not None:
            predict_pair(workdir, texts, output, new_terminal(), **how)
        else:
            predict(workdir, FileRequest(data, source, output, **how), new_terminal())

    return call


@pytest.fixture
def add_vectors(new_terminal, workdir, data):
    """Writes the embeddings of a file's column `t`."""

    def call(source: Path, output: Path, data=data, columns=("t",), **how) -> None:
        embed(workdir, FileRequest(data, source, output, **how), columns, new_terminal())

    return call


def write(tmp_path: Path, name: str, content: str | bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content)
    return path


def answers(capfd) -> list[dict]:
    return [json.loads(line) for line in capfd.readouterr().out.splitlines()]


def test_two_texts_are_one_line(ask, model, capfd):
    ask(texts=("abc", "é"))
    assert capfd.readouterr().out == '{"text_a": "abc", "text_b": "é", "label": 0, "score": 20.3}\n'


def test_classes_have_a_name_and_probabilities(ask, model, monkeypatch, capfd):
    monkeypatch.setattr(predicting, "load_served", lambda base, name: Classes())
    ask(texts=("a", "b"))
    line = '{"text_a": "a", "text_b": "b", "label": "naïve", "probabilities": [0.1, 0.9]}'
    assert capfd.readouterr().out == line + "\n"


@pytest.mark.parametrize(
    ("name", "own", "usual"),
    [
        ("q.csv", "question1,question2\nabc,é\n", "text_a,text_b,question1,question2\nabc,é,x,y\n"),
        (
            "q.jsonl",
            'no json\n{"question1": "abc", "question2": "é"}\n',
            '{"text_a": "abc", "text_b": "é", "question1": "x", "question2": "y"}\n',
        ),
    ],
)
def test_a_file_may_have_the_columns_of_the_training_data(
    tmp_path, ask, model, make_data, capfd, name, own, usual
):
    for content in (own, usual):
        source = write(tmp_path, name, content)
        ask(source, data=make_data(text_a="question1", text_b="question2"))
        assert answers(capfd)[-1]["score"] == 20.3


def test_an_empty_text_is_a_text(ask, model, capfd):
    ask(texts=("", ""))
    assert answers(capfd) == [{"text_a": "", "text_b": "", "label": 0, "score": 0.0}]


@pytest.mark.parametrize("name", ["q.csv", "q.tsv", "q.jsonl", "q.ndjson", "q.csv.gz", "q.jsonl.gz"])
def test_every_kind_of_file_is_read_and_its_columns_kept(tmp_path, ask, model, capfd, name):
    rows = [["1", 'a "b"\nc', "x,y\tz"], ["2", "é", " padded "]]
    if ".csv" in name or ".tsv" in name:
        path = tmp_path / "plain"
        with path.open("w", newline="", encoding="utf-8-sig") as file:
            csv.writer(file, delimiter="\t" if ".tsv" in name else ",").writerows(
                [["id", "text_a", "text_b"], *rows]
            )
        content = path.read_bytes()
    else:
        keys = ("id", "text_a", "text_b")
        content = "\n".join([*(json.dumps(dict(zip(keys, row, strict=True))) for row in rows), ""]).encode()
    ask(write(tmp_path, name, gzip.compress(content) if name.endswith(".gz") else content))
    assert answers(capfd) == [
        {"id": "1", "text_a": 'a "b"\nc', "text_b": "x,y\tz", "label": 1, "score": 50.7},
        {"id": "2", "text_a": "é", "text_b": " padded ", "label": 1, "score": 80.2},
    ]


def test_names_of_columns_are_read_as_ingestion_reads_them(tmp_path, ask, model, capfd):
    ask(write(tmp_path, "q.csv", 'id, text_a,"text_b"\r\n\r\n7,a,é\r\n'))
    assert answers(capfd) == [{"id": "7", "text_a": "a", "text_b": "é", "label": 0, "score": 20.1}]


def test_a_quote_that_is_never_closed_costs_its_own_row(tmp_path, ask, model, capfd):
    rows = "".join(f"{n},a,b\n" for n in range(2_000))
    ask(write(tmp_path, "q.csv", f'id,text_a,text_b\n9,"a,b\n{rows}'))
    bad, *scored = answers(capfd)
    assert "error" in bad
    assert [int(answer["id"]) for answer in scored] == list(range(2_000))


def test_files_are_scored_in_batches_and_in_order(tmp_path, ask, model, capfd, monkeypatch):
    monkeypatch.setattr(rows, "BATCH", 3)
    path = write(tmp_path, "q.csv", HEADER + "".join(f"{'x' * n},\n" for n in range(1, 9)))
    ask(path)
    assert [answer["score"] for answer in answers(capfd)] == pytest.approx([n / 10 for n in range(1, 9)])
    assert model.batches == [3, 3, 2]


def test_an_output_file_appears_when_it_is_complete(tmp_path, ask, model, capfd):
    output = tmp_path / "out.jsonl"
    output.write_text("of the last run")
    bad = write(tmp_path, "bad.csv.gz", gzip.compress((HEADER + "x,y\n" * 99).encode(), mtime=0)[:-12])
    with pytest.raises(ConfigError):
        ask(bad, output=output)
    assert output.read_text() == "of the last run"
    ask(write(tmp_path, "good.csv", HEADER + "a,é\n"), output=output)
    assert output.read_text(encoding="utf-8") == '{"text_a": "a", "text_b": "é", "label": 0, "score": 20.1}\n'
    assert {path.name for path in tmp_path.iterdir()} == {"bad.csv.gz", "good.csv", "out.jsonl", "work"}
    assert capfd.readouterr().out == ""


def test_a_file_without_rows_has_no_answers(tmp_path, ask, model, capfd):
    for name, content in (("q.csv", HEADER), ("r.csv", ""), ("q.jsonl", "\n")):
        ask(write(tmp_path, name, content))
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("q.csv", HEADER + "x\n", "line 2: wrong column count: 1 fields, 2 columns"),
        ("q.csv", HEADER + "x,y,z\n", "line 2: wrong column count: 3 fields, 2 columns"),
        ("q.csv", HEADER + "x,caf\udce9\n", "line 2: bad encoding: bytes that are not utf-8"),
        ("q.csv", "id,text_a,text_b\ncaf\udce9,x,y\n", "line 2: bad encoding: bytes that are not utf-8"),
        (
            "q.csv",
            HEADER + '"x,y\n',
            "line 2: malformed quotes: a quote that is never closed, or text behind",
        ),
        ("q.csv", HEADER + '"x"z,y\n', "line 2: malformed quotes: a quote that is never closed"),
        ("q.jsonl", "{oops}\n", "line 1: malformed JSON: Expecting property name"),
        ("q.jsonl", "[" * 100_000 + "\n", "line 1: malformed JSON: "),
        ("q.jsonl", '["x", "y"]\n', "line 1: malformed JSON: list in place of an object"),
        ("q.jsonl", '{"text_a": "x"}\n', "no text 'text_b'"),
        ("q.jsonl", '{"text_a": "x", "text_b": 3, "id": 7}\n', "no text 'text_b'"),
        ("q.jsonl", '{"text_a": "x", "text_b": "\\ud800"}\n', "'text_b' is not UTF-8"),
    ],
)
def test_a_bad_row_has_an_error_and_the_others_their_answers(
    tmp_path, ask, model, capfd, name, content, error
):
    good = '{"text_a": "a", "text_b": "b"}\n'
    if name == "q.csv":
        header = content.splitlines(keepends=True)[0]
        good = ",".join(["a"] * len(header.split(","))) + "\n"
    ask(write(tmp_path, name, content + good))
    out, err = capfd.readouterr()
    bad, scored = map(json.loads, out.splitlines())
    assert bad["error"].startswith(error)
    assert "score" not in bad
    assert (scored["score"], "error" in scored) == (10.1, False)
    assert err.startswith("2 rows read, 1 answered, 1 with an error: see 'error' (")
    if '"id": 7' in content:
        assert bad["id"] == 7


def test_parquet_is_read_and_its_columns_kept(tmp_path, ask, model, capfd):
    columns = {"text_a": ["a", None], "n": [1, 2], "day": [date(2026, 11, 25)] * 2, "text_b": ["b", "b"]}
    pq.write_table(pa.table(columns), tmp_path / "q.parquet")
    ask(tmp_path / "q.parquet")
    day = "2026-11-25"
    assert answers(capfd) == [
        {"text_a": "a", "n": 1, "day": day, "text_b": "b", "label": 0, "score": 10.1},
        {"text_a": None, "n": 2, "day": day, "text_b": "b", "error": "no text 'text_a'"},
    ]


@pytest.mark.parametrize("share", [0.0, 1 / 3, 1 / 2])
def test_a_parquet_file_that_is_damaged_inside_is_named(tmp_path, ask, model, share):
    texts = [f"text {n}" for n in range(5_000)]
    path = tmp_path / "q.parquet"
    pq.write_table(pa.table({"text_a": texts, "text_b": texts}), path, row_group_size=1_000)
    content = bytearray(path.read_bytes())
    at = 4 + int(len(content) * share)
    content[at : at + 40] = b"\xff" * 40
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        ask(path)
    assert str(caught.value).startswith(f"--input {path}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("q.csv", "a,text_b\nx,y\n", ": no column 'text_a' nor 'b': there are a, text_b"),
        ("q.jsonl.gz", gzip.compress(b"{}" * 99, mtime=0)[:-12], ": cannot be read"),
        ("q.xlsx", "x", ": is a workbook: save its sheet as .csv"),
        ("q.parquet", "x", ": not a Parquet file"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path, ask, model, capfd, name, content, message):
    path = write(tmp_path, name, content)
    with pytest.raises(ConfigError) as caught:
        ask(path)
    said = str(caught.value)
    assert said.startswith(f"--input {path}{message}")
    assert "\n" not in said


def test_embeddings_as_json_lines_and_as_parquet(tmp_path, model, add_vectors):
    source = write(tmp_path, "q.jsonl", '{"id": 1, "t": "abc"}\n{"id": 2}\n{"id": 3, "t": ""}\n')
    add_vectors(source, tmp_path / "e.jsonl")
    assert [json.loads(line) for line in (tmp_path / "e.jsonl").read_text().splitlines()] == [
        {"embedding": [3.0, 0.1], "error": None, "id": 1, "t": "abc"},
        {"embedding": None, "error": "no text 't'", "id": 2},
        {"embedding": [0.0, 0.1], "error": None, "id": 3, "t": ""},
    ]
    add_vectors(source, tmp_path / "e.parquet")
    table = pq.read_table(tmp_path / "e.parquet")
    assert table.schema.field("embedding").type == pa.list_(pa.float32())
    assert table["id"].to_pylist() == [1, 2, 3]
    assert table["error"].to_pylist() == [None, "no text 't'", None]
    np.testing.assert_allclose(table["embedding"][0].as_py(), [3, 0.1], rtol=1e-6)
    assert table["embedding"][1].as_py() is None


def test_a_table_cannot_change_its_columns(tmp_path, model, add_vectors, monkeypatch):
    monkeypatch.setattr(rows, "BATCH", 1)
    for second, message in (('{"t": "b", "x": 1}', "a later row has a column 'x'"), ('{"t": "b"}', None)):
        source = write(tmp_path, "q.jsonl", '{"t": "a"}\n' + second + "\n")
        if message is None:
            add_vectors(source, tmp_path / "e.parquet")
            continue
        with pytest.raises(ConfigError, match=message):
            add_vectors(source, tmp_path / "e.parquet")
        assert not (tmp_path / "e.parquet").exists()
    assert pq.read_table(tmp_path / "e.parquet").num_rows == 2


@pytest.fixture
def table_of(tmp_path, model, add_vectors, monkeypatch):
    """The table that `embed` makes of a file, two rows at a time; the texts are in `t`."""
    monkeypatch.setattr(rows, "BATCH", 2)

    def call(name: str, content: str | bytes, **how) -> pa.Table:
        add_vectors(write(tmp_path, name, content), tmp_path / "e.parquet", **how)
        return pq.read_table(tmp_path / "e.parquet")

    return call


def test_a_table_keeps_rows_that_are_not_utf8(table_of):
    table = table_of("q.csv", "id,caf\udce9,t\n1,x,a\n2,y,caf\udce9\n")
    assert table.schema.names == ["id", "caf?", "t", "embedding", "error"]
    assert [row["error"] for row in table.to_pylist()] == [
        None,
        'line 3: bad encoding: bytes that are not utf-8: set [data] encoding; with encoding = "cp1252" they '
        "are 'café'",
    ]
    assert table["t"].to_pylist() == ["a", "caf?"]
    table = table_of("q.jsonl", '{"t": "a", "tags": ["\\ud800"], "of": {"\\ud800": "\\ud800"}}\n')
    assert (table["tags"].to_pylist(), table["of"].to_pylist()) == ([["?"]], [{"?": "?"}])
    assert table["embedding"].to_pylist() == [pytest.approx([1, 0.1])]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("q.csv", "id,t\n" + '"x\n' * 5 + "7,a\n"),
        ("q.jsonl", "oops\n" * 5 + '{"id": "7", "t": "a"}\n'),
        ("q.jsonl", '{"id": 1, "t": 2}\n' * 5 + '{"id": "7", "t": "a"}\n'),
    ],
)
def test_a_table_may_begin_with_rows_that_cannot_be_read(table_of, name, content):
    table = table_of(name, content)
    assert table.schema.field("embedding").type == pa.list_(pa.float32())
    *bad, good = table.to_pylist()
    assert good == {"id": "7", "t": "a", "embedding": pytest.approx([1, 0.1]), "error": None}
    assert len(bad) == 5
    assert all(row["error"] and row["embedding"] is None for row in bad)


def test_what_no_column_can_hold_is_text_or_said(table_of):
    large = 2**64
    lines = [{"t": "a", "big": large, "any": 1}, {"t": "b", "big": 1, "any": "x"}, {"t": "c", "any": [1]}]
    table = table_of("q.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    assert table["big"].to_pylist() == [str(large), "1", None]
    assert table["any"].to_pylist() == ["1", "x", "[1]"]
    lines = [{"t": "a", "n": 1}] * 2 + [{"t": "b", "n": large}]  # type: ignore[assignment]
    with pytest.raises(ConfigError, match=r"^--output: column 'n': .* large .*: write \.jsonl instead$"):
        table_of("q.jsonl", "".join(json.dumps(line) + "\n" for line in lines))


def test_a_row_that_is_nested_without_end_costs_itself_alone(table_of):
    deep = '{"t": "a", "x": ' + "[" * 800 + "]" * 800 + "}\n"
    table = table_of("q.jsonl", '{"t": "a"}\n' + deep + '{"t": "b"}\n')
    assert table["error"].to_pylist() == [None, "line 2: lists or objects are nested too deeply", None]
    assert table["t"].to_pylist() == ["a", None, "b"]


@pytest.mark.parametrize("prefix", ["\udcff", "a\nb", "\x1b[31m"])
def test_a_prefix_that_no_name_has_is_refused(tmp_path, ask, model, prefix):
    with pytest.raises(ConfigError, match=r"^--prefix '.*: has signs that no name has"):
        ask(write(tmp_path, "q.csv", HEADER + "x,y\n"), prefix=prefix)


def test_a_table_of_no_rows_has_its_columns(table_of, tmp_path):
    pq.write_table(
        pa.table({"day": pa.array([], pa.date32()), "t": pa.array([], pa.string())}), tmp_path / "p"
    )
    for name, content, own in (
        ("q.csv", "id,t\n", ["id", "t"]),
        ("q.jsonl", "", []),
        ("q.parquet", (tmp_path / "p").read_bytes(), ["day", "t"]),
    ):
        table = table_of(name, content)
        assert (table.schema.names, table.num_rows) == ([*own, "embedding", "error"], 0)


def test_a_table_keeps_the_types_of_a_table_and_can_be_embedded_again(table_of, tmp_path):
    own = {"n": pa.array([None, None, 3], pa.int16()), "t": ["a", None, "b"]}
    pq.write_table(pa.table(own), tmp_path / "p")
    table = table_of("q.parquet", (tmp_path / "p").read_bytes())
    assert table.schema.field("n").type == pa.int16()
    assert table["error"].to_pylist() == [None, "no text 't'", None]
    with pytest.raises(ConfigError, match="has a column 'embedding' already"):
        table_of("q.parquet", (tmp_path / "e.parquet").read_bytes())
    again = table_of("q.parquet", (tmp_path / "e.parquet").read_bytes(), prefix="b_")
    assert again.select(table.schema.names).equals(table)
    assert again["b_embedding"].equals(table["embedding"])
    assert again["b_error"].equals(table["error"])


CASE = "text_a,text_b,score,error,id\nA man plays.,A man is playing.,3.25,none so far,7\n,x,1.0,boom,8\n"


def test_a_column_that_is_there_is_never_replaced(tmp_path, ask, model, capfd):
    source = write(tmp_path, "p.csv", CASE)
    with pytest.raises(ConfigError) as caught:
        ask(source)
    assert str(caught.value) == (
        f"--input {source}: has a column 'error' already, and one that is added has this name: give --prefix "
        "kembar_, or rename it"
    )
    ask(source, prefix="kembar_")
    first, second = answers(capfd)
    assert (first["score"], first["error"], first["kembar_score"]) == ("3.25", "none so far", 171.2)
    assert (second["error"], "kembar_error" in second, second["kembar_label"]) == ("boom", False, 0)
    with pytest.raises(ConfigError, match=r"'kembar_score' already, .*: give another --prefix, or rename it"):
        ask(write(tmp_path, "q.csv", "kembar_score," + HEADER), prefix="kembar_")


def test_a_later_row_of_json_lines_may_not_have_the_column_either(tmp_path, ask, model):
    lines = [{"text_a": "a", "text_b": "b"}] * 600 + [{"text_a": "a", "text_b": "b", "label": 1}]
    source = write(tmp_path, "p.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(ConfigError, match="has a column 'label' already"):
        ask(source, output=tmp_path / "o.jsonl")
    assert not (tmp_path / "o.jsonl").exists()


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet", ".csv.gz", ".jsonl.gz"])
def test_scores_are_written_as_the_name_says(tmp_path, ask, model, capfd, suffix):
    source = write(tmp_path, "p.csv", 'id,text_a,text_b\n1,"a\r",é\n2,x\n')
    output = tmp_path / f"o{suffix}"
    ask(source, output=output)
    assert capfd.readouterr().err.startswith("2 rows read, 1 answered, 1 with an error: see 'error' (")
    problem = "line 3: wrong column count: 2 fields, 3 columns"
    own = {"id": "1", "text_a": "a\r", "text_b": "é"}, {"id": "2", "text_a": "x", "text_b": None}
    if suffix == ".parquet":
        table = pq.read_table(output)
        assert table.schema.types[3:] == [pa.int64(), pa.float32(), pa.string()]
        first, second = table.to_pylist()
        assert first == {**own[0], "label": 0, "score": pytest.approx(20.2), "error": None}
        assert second == {**own[1], "label": None, "score": None, "error": problem}
        return
    content = output.read_bytes()
    text = (gzip.decompress(content) if suffix.endswith(".gz") else content).decode()
    if "jsonl" in suffix:
        lines = [{**own[0], "label": 0, "score": 20.2}, {**own[1], "error": problem}]
        assert [json.loads(line) for line in text.splitlines()] == lines
    else:
        told = csv.DictReader(io.StringIO(text, newline=""), delimiter="\t" if "tsv" in suffix else ",")
        first, second = told
        assert first == {**own[0], "label": "0", "score": "20.2", "error": ""}
        assert second == {**own[1], "text_b": "", "label": "", "score": "", "error": problem}
        assert text.count("\n") == 3


def test_classes_are_a_table_too(tmp_path, ask, model, monkeypatch):
    monkeypatch.setattr(predicting, "load_served", lambda base, name: Classes())
    for name in ("o.parquet", "o.csv"):
        ask(write(tmp_path, "p.csv", HEADER + "a,b\n"), output=tmp_path / name)
    (row,) = pq.read_table(tmp_path / "o.parquet").to_pylist()
    assert row["label"] == "naïve"
    assert row["probabilities"] == pytest.approx([0.1, 0.9])
    assert (tmp_path / "o.csv").read_text(encoding="utf-8") == (
        'text_a,text_b,label,probabilities,error\na,b,naïve,"[0.1, 0.9]",\n'
    )


def test_a_pair_may_be_written_to_a_file(tmp_path, ask, model):
    ask(texts=("a", "é"), output=tmp_path / "o.csv")
    assert (tmp_path / "o.csv").read_text(encoding="utf-8") == (
        "text_a,text_b,label,score,error\na,é,0,20.1,\n"
    )


def test_the_file_that_is_read_is_never_written(tmp_path, ask, add_vectors, model):
    source = write(tmp_path, "p.csv", HEADER + "a,b\n")
    for call in (ask, lambda source, output: add_vectors(source, output, columns=("text_a",))):
        for output in (source, tmp_path / "scores.xlsx", tmp_path / "work"):
            with pytest.raises(ConfigError, match=r"^--output "):
                call(source, output=output)
    assert source.read_text() == HEADER + "a,b\n"


def test_no_file_of_the_data_is_written_over(tmp_path, ask, model, make_data):
    write(tmp_path, "train.csv", "a,b,score\nx,y,1\n")
    with pytest.raises(ConfigError, match=r"train\.csv: is a file that is read: name another"):
        ask(write(tmp_path, "p.csv", HEADER + "a,b\n"), output=tmp_path / "train.csv", data=make_data())


def test_vectors_are_added_to_the_column_that_the_data_names(tmp_path, add_vectors, model):
    for name, columns, lengths in (
        ("p.csv", ("a", "text"), ["1.0", "2.0"]),
        ("text.csv", ("b", "text"), ["3.0", "4.0"]),
    ):
        source = write(tmp_path, name, "a,text\nx,xyz\nxy,wxyz\n")
        add_vectors(source, tmp_path / "e.csv", columns=columns)
        with (tmp_path / "e.csv").open(newline="") as file:
            vectors = [row["embedding"] for row in csv.DictReader(file)]
        assert vectors == [f"[{length}, 0.1]" for length in lengths]


def test_a_model_without_embeddings_says_so(tmp_path, model, add_vectors):
    model.signatures = {"serving_default": None}
    source = write(tmp_path, "q.jsonl", '{"t": "a"}\n')
    with pytest.raises(
        ConfigError, match="the served model has no signature 'embed': it has serving_default"
    ):
        add_vectors(source, tmp_path / "e.jsonl")


def test_paths_that_are_not_there_are_named_before_a_model_is_loaded(tmp_path, ask):
    with pytest.raises(ConfigError) as caught:
        ask(tmp_path / "no.csv")
    assert str(caught.value) == f"--input {tmp_path}/no.csv: no such file"
    with pytest.raises(ConfigError) as caught:
        ask(texts=("x", "y"), output=tmp_path / "no" / "out.jsonl")
    assert str(caught.value) == f"--output {tmp_path}/no/out.jsonl: no such folder: {tmp_path}/no"
    assert list(tmp_path.iterdir()) == []


def test_without_a_version_nothing_is_left_behind(tmp_path, workdir, ask):
    with pytest.raises(ServingError) as caught:
        ask(texts=("x", "y"))
    assert str(caught.value) == f"{workdir.serving}: no version is served; push one with `kembar run`"
    assert list(tmp_path.iterdir()) == []
