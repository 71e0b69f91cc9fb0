from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from ml_metadata.proto import metadata_store_pb2 as mlmd

from components.version_folder.pins import Pins, write_pins
from pipeline.graph.step_result import CACHED, FAILED, RAN, SKIPPED, StepResult
from pipeline.runs.summary import show_files, summarize
from pipeline.store.outcome import EXIT_CODES, data_facts, grouped, write
from trainer.errors import ConfigError, DataRejected, KembarError

DECISION = {
    "blessed": True,
    "reason": "spearman 0.7000 reaches the floor 0.6",
    "metrics": {"eval": {"spearman": 0.71}, "test": {"spearman": 0.7, "pearson": math.nan}},
}
COUNTS = {
    "sources": {
        "train": {"read": 10, "kept in train": 7, "empty text": 1, "bad label": 2},
        "eval": {"read": 5, "kept in eval": 4, "bad label": 1},
        "test": {"read": 3, "kept in test": 3},
    },
    "shared_texts": {"train and test": 2},
    "dialects": {"train": {'semicolon, quote ", utf-8': 2}},
    "remarks": ["p-2.csv holds no row and is passed over"],
}
BASELINES = {"majority": {"test": {"spearman": math.nan, "mse": 2.0}}}
TRAINING = {
    "parameters": 1234,
    "examples_per_second": 567.8,
    "epochs": 3,
    "history": {"loss": [1.0]},
    "details": {"tuned": {"training.epochs": 3}},
}
VERDICT = {"warnings": ["eval, feature 'text_a': shorter"], "notes": [], "checks": []}
NODES = [
    "ExampleGen",
    "AcceptedResolver",
    "DataGate",
    "Baselines",
    "Trainer",
    "ChampionResolver",
    "QualityGate",
    "ServingGate",
    "AtomicPusher",
]


@pytest.fixture
def make_steps(tmp_path):
    """The steps of a run that went well; arguments change what the gates and the pusher left."""

    def make(state=RAN, decision=DECISION, serving=None, version: int | None = 1000) -> list[StepResult]:
        steps = {name: StepResult(name, state, 1.234, 100) for name in NODES}
        files = [
            ("ExampleGen", "examples", "counts.json", COUNTS),
            ("DataGate", "verdict", "verdict.json", VERDICT),
            ("Baselines", "baselines", "baselines.json", BASELINES),
            ("Trainer", "model_run", "training.json", TRAINING),
            ("QualityGate", "blessing", "decision.json", decision),
            ("ServingGate", "blessing", "serving.json", serving or {"blessed": True, "reason": ""}),
        ]
        for node, key, name, content in files:
            folder = tmp_path / node / key
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(json.dumps(content))
            steps[node].outputs[key] = mlmd.Artifact(uri=str(folder))
        pushed = mlmd.Artifact(uri=str(tmp_path / "pushed"))
        if version is not None:
            pushed.custom_properties["pushed_destination"].string_value = f"/served/twins/{version}"
        steps["AtomicPusher"].outputs["pushed_model"] = pushed
        return list(steps.values())

    return make


@pytest.fixture
def bulk_steps(make_steps, tmp_path):
    """Such a run with rows of `[bulk]`; whether they were answered is told."""

    def make(answered: bool) -> list[StepResult]:
        read, answers = StepResult("BulkExampleGen", RAN), StepResult("BulkInferrer", RAN)
        for step, key in ((read, "examples"), (answers, "predictions")):
            folder = tmp_path / step.id / key
            folder.mkdir(parents=True, exist_ok=True)
            step.outputs[key] = mlmd.Artifact(uri=str(folder))
        counts = {"read": 9, "kept": 6, "empty text": 1, "bad encoding": 2}
        (tmp_path / read.id / "examples" / "counts.json").write_text(json.dumps(counts))
        aside = tmp_path / read.id / "examples" / "bulk_quarantine"
        aside.mkdir()
        (aside / "rows.jsonl").write_text("{}\n" * 3)
        if answered:
            (tmp_path / answers.id / "predictions" / "predictions.parquet").write_bytes(b"PAR1")
        return [*make_steps(), read, answers]

    return make


def failed_at(name: str, error: BaseException) -> list[StepResult]:
    """The steps of a run that ended at one of them."""
    at = NODES.index(name)
    steps = [StepResult(node, RAN) for node in NODES[:at]]
    return [
        *steps,
        StepResult(name, FAILED, error=error),
        *(StepResult(node, SKIPPED) for node in NODES[at + 1 :]),
    ]


