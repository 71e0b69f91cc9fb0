"""The ingestion as a whole: every format gives the same examples, and no row is lost."""

import csv
import gzip
import json
import unicodedata

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from components.example_gen import reader
from components.example_gen.data_config import DataSection, Split
from components.tfrecords import open_writer
from tests.components.examples import ingest
from trainer.errors import ConfigError, DataRejected
from trainer.text.form import TextForm

# Quotes, delimiters, line ends and scripts that a format might stumble over.
TEXTS = [f'text {at} "quoted", tab\there' if at % 3 else f"Zeile {at}\nzwei — 語" for at in range(120)]
PAIRS = [(TEXTS[at], TEXTS[at + 60], at % 2) for at in range(60)]
PAIRS += [(TEXTS[at], TEXTS[at * 7 % 60 + 1], 1) for at in range(0, 60, 5)]
LABEL = {"column": "same", "kind": "binary"}
COLUMNS = {"text_a": "a", "text_b": "b", "label": LABEL}


def write_csv(path, rows=PAIRS, delimiter=","):
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([["a", "b", "same"], *rows])


def write_jsonl(path, rows=PAIRS):
    path.write_text(
        "".join(json.dumps(dict(zip(("a", "b", "same"), row, strict=True))) + "\n" for row in rows)
    )


def write_parquet(path, rows=PAIRS):
    a, b, same = zip(*rows, strict=True)
    pq.write_table(pa.table({"a": a, "b": b, "same": same}), path)


def example(a, b, same):
    features = {
        "a": tf.train.Feature(bytes_list=tf.train.BytesList(value=[a.encode()])),
        "b": tf.train.Feature(bytes_list=tf.train.BytesList(value=[b.encode()])),
        "same": tf.train.Feature(int64_list=tf.train.Int64List(value=[same])),
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def write_tfrecord(path, rows=PAIRS, zipped=False):
    with open_writer(path) if zipped else tf.io.TFRecordWriter(str(path)) as writer:
        for row in rows:
            writer.write(row if isinstance(row, bytes) else example(*row))


WRITERS = {
    "csv": write_csv,
    "tsv": lambda path: write_csv(path, delimiter="\t"),
    "jsonl": write_jsonl,
    "parquet": write_parquet,
    "tfrecord": write_tfrecord,
}


def test_every_format_gives_the_same_examples_and_splits(tmp_path):
    found = {}
    for kind, write in WRITERS.items():
        write(tmp_path / f"pairs.{kind}")
        found[kind] = ingest(
            DataSection(format=kind, path=tmp_path / f"pairs.{kind}", **COLUMNS), tmp_path / f"out-{kind}"
        )
    first = found["csv"]
    kept = [row for rows in first.splits.values() for row in rows]
    aside = [row["line"] for row in first.quarantine]
    assert len(kept) + len(aside) == len(PAIRS)
    assert aside
    assert all(first.splits.values())
    assert set(kept) <= {(float(same), a, b) for a, b, same in PAIRS}
    for other in found.values():
        assert other.splits == first.splits
        assert other.counts["sources"] == first.counts["sources"]
        assert [row["reason"] for row in other.quarantine] == ["joins two splits"] * len(aside)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "tfrecord"])
def test_zipped_files_are_known_by_their_content(tmp_path, kind):
    plain, zipped = tmp_path / "plain", tmp_path / "zipped"
    WRITERS[kind](plain)
    if kind == "tfrecord":
        write_tfrecord(zipped, zipped=True)
    else:
        zipped.write_bytes(gzip.compress(plain.read_bytes()))
    one, other = (
        ingest(DataSection(format=kind, path=path, **COLUMNS), tmp_path / f"out-{path.name}")
        for path in (plain, zipped)
    )
    assert one.splits == other.splits


def test_several_files_are_one_source_in_the_order_of_their_names(tmp_path):
    for name, rows in {"day-2": PAIRS[20:], "day-1": PAIRS[:20], "other": PAIRS[:3]}.items():
        write_csv(tmp_path / f"{name}.csv", rows)
    write_csv(tmp_path / "all.csv", PAIRS)
    whole = ingest(DataSection(format="csv", path=tmp_path / "all.csv", **COLUMNS), tmp_path / "whole")
    globbed = ingest(DataSection(format="csv", path=tmp_path / "day-*.csv", **COLUMNS), tmp_path / "globbed")
    listed = ingest(
        DataSection(format="csv", path=[tmp_path / "day-1.csv", tmp_path / "day-2.csv"], **COLUMNS),
        tmp_path / "listed",
    )
    assert whole.splits == globbed.splits == listed.splits
    assert {row["file"] for row in globbed.quarantine} <= {str(tmp_path / f"day-{n}.csv") for n in (1, 2)}


