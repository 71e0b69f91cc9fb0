"""`kembar duplicates` around a model whose embeddings and scores can be worked out."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import duplicates as finding
from pipeline import rows as files
from pipeline.duplicates import build_index, candidate_pairs, default_threshold, duplicates, neighbours_of
from pipeline.predict import Files
from pipeline.workdir import Workdir
from trainer.errors import ConfigError
from trainer.features import Label

SCORES = Label(column="y", kind="score", range=(0, 5))


class Circle:
    """A text is an angle in degrees; a pair scores 5 less its difference. `none` has no direction."""

    signatures = {"embed": None}  # noqa: RUF012

    def signature(self, name=""):
        return type("Signature", (), {"outputs": {"score": None}})

    def predict(self, signature, inputs):
        if signature == "embed":
            return {"embedding": np.array([self.vector(text) for text in inputs["text"]], np.float32)}
        pairs = list(zip(inputs["text_a"], inputs["text_b"], strict=True))
        scores = [5 if a == b else 5 - abs(float(a) - float(b)) for a, b in pairs]
        score = np.array(scores, np.float32)
        return {"score": score, "label": (score > 4.4).astype(np.int64)}

    @staticmethod
    def vector(text: bytes):
        if text == b"none":
            return [0.0, 0.0]
        angle = np.radians(float(text))
        return [np.cos(angle) * 1e6, np.sin(angle) * 1e6]  # more than half precision holds


@pytest.fixture
def find(tmp_path, monkeypatch, new_terminal, make_data):
    """Finds duplicates among texts; gives back the lines."""
    workdir = Workdir(tmp_path / "work", tmp_path / "work" / "serving" / "twins")
    (workdir.serving / "7").mkdir(parents=True)
    (workdir.serving / "7" / "saved_model.pb").touch()
    monkeypatch.setattr("pipeline.predict.load_served", lambda base: Circle())

    def call(texts, label=SCORES, name="out.jsonl", **options):
        source, output = tmp_path / "in.jsonl", tmp_path / name
        source.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        asked = Files(make_data(label=label), source, output)
        duplicates(workdir, asked, ("text",), new_terminal(), **options)
        if output.suffix == ".parquet":
            return pq.read_table(output)
        return [json.loads(line) for line in output.read_text().splitlines()]

    return call


def test_pairs_and_groups(find, capfd):
    lines = find(["10", "90", "none", "10.5", "200", "90", 7, "11.25", "none"])
    found = [(line["group"], line["row_a"], line["row_b"], line["score"]) for line in lines]
    assert found == [(0, 0, 3, 4.5), (0, 3, 7, 4.25), (1, 1, 5, 5.0), (2, 2, 8, 5.0)]
    err = capfd.readouterr().err
    assert "\n4 pairs of score 4 and more in 3 groups\n9 rows read, 8 answered, 1 with an error (" in err
    assert (lines[0]["text_a"], lines[0]["text_b"]) == ("10", "10.5")


def test_threshold_and_neighbours(find):
    texts = [str(n) for n in range(8)]
    assert len(find(texts, threshold=4)) == 7
    assert len(find(texts, threshold=3)) == 7 + 6
    assert len(find(texts, threshold=-100, neighbours=100)) == 28
    assert find(texts, threshold=5.5) == []


def test_a_table_has_its_columns_with_and_without_pairs(find, tmp_path):
    names = ["group", "row_a", "row_b", "score", "text_a", "text_b"]
    for texts, rows in (
        (["10", "10.5", "200"], [[0, 0, 1, 4.5, "10", "10.5"]]),
        (["10", "200"], []),
        ([], []),
    ):
        table = find(texts, name="out.parquet")
        assert table.schema.names == names
        assert [list(row.values()) for row in table.to_pylist()] == rows
    assert table.schema.types == [pa.int64()] * 3 + [pa.float64()] + [pa.string()] * 2


def test_a_binary_model_says_itself_what_matches(find, capfd):
    lines = find(["10", "10.5", "11.25"], label=Label(column="y", kind="binary"))
    assert [(line["row_a"], line["row_b"]) for line in lines] == [(0, 1)]
    assert "1 pairs of label 1 in 1 groups" in capfd.readouterr().err


def test_nothing_to_compare(find):
    assert find([]) == []
    assert find(["5"]) == []
    assert find(["none"]) == []


def test_what_counts_as_a_match_by_default():
    assert default_threshold(SCORES) == pytest.approx(4.0)
    assert default_threshold(Label(column="y", kind="binary")) is None
    for label in (None, Label(column="y", kind="classes", classes=("a", "b"))):
        with pytest.raises(ConfigError, match="neither"):
            default_threshold(label)


def test_the_index_finds_nearly_all_true_neighbours(monkeypatch):
    monkeypatch.setattr(finding, "_CHUNK", 500)
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(3_000, 64)).astype(np.float32)

    class Table:
        signatures = {"embed": None}  # noqa: RUF012

        def predict(self, signature, inputs):
            return {"embedding": vectors[[int(text) for text in inputs["text"]]]}

    index = build_index(Table(), [str(n) for n in range(len(vectors))], lambda text: None)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    sample = np.arange(0, 3_000, 10)
    similar = unit[sample] @ unit.T
    similar[np.arange(len(sample)), sample] = -2
    true = np.argsort(-similar, axis=1)[:, :10]
    found = neighbours_of(index, unit[sample], 11)
    recall = np.mean([len(set(t) & set(f)) / 10 for t, f in zip(true, found, strict=True)])
    assert recall >= 0.95
    first, second = candidate_pairs(index, 3_000, 10)
    assert (first < second).all()
    pairs = set(zip(first.tolist(), second.tolist(), strict=True))
    assert len(pairs) == len(first)
    # Whoever names it, a neighbour is a candidate.
    wanted = {(min(a, b), max(a, b)) for a, row in zip(sample, found, strict=True) for b in row if a != b}
    assert len(wanted & pairs) >= 0.99 * len(wanted)


def test_a_corpus_holds_each_text_once():
    rows = [files.Row({"t": "a"}), files.Row({}, "bad"), files.Row({"t": "b"}), files.Row({"t": "a"})]
    corpus = finding.read_corpus(iter(rows), "t")
    assert corpus.texts == ["a", "b"]
    assert corpus.text_of.tolist() == [0, -1, 1, 0]
    assert corpus.problems == 1
