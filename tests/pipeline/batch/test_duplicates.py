"""`kembar duplicates` around a model whose embeddings and scores can be worked out."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.batch import duplicates as finding
from pipeline.batch import neighbours as searching
from pipeline.batch import rows as files
from pipeline.batch.duplicates import default_threshold, duplicates
from pipeline.batch.neighbours import candidate_pairs, index_texts, neighbours_of
from pipeline.batch.predict import FileRequest
from pipeline.store.workdir import Workdir
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
    monkeypatch.setattr("pipeline.batch.predict.load_served", lambda base, name: Circle())

    def call(texts, label=SCORES, name="out.jsonl", **options):
        source, output = tmp_path / "in.jsonl", tmp_path / name
        source.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        asked = FileRequest(make_data(label=label), source, output)
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


@pytest.mark.parametrize("threshold", [float("nan"), float("inf")])
def test_a_threshold_is_a_number(find, threshold):
    with pytest.raises(ConfigError, match=f"--threshold {threshold}: is no finite number"):
        find(["a", "a"], threshold=threshold)


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


def indexed_of(vectors):
    """What a model makes of texts that are row numbers of `vectors`."""

    class Table:
        signatures = {"embed": None}  # noqa: RUF012

        def predict(self, signature, inputs):
            return {"embedding": vectors[[int(text) for text in inputs["text"]]]}

    return index_texts(Table(), [str(n) for n in range(len(vectors))], lambda text: None)


@pytest.mark.parametrize(("same", "noise"), [(0, 0.0), (2_000, 0.0), (2_000, 1e-7)])
def test_texts_with_one_vector_hide_nothing(monkeypatch, same, noise):
    monkeypatch.setattr(searching, "_CHUNK", 512)
    rng = np.random.default_rng(1)
    pairs = np.repeat(rng.normal(size=(500, 64)), 2, axis=0)
    pairs *= 1 + 0.01 * rng.normal(size=pairs.shape)
    equal = np.repeat(rng.normal(size=(1, 64)), same, axis=0)
    equal *= 1 + noise * rng.normal(size=equal.shape)  # what a batch's other rows change in a sum
    order = rng.permutation(same + 1_000)
    vectors = np.concatenate([equal, pairs]).astype(np.float32)[order]
    place = np.argsort(order)
    indexed = indexed_of(vectors)
    assert len(indexed.index) <= 1_000 + (1 if not noise else 300)
    first, second = candidate_pairs(indexed, 10)
    found = set(zip(first.tolist(), second.tolist(), strict=True))
    wanted = {tuple(sorted(place[same + at : same + at + 2].tolist())) for at in range(0, 1_000, 2)}
    assert len(wanted & found) >= 498
    # Each of the equal ones has its neighbours among them, and so all are one group.
    alike = place[:same]
    assert all(n >= 10 for n in np.bincount([*first, *second], minlength=len(vectors))[alike])


def brute_force(vectors, neighbours):
    """Each text's nearest others, by cosine and then by position; pairs."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    similar = np.round(unit @ unit.T, 6)
    np.fill_diagonal(similar, -2)
    nearest = np.argsort(-similar, axis=1, kind="stable")[:, :neighbours]
    return {(min(at, to), max(at, to)) for at, row in enumerate(nearest.tolist()) for to in row if to != at}


@pytest.mark.parametrize("neighbours", [1, 3, 100])
def test_small_groups_of_equal_vectors_have_the_neighbours_of_an_exact_search(neighbours):
    angles = np.radians([10, 10, 10, 14, 14, 40, 41, 41, 41, 41, 41, 200])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    first, second = candidate_pairs(indexed_of(vectors), neighbours)
    found = set(zip(first.tolist(), second.tolist(), strict=True))
    assert found >= brute_force(vectors, neighbours)
    assert all(first < second for first, second in found)


def test_the_index_finds_nearly_all_true_neighbours(monkeypatch):
    monkeypatch.setattr(searching, "_CHUNK", 500)
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(3_000, 64)).astype(np.float32)

    indexed = indexed_of(vectors)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    sample = np.arange(0, 3_000, 10)
    similar = unit[sample] @ unit.T
    similar[np.arange(len(sample)), sample] = -2
    true = np.argsort(-similar, axis=1)[:, :10]
    found = neighbours_of(indexed.index, unit[sample], 11)
    recall = np.mean([len(set(t) & set(f)) / 10 for t, f in zip(true, found, strict=True)])
    assert recall >= 0.95
    first, second = candidate_pairs(indexed, 10)
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