@pytest.mark.parametrize("kind", ["jsonl", "tsv", "parquet"])
def test_a_file_in_pieces_gives_the_same_rows_and_positions(tmp_path, monkeypatch, kind):
    rows = [(f"left {at}", f"right {at}", at % 2 if at % 10 else 7) for at in range(300)]
    path = tmp_path / f"pairs.{kind}"
    if kind == "parquet":
        a, b, same = zip(*rows, strict=True)
        pq.write_table(pa.table({"a": a, "b": b, "same": same}), path, row_group_size=40)
    elif kind == "jsonl":
        write_jsonl(path, rows)
    else:
        path.write_text("a\tb\tsame\n" + "".join(f"{a}\t{b}\t{same}\n\n" for a, b, same in rows))
    data = DataSection(format=kind, path=path, quoting=False, **COLUMNS)
    whole = ingest(data, tmp_path / "whole")
    monkeypatch.setattr(reader, "PIECE_BYTES", 1_000)
    assert len(reader.pieces(path, data)) > 5
    cut = ingest(data, tmp_path / "cut")
    assert cut.splits == whole.splits
    assert cut.counts == whole.counts
    assert cut.quarantine == whole.quarantine
    assert len(cut.quarantine) == 30


def test_texts_that_two_given_splits_share_are_counted(tmp_path):
    files = {}
    for name, rows in {
        "train": [("x", "y", 0), ("z", "w", 1)],
        "eval": [("q", "y", 0)],
        "test": [("w", "z", 1), ("n", "m", 0)],
    }.items():
        files[name] = tmp_path / f"{name}.csv"
        write_csv(files[name], rows)
    form = TextForm(symmetric=True)
    found = ingest(DataSection(format="csv", **files, **COLUMNS), tmp_path / "out", form=form)
    assert found.counts["shared_texts"] == {"train and eval": 1, "train and test": 2, "eval and test": 0}

    assert found.counts["shared_rows"] == {"train and eval": 0, "train and test": 1, "eval and test": 0}
    assert found.counts["different_texts"] == {"train": 4, "eval": 2, "test": 4}
    assert found.counts["different_rows"] == {"train": 2, "eval": 1, "test": 2}


def respelled(text: str) -> str:
    """Another text of the same tokens."""
    return f"  {unicodedata.normalize('NFD', text.swapcase())}... !"


@pytest.mark.parametrize("groups", ["growing", "whole"])
def test_a_text_in_another_spelling_stands_in_the_same_split(tmp_path, groups):
    pairs = [(f"Où est la {at}e ÉCOLE", f"ligne {at}: süß", at % 2) for at in range(60)]
    again = [(respelled(b), respelled(a), label) for a, b, label in pairs]
    write_csv(tmp_path / "pairs.csv", pairs + again)
    data = DataSection(format="csv", path=tmp_path / "pairs.csv", split=Split(groups=groups), **COLUMNS)
    found = ingest(data, tmp_path / "out")
    assert not found.quarantine
    for rows in found.splits.values():
        assert rows
        originals = [row for row in rows if row[1].startswith("Où")]
        assert len(rows) == 2 * len(originals)
        assert {(label, respelled(b).strip(), respelled(a).strip()) for label, a, b in originals} <= {*rows}


def test_what_the_model_tells_apart_stays_apart(tmp_path):
    pairs = [("Polish", f"x {at}", 0) for at in range(3)] + [("polish", f"x {at}", 1) for at in range(3)]
    files = dict.fromkeys(("train", "eval", "test"), tmp_path / "pairs.csv")
    write_csv(tmp_path / "pairs.csv", pairs)
    data = DataSection(format="csv", **files, **COLUMNS)
    assert len(ingest(data, tmp_path / "folded").splits["train"]) == 3
    assert len(ingest(data, tmp_path / "kept", form=TextForm(lowercase=False)).splits["train"]) == 6


