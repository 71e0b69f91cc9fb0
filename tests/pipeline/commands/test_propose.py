"""`kembar run data.csv` proposes a configuration that can be used."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.commands.propose import is_data, name_of, offer, propose
from pipeline.config import configuration
from pipeline.config.preflight import preflight
from trainer.errors import ConfigError

QUORA = [
    {
        "id": n,
        "qid1": n + 7,
        "question1": f"How do I {n}?",
        "question2": f"What is {n}, really",
        "is_duplicate": n % 2,
    }
    for n in range(40)
]
PAIR = ("question1", "question2")


def csv_of(rows: list[dict], mark: str = ",") -> bytes:
    quote = '"{}"'.format
    lines = [mark.join(rows[0]), *(mark.join(quote(value) for value in row.values()) for row in rows)]
    return "\n".join([*lines, ""]).encode()


def renamed(**changes: Callable[[int], object]) -> list[dict]:
    """The rows with other labels."""
    ((name, of),) = changes.items()
    return [{**{k: v for k, v in row.items() if k != "is_duplicate"}, name: of(row["id"])} for row in QUORA]


@pytest.mark.parametrize(
    ("name", "rows", "label"),
    [
        ("q.csv", QUORA, {"column": "is_duplicate", "kind": "binary"}),
        ("q.tsv", QUORA, {"column": "is_duplicate", "kind": "binary"}),
        ("q.jsonl", QUORA, {"column": "is_duplicate", "kind": "binary"}),
        ("q.parquet", QUORA, {"column": "is_duplicate", "kind": "binary"}),
        ("q.csv", renamed(match=lambda n: "yes" if n % 3 else "no"), {"column": "match", "kind": "binary"}),
        (
            "q.csv",
            renamed(similarity=lambda n: (n % 11) / 2 - 0.25),
            {"column": "similarity", "kind": "score", "range": [-1, 5]},
        ),
        (
            "q.csv",
            renamed(verdict=lambda n: ("neutral", 'entails "x"')[n % 2]),
            {"column": "verdict", "kind": "classes", "classes": ['entails "x"', "neutral"]},
        ),
    ],
)  # fmt: skip
def test_what_is_proposed_fits_the_file(tmp_path, monkeypatch, name, rows, label):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / name
    if name == "q.parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif name == "q.jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        mark = "\t" if name == "q.tsv" else ","
        path.write_bytes(
            csv_of([{k: str(v).replace('"', '""') for k, v in row.items()} for row in rows], mark)
        )
    text = propose(path.relative_to(tmp_path))
    told = tomllib.loads(text)["data"]
    assert (told["path"], (told["text_a"], told["text_b"])) == (name, PAIR)
    assert told["label"] == label
    (tmp_path / "q.toml").write_text(text)
    preflight("q.toml", configuration.load(tmp_path / "q.toml"))


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_a_delimiter_is_seen_where_no_comma_is_in_the_file(tmp_path, delimiter):
    rows = [{**row, "question2": f"What is {row['id']}"} for row in QUORA]
    (tmp_path / "q.csv").write_bytes(csv_of(rows, delimiter).replace(b'"', b""))
    told = tomllib.loads(propose(tmp_path / "q.csv"))["data"]
    assert (told["text_a"], told["text_b"], told["label"]["column"]) == (*PAIR, "is_duplicate")


@pytest.mark.parametrize(
    ("label", "kind"),
    [
        (lambda n: "maybe" if n == 7 else ("Yes", "no", "YES", "On")[n % 4], {"kind": "binary"}),
        (lambda n: "n/a" if n == 7 else n % 5 / 2, {"kind": "score", "range": [0, 2]}),
        (lambda n: 5 if n == 7 else n % 2, {"kind": "score", "range": [0, 5]}),
        (
            lambda n: "maybe" if n % 8 == 7 else ("yes", "no")[n % 2],
            {"kind": "classes", "classes": ["maybe", "no", "yes"]},
        ),
    ],
)
def test_slips_of_the_pen_do_not_decide(tmp_path, label, kind):
    rows = renamed(gold=label)
    rows[5]["question1"] = 5
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    told = tomllib.loads(propose(tmp_path / "q.jsonl"))["data"]
    assert (told["text_a"], told["text_b"], told["label"]) == (*PAIR, {"column": "gold", **kind})


def test_what_no_configuration_can_name_is_not_proposed(tmp_path):
    (tmp_path / "q\x1b.csv").write_bytes(csv_of(QUORA))
    with pytest.raises(ConfigError, match="there is a control character in its path: rename it"):
        propose(tmp_path / "q\x1b.csv")


def test_without_a_terminal_it_is_on_standard_output(tmp_path, monkeypatch, new_terminal, capfd):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "My data (2).csv"
    path.write_bytes(csv_of(QUORA))
    with pytest.raises(ConfigError) as caught:
        offer(path.relative_to(tmp_path), new_terminal())
    assert str(caught.value) == (
        "My data (2).csv: is data, no configuration: save what is proposed for it as my_data_2.toml (kembar "
        "run 'My data (2).csv' > my_data_2.toml), then call kembar run my_data_2.toml"
    )
    assert tomllib.loads(capfd.readouterr().out)["pipeline"]["name"] == "my_data_2"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a,b\nx y,z w\nu v,q r\n", "no column looks like a label among a, b: write one by hand"),
        (b"p0,p1,label\n1,2,3\n", "no column looks like two columns of text among p0, p1, label"),
        (b"a,b,label\n", "no column looks like two columns of text among a, b, label"),
        (b"", "no column looks like two columns of text among none"),
        (b"a,b,label\n\xe9 x,y z,1\n", "no row can be read: line 2: bad encoding: bytes that are not utf-8"),
    ],
)
def test_where_nothing_fits_it_says_so(tmp_path, content, message):
    (tmp_path / "q.csv").write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        propose(tmp_path / "q.csv")
    assert str(caught.value).startswith(
        f"{tmp_path}/q.csv: is data, no configuration, and none can be proposed: "
    )
    assert message in str(caught.value)


def test_data_is_known_by_its_name(tmp_path):
    for name, known in (
        ("q.csv", True),
        ("q.JSONL.gz", True),
        ("q.xlsx", True),
        ("q.toml", False),
        ("q", False),
    ):
        assert not is_data(tmp_path / name)
        (tmp_path / name).touch()
        assert is_data(tmp_path / name) == known


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("Quora Pairs.csv.gz", "quora_pairs"),
        ("2024.csv", "data_2024"),
        ("é.csv", "data"),
        ("x" * 99, "x" * 50),
    ],
)
def test_a_pipeline_is_named_after_the_file(tmp_path, name, own):
    assert name_of(tmp_path / name) == own
