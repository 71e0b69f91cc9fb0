"""Decisions are kept in ML Metadata and come back as they were."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

from ml_metadata.proto import metadata_store_pb2 as mlmd

from pipeline.store.ledger import (
    ACCEPTED,
    REJECTED,
    Ledger,
    LedgerEntry,
    LiveEvaluation,
    SpanVerdict,
    span_verdicts,
    trained_spans,
)
from pipeline.store.workdir import Workdir

FIRST = LedgerEntry(
    "2026-11-24T03:00:00+00:00", "pushed", "version 1: good", 61.5, "run-1", 2,
    spans={1: SpanVerdict("a", ACCEPTED, rules="r"), 2: SpanVerdict("b", REJECTED, "garbage «\n", "r")},
    served={1: LiveEvaluation(1, 300, {"spearman": 0.5, "pearson": None})},
    trained={1: "a"}, config="c", why="1 is new", version=1, metrics={"test": {"spearman": 0.6}},
)  # fmt: skip
SECOND = LedgerEntry(
    "2026-11-25T03:00:00+00:00", "unchanged", "no new data", 0.4, spans={2: SpanVerdict("c", ACCEPTED)}
)


def ledger(tmp_path, name="twins"):
    return Ledger.local(Workdir(tmp_path / "work", tmp_path / "serving"), name)


def test_what_is_appended_comes_back_in_order(tmp_path):
    assert ledger(tmp_path).entries() == []
    for entry in (FIRST, SECOND):
        ledger(tmp_path).append(entry)
    assert ledger(tmp_path).entries() == [FIRST, SECOND]


def test_a_run_that_is_summed_up_again_is_one_entry_the_last_one(tmp_path):
    again = replace(FIRST, reason="version 1: summed up again")
    for entry in (FIRST, SECOND, again):
        ledger(tmp_path).append(entry)
    assert ledger(tmp_path).entries() == [SECOND, again]


def test_pipelines_that_share_a_database_do_not_share_entries(tmp_path):
    ledger(tmp_path).append(FIRST)
    assert ledger(tmp_path, "others").entries() == []


def test_the_last_word_on_a_span_counts():
    found = span_verdicts([FIRST, SECOND])
    assert (found[1].files, found[2].files) == ("a", "c")
    assert found[2].outcome == ACCEPTED
    assert trained_spans([FIRST, SECOND]) == {(1, "a")}


def test_an_entry_of_a_later_version_can_be_read():
    assert (
        LedgerEntry.from_json({"at": "t", "status": "pushed", "reason": "", "seconds": 1.0, "later": 3}).at
        == "t"
    )


def test_an_entry_of_an_older_version_has_no_words_in_the_place_of_numbers(tmp_path):
    told = asdict(FIRST)
    told["metrics"] = {"test": {"auc": "NaN", "nll": "Infinity", "f1": 0.5, "mse": float("nan")}}
    told["served"][1]["metrics"] = {"auc": "NaN", "f1": 1}
    entry = LedgerEntry.from_json(json.loads(json.dumps(told)))
    assert entry.metrics == {"test": {"auc": None, "nll": None, "f1": 0.5, "mse": None}}
    assert entry.served[1].metrics == {"auc": None, "f1": 1}
    ledger(tmp_path).append(entry)
    assert ledger(tmp_path).entries() == [entry]


def test_status_and_reason_can_be_asked_for_without_knowing_the_entry(tmp_path):
    book = ledger(tmp_path)
    book.append(FIRST)
    [execution] = book.store.get_executions_by_type("kembar.Retraining")
    told = {name: value.string_value for name, value in execution.custom_properties.items()}
    assert (told["status"], told["run_id"], told["pipeline"]) == ("pushed", "run-1", "twins")
    assert execution.last_known_state == mlmd.Execution.COMPLETE