def test_a_pair_turned_round_conflicts_where_the_head_is_symmetric(tmp_path):
    path = tmp_path / "pairs.csv"
    write_csv(path, [("x", "y", 0), ("Y", "x!", 1), ("y", "x", 0)])
    data = DataSection(format="csv", train=path, eval=path, test=path, **COLUMNS)
    directed, symmetric = (
        ingest(data, tmp_path / str(symmetric), form=TextForm(symmetric=symmetric))
        for symmetric in (False, True)
    )
    assert [(row["line"], row["reason"]) for row in directed.quarantine][:1] == [(4, "conflicting label")]
    assert [(row["line"], row["reason"]) for row in symmetric.quarantine][:1] == [(3, "conflicting label")]


def test_a_text_without_a_token_is_set_aside_alone(tmp_path):
    path = tmp_path / "pairs.csv"
    rows = [
        ("...", "a", 1),
        ("+", "C++", 0),
        ("🎸", "❤️", 1),
        ("a", "\ufe0f", 0),
        ("?!", "b", 0),
        ("no", "yes", 1),
    ]
    write_csv(path, rows)
    data = DataSection(format="csv", train=path, eval=path, test=path, **COLUMNS)
    found = ingest(data, tmp_path / "out")
    assert [row[1] for row in found.splits["train"]] == ["+", "🎸", "no"]
    aside = [(row["line"], row["reason"], row["detail"]) for row in found.quarantine[:3]]
    said = "has no word, number or symbol"
    assert aside == [
        (2, "empty text", f"column 'a': '...' {said}"),
        (5, "empty text", f"column 'b': '\\ufe0f' {said}"),
        (6, "empty text", f"column 'a': '?!' {said}"),
    ]
    # To a model that reads punctuation it is a text.
    kept = ingest(data, tmp_path / "pieces", form=TextForm(pieces=True)).splits["train"]
    assert [row[1] for row in kept] == ["...", "+", "🎸", "?!", "no"]


@pytest.mark.parametrize(
    ("label", "kept", "aside"),
    [
        ({"column": "same", "kind": "binary"}, 3, ["conflicting label"]),
        ({"column": "same", "kind": "classes", "classes": ["0", "1"]}, 3, ["conflicting label"]),
        ({"column": "same", "kind": "score", "range": [0, 1]}, 4, []),
    ],
)
def test_a_pair_with_two_labels_is_a_conflict_unless_they_are_scores(tmp_path, label, kept, aside):
    files = {name: tmp_path / f"{name}.csv" for name in ("train", "eval", "test")}
    for name, path in files.items():
        write_csv(path, [("x", name, 0), ("x", name, 1), ("x", name, 0), (name, "x", 1)])
    columns = {**COLUMNS, "label": label}
    found = ingest(DataSection(format="csv", **files, **columns), tmp_path / "out")
    assert len(found.splits["test"]) == kept
    assert [row["reason"] for row in found.quarantine if row["file"].endswith("test.csv")] == aside
    lenient = ingest(
        DataSection(format="csv", **files, **columns, conflicting_labels="keep"), tmp_path / "lenient"
    )
    assert len(lenient.splits["test"]) == 4


def test_appended_rows_move_no_row(tmp_path):
    pairs = [(f"q{at * 7 % 90}", f"q{at * 11 % 130}", at % 2) for at in range(200)]
    write_csv(tmp_path / "before.csv", pairs[:120])
    write_csv(tmp_path / "after.csv", pairs)
    before, after = (
        ingest(
            DataSection(format="csv", path=tmp_path / f"{name}.csv", conflicting_labels="keep", **COLUMNS),
            tmp_path / name,
        )
        for name in ("before", "after")
    )
    for split in before.splits:
        assert after.splits[split][: len(before.splits[split])] == before.splits[split]
    assert after.quarantine[: len(before.quarantine)] == [
        {**row, "file": row["file"].replace("before", "after")} for row in before.quarantine
    ]