def test_rows_without_a_label_are_counted_and_their_answers_copied(bulk_steps, tmp_path):
    steps, root = bulk_steps(answered=True), tmp_path / "work"
    root.mkdir()
    place = str(tmp_path / "BulkInferrer" / "predictions" / "predictions.parquet")
    found = summarize(steps, versions_before=[])
    assert found["bulk"] == {
        "rows_read": 9,
        "rows_scored": 6,
        "rows_quarantined": 3,
        "quarantine_reasons": {"bad encoding": 2, "empty text": 1},
        "path": place,
    }
    assert found["data"]["rows_read"] == 18
    show_files(steps, root)
    assert (root / "bulk.parquet").read_bytes() == b"PAR1"
    assert len((root / "bulk_quarantine" / "rows.jsonl").read_text().splitlines()) == 3


def test_answers_of_an_earlier_run_do_not_outlive_it(bulk_steps, tmp_path):
    steps, root = bulk_steps(answered=False), tmp_path / "work"
    root.mkdir()
    (root / "bulk.parquet").write_bytes(b"old")
    found = summarize(steps, versions_before=[])["bulk"]
    assert (found["rows_read"], found["rows_scored"], found["path"]) == (9, 0, None)
    show_files(steps, root)
    assert not (root / "bulk.parquet").exists()


def test_a_run_without_such_rows_does_not_speak_of_them(make_steps):
    assert "bulk" not in summarize(make_steps(), versions_before=[])


def test_a_pushed_model(make_steps):
    found = summarize(make_steps(), versions_before=[999])
    assert found["status"] == "pushed"
    assert found["reason"] == "version 1000: spearman 0.7000 reaches the floor 0.6"
    assert found["components"][0] == {
        "id": "ExampleGen",
        "state": "ran",
        "seconds": 1.23,
        "peak_memory_mb": 100,
    }
    assert [component["id"] for component in found["components"]] == NODES
    assert found["data"] == {
        "rows_read": 18,
        "rows_kept": 14,
        "rows_quarantined": 4,
        "quarantine_reasons": {"bad label": 3, "empty text": 1},
        "splits": {"eval": 4, "test": 3, "train": 7},
        "shared_texts": {"train and test": 2},
        "dialect": {"train": {'semicolon, quote ", utf-8': 2}},
        "remarks": ["p-2.csv holds no row and is passed over"],
        "warnings": ["eval, feature 'text_a': shorter"],
    }
    assert list(found["data"]["quarantine_reasons"]) == ["bad label", "empty text"]  # most frequent first
    assert found["metrics"] == {"eval": {"spearman": 0.71}, "test": {"spearman": 0.7, "pearson": None}}
    assert found["baselines"] == {"majority": {"test": {"spearman": None, "mse": 2.0}}}
    assert found["model"] == {
        "version": 1000,
        "path": "/served/twins/1000",
        "parameters": 1234,
        "examples_per_second": 567.8,
        "epochs": 3,
        "tuned": {"training.epochs": 3},
    }


def test_reasons_stand_beside_the_keys_that_lack_a_value(make_steps, tmp_path):
    reason = "all 3 labels are 0, none is 1"
    decision = {
        "blessed": False,
        "reason": "auc is not defined on test",
        "metrics": {"test": {"auc": None, "f1": 0.5, "old": "NaN"}},
        "undefined": {"test": {"auc": reason}},
    }
    steps = make_steps(decision=decision, version=None)
    stored = {"majority": {"test": {"auc": None, "f1": 0.0, "undefined": {"auc": reason}}}}
    (tmp_path / "Baselines" / "baselines" / "baselines.json").write_text(json.dumps(stored))
    found = summarize(steps, versions_before=[])
    assert found["status"] == "not_blessed"
    assert found["metrics"] == {"test": {"auc": None, "f1": 0.5, "old": None}}
    assert found["baselines"] == {"majority": {"test": {"auc": None, "f1": 0.0}}}
    assert found["undefined"] == {
        "metrics": {"test": {"auc": reason}},
        "baselines": {"majority": {"test": {"auc": reason}}},
    }
    write(tmp_path, found)
    assert json.loads((tmp_path / "summary.json").read_text()) == found


def test_what_ingestion_saw_in_the_numbers_is_warned_of_first():
    assert data_facts({"warnings": ["x.csv line 2: far"]}, VERDICT)["warnings"] == [
        "x.csv line 2: far",
        "eval, feature 'text_a': shorter",
    ]


def test_metrics_of_one_reason_stand_together():
    found = grouped(
        {"test": {"mcc": "one label", "auc": "one label", "mse": "no rows"}, "eval": {"auc": "x"}}
    )
    assert found == [
        ("test", "one label", ["auc", "mcc"]),
        ("test", "no rows", ["mse"]),
        ("eval", "x", ["auc"]),
    ]


def test_a_version_that_was_there_before_is_unchanged(make_steps):
    found = summarize(make_steps(state=CACHED), versions_before=[1000])
    assert (found["status"], found["reason"]) == (
        "unchanged",
        "version 1000 is in service and nothing has changed",
    )
    assert found["model"]["version"] == 1000
    # The same model out of a new training.
    found = summarize(make_steps(), versions_before=[1000])
    assert (found["status"], found["reason"]) == ("unchanged", "version 1000 is in service")