# Content of a file, and the reasons that its rows are set aside for; each file has two good rows besides.
GOOD_CSV, GOOD_JSON = b"x,y,1\nv,w,0\n", b'{"a": "x", "b": "y", "same": 1}\n{"a": "v", "b": "w", "same": 0}\n'
BAD = {
    "unclosed quote": ("csv", b'"x,y,1\n', ["malformed quotes"]),
    "text behind a quote": ("csv", b'"x"y,z,1\n', ["malformed quotes"]),
    "bare carriage return": ("csv", b"x\ry,z,1\n", ["malformed quotes"]),
    "too few fields": ("csv", b"x,y\n", ["wrong column count"]),
    "too many fields": ("csv", b"x,y,1,2\n", ["wrong column count"]),
    "unquoted delimiter": ("csv", b"well, yes,y,1\n", ["wrong column count"]),
    "Latin-1 in UTF-8": ("csv", b"caf\xe9,y,1\n", ["bad encoding"]),
    "UTF-16 in UTF-8": ("csv", "x,y,1".encode("utf-16-le") + b"\n", ["bad label"]),
    "cut-off UTF-8": ("csv", b"x,y\xe8\xaa,1\n", ["bad encoding"]),
    "empty text": ("csv", b",y,1\n", ["empty text"]),
    "white space as text": ("csv", b"x,\xc2\xa0 \t,1\n", ["empty text"]),
    "quoted nothing": ("csv", b'"",y,1\n', ["empty text"]),
    "text too long": ("csv", b"x," + b"y" * 101 + b",1\n", ["text too long"]),
    "label missing": ("csv", b"x,y,\n", ["bad label"]),
    "label is a word": ("csv", b"x,y,yep\n", ["bad label"]),
    "label is NaN": ("csv", b"x,y,nan\n", ["bad label"]),
    "label is infinite": ("csv", b"x,y,inf\n", ["bad label"]),
    "label between the classes": ("csv", b"x,y,0.5\n", ["bad label"]),
    "label out of range": ("csv", b"x,y,2\nx,y,-1\n", ["label out of range"] * 2),
    "decimal comma": ("csv", b'x,y,"0,0"\n', ["bad label"]),
    "header once more": ("csv", b"a,b,same\n", ["bad label"]),
    "another label for the pair": ("csv", b"x,y,0\n", ["conflicting label"]),
    "HTML error page": ("csv", b"<html>\n<body>502</body>\n", ["wrong column count"] * 2),
    "many kinds at once": (
        "csv",
        b",y,1\nx\nx,y,9\n",
        ["empty text", "wrong column count", "label out of range"],
    ),
    "no JSON": ("jsonl", b"x,y,1\n", ["malformed JSON"]),
    "JSON cut off": ("jsonl", b'{"a": "x", "b": "y\n', ["malformed JSON"]),
    "JSON list": ("jsonl", b'["x", "y", 1]\n', ["malformed JSON"]),
    "JSON nested too deep": ("jsonl", b"[" * 100_000 + b"\n", ["malformed JSON"]),
    "JSON key missing": ("jsonl", b'{"a": "x", "same": 1}\n', ["missing key"]),
    "JSON number as text": ("jsonl", b'{"a": 3, "b": "y", "same": 1}\n', ["not a text"]),
    "JSON object as text": ("jsonl", b'{"a": {"x": 1}, "b": "y", "same": 1}\n', ["not a text"]),
    "JSON null as text": ("jsonl", b'{"a": null, "b": "y", "same": 1}\n', ["empty text"]),
    "JSON null as label": ("jsonl", b'{"a": "x", "b": "y", "same": null}\n', ["bad label"]),
    "JSON NaN as label": ("jsonl", b'{"a": "x", "b": "y", "same": NaN}\n', ["bad label"]),
    "JSON half a surrogate": ("jsonl", b'{"a": "\\ud800", "b": "y", "same": 1}\n', ["bad encoding"]),
    "JSON with bad bytes": ("jsonl", b'{"a": "\xff", "b": "y", "same": 1}\n', ["bad encoding"]),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_row_costs_itself_alone(tmp_path, name):
    kind, content, reasons = BAD[name]
    good = GOOD_CSV if kind == "csv" else GOOD_JSON
    head = b"a,b,same\n" if kind == "csv" else b""
    first, second = good.splitlines(keepends=True)
    paths = {split: tmp_path / split for split in ("train", "eval", "test")}
    for split, path in paths.items():
        path.write_bytes(head + (first + content + second if split == "train" else good))
    found = ingest(DataSection(format=kind, max_text_length=100, **paths, **COLUMNS), tmp_path / "out")
    assert [row["reason"] for row in found.quarantine] == reasons
    assert found.splits["train"] == found.splits["test"] == [(1.0, "x", "y"), (0.0, "v", "w")]
    counts = found.counts["sources"]["train"]
    assert counts["read"] == 2 + len(reasons)
    assert counts["kept in train"] == 2


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"no example at all", "malformed example"),
        (tf.train.Example().SerializeToString(), "missing key"),
        (example("", "y", 1), "empty text"),
        (example("x", "y", 3), "label out of range"),
    ],
    ids=["no example", "nothing in it", "empty text", "label 3"],  # a serialized map has any order
)
def test_a_bad_tf_example_costs_itself_alone(tmp_path, bad, reason):
    paths = {split: tmp_path / split for split in ("train", "eval", "test")}
    for split, path in paths.items():
        write_tfrecord(path, [PAIRS[0], bad, PAIRS[1]] if split == "train" else PAIRS[:2])
    found = ingest(DataSection(format="tfrecord", **paths, **COLUMNS), tmp_path / "out")
    assert [(row["line"], row["reason"]) for row in found.quarantine] == [(2, reason)]
    assert found.splits["train"] == found.splits["test"]