@pytest.mark.parametrize(("before", "status"), [([999], "pushed"), ([999, 1000], "unchanged")])
def test_a_version_behind_a_pin_waits(make_steps, tmp_path, before, status):
    base = tmp_path / "served" / "twins"
    for version in (999, 1000):
        (base / str(version)).mkdir(parents=True)
        (base / str(version) / "saved_model.pb").write_text("a model")
    write_pins(base, "twins", Pins((999,), {"stable": 999}))
    steps = make_steps()
    pushed = steps[-1].outputs["pushed_model"]
    pushed.custom_properties["pushed_destination"].string_value = str(base / "1000")
    found = summarize(steps, before)
    assert (found["status"], found["model"]["version"]) == (status, 1000)
    assert found["reason"] == (
        "version 1000 waits: version 999 is pinned: kembar rollback --to latest lifts it"
    )


def test_resolvers_are_never_cached(make_steps):
    steps = make_steps(state=CACHED)
    for name in ("ChampionResolver", "AcceptedResolver"):
        steps[NODES.index(name)].state = RAN
    assert summarize(steps, [1000])["reason"].endswith("and nothing has changed")


def test_a_model_that_is_not_blessed(make_steps):
    decision = {**DECISION, "blessed": False, "reason": "spearman 0.7000 is below the floor 0.8"}
    found = summarize(make_steps(decision=decision, version=None), versions_before=[999])
    assert (found["status"], found["reason"]) == ("not_blessed", "spearman 0.7000 is below the floor 0.8")
    assert (found["model"]["version"], found["model"]["path"]) == (None, None)
    assert found["model"]["parameters"] == 1234
    assert found["metrics"]["eval"] == {"spearman": 0.71}


def test_a_model_that_does_not_answer(make_steps):
    serving = {"blessed": False, "reason": "no answer within 120 s"}
    found = summarize(make_steps(serving=serving, version=None), versions_before=[])
    assert (found["status"], found["reason"]) == ("serving_rejected", "no answer within 120 s")
    both = {**DECISION, "blessed": False, "reason": "below the floor"}
    assert summarize(make_steps(decision=both, serving=serving, version=None), [])["status"] == "not_blessed"


@pytest.mark.parametrize(
    ("node", "error", "status", "reason"),
    [
        ("ExampleGen", DataRejected("a.csv: no rows"), "data_rejected", "a.csv: no rows"),
        ("Trainer", KembarError("the loss became nan"), "failed", "the loss became nan"),
        ("Trainer", ConfigError("wrong"), "failed", "wrong"),
        ("Trainer", ValueError("shapes differ\nat step 3"), "failed", "Trainer: shapes differ at step 3"),
        ("Trainer", ValueError("at x.py\n" * 100 + "no such op"), "failed", "Trainer: no such op"),
        ("Trainer", ValueError("\n\n"), "failed", "Trainer: ValueError"),
        ("Trainer", KeyboardInterrupt(), "failed", "Trainer: KeyboardInterrupt"),
        ("AtomicPusher", OSError(28, "No space left"), "failed", "AtomicPusher: [Errno 28] No space left"),
    ],
)
def test_a_run_that_failed_says_where_and_why_on_one_line(node, error, status, reason):
    found = summarize(failed_at(node, error), versions_before=[1])
    assert (found["status"], found["reason"]) == (status, reason)
    states = [component["state"] for component in found["components"]]
    at = NODES.index(node)
    assert states == ["ran"] * at + ["failed"] + ["skipped"] * (len(NODES) - at - 1)


def test_a_run_that_failed_early_has_all_keys():
    found = summarize(failed_at("ExampleGen", DataRejected("x")), versions_before=[])
    assert found["data"] == {
        "rows_read": 0,
        "rows_kept": 0,
        "rows_quarantined": 0,
        "quarantine_reasons": {},
        "splits": {},
        "shared_texts": {},
        "dialect": {},
        "remarks": [],
        "warnings": [],
    }
    assert (found["metrics"], found["baselines"]) == ({}, {})
    assert found["model"] == dict.fromkeys(
        ("version", "path", "parameters", "examples_per_second", "epochs", "tuned")
    )


def test_every_status_has_its_exit_code():
    assert EXIT_CODES == {
        "pushed": 0,
        "unchanged": 0,
        "failed": 1,
        "data_rejected": 3,
        "not_blessed": 4,
        "serving_rejected": 4,
    }


def test_the_summary_is_replaced_as_a_whole(tmp_path):
    write(tmp_path, {"status": "pushed", "reason": "é"})
    assert json.loads((tmp_path / "summary.json").read_text(encoding="utf-8")) == {
        "status": "pushed",
        "reason": "é",
    }
    with pytest.raises(ValueError, match="JSON"):
        write(tmp_path, {"metrics": math.nan})
    assert json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))["status"] == "pushed"
    assert [path.name for path in Path(tmp_path).iterdir()] == ["summary.json"]