def test_bytes_that_are_no_text_in_parquet(tmp_path):
    path = tmp_path / "pairs.parquet"
    texts = pa.array([b"x", b"\xff", None, "語".encode()], pa.binary())
    pq.write_table(pa.table({"a": texts, "b": ["p", "q", "r", "s"], "same": [0, 1, 0, 1]}), path)
    data = DataSection(format="parquet", train=path, eval=path, test=path, **COLUMNS)
    found = ingest(data, tmp_path / "out")
    assert [(row["line"], row["reason"]) for row in found.quarantine][:2] == [
        (2, "bad encoding"),
        (3, "empty text"),
    ]
    assert found.splits["train"] == [(0.0, "x", "p"), (1.0, "語", "s")]


def test_a_tfrecord_file_that_is_cut_off_is_rejected(tmp_path):
    path = tmp_path / "pairs"
    write_tfrecord(path)
    path.write_bytes(path.read_bytes()[:-5])
    data = DataSection(format="tfrecord", path=path, **COLUMNS)
    with pytest.raises(DataRejected, match=r"pairs: not a whole TFRecord file: truncated record at \d+"):
        list(reader.read(reader.Piece(path), data))


@pytest.mark.parametrize(
    ("kind", "content", "said"),
    [
        ("jsonl", b"", "the file holds no row"),
        ("jsonl", b'{"x": 1}\n', "none of the first 1 rows can be read: line 1: no key 'a'"),
        ("tfrecord", b"", "the file holds no tf.Example"),
    ],
)
def test_a_file_without_what_is_named_is_refused(tmp_path, kind, content, said):
    path = tmp_path / "pairs"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        reader.check_columns(path, DataSection(format=kind, path=path, **COLUMNS))
    assert said in str(caught.value)


def test_a_missing_feature_names_what_there_is(tmp_path):
    write_tfrecord(tmp_path / "pairs")
    data = DataSection(format="tfrecord", path=tmp_path / "pairs", text_a="question", text_b="b")
    with pytest.raises(ConfigError, match=r"no column 'question': set \[data\] text_a to one of a, b, same$"):
        reader.check_columns(tmp_path / "pairs", data)


def test_lists_of_numbers_come_from_json_too(tmp_path):
    path = tmp_path / "vectors.jsonl"
    rows = [[0, 0.5], [1, 1], [1], ["x", 1], None, [3, 0]]
    path.write_text("".join(json.dumps({"v": row}) + "\n" for row in rows))
    vector = {"column": "v", "dimension": 2, "range": [0, 1]}
    found = ingest(
        DataSection(format="jsonl", train=path, eval=path, test=path, vector=vector), tmp_path / "out"
    )
    assert found.splits["train"] == [([0.0, 0.5],), ([1.0, 1.0],)]
    assert [row["reason"] for row in found.quarantine[:4]] == [
        "wrong dimension",
        "bad number",
        "wrong dimension",
        "value out of range",
    ]
