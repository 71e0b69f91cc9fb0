"""What is reason enough to train, and what is said where nothing is."""

from __future__ import annotations

import pytest

from components.data_gate.verdict import Check
from components.retraining_gate.decision import decide
from components.retraining_gate.retraining_config import Retraining

LIVE = {"spearman": 0.71, "mse": 1.2}


def test_a_reason_known_before_is_enough():
    decision = decide(Retraining(), "3 is new", LIVE, 300, [])
    assert decision.train
    assert decision.reason == "3 is new"


def test_without_a_model_in_service_there_is_a_reason():
    assert decide(Retraining(), "", None, 0, []).reason == "no model in service can be measured on it"


def test_the_figures_are_told_where_nothing_is_a_reason():
    decision = decide(Retraining(floors={"spearman": 0.7}, ceilings={"mse": 1.5}), "", LIVE, 300, [])
    assert not decision.train
    assert decision.reason == (
        "the model in service has spearman 0.7100 on 300 new rows (at least 0.7); "
        "the model in service has mse 1.2000 on 300 new rows (at most 1.5); the data has not changed"
    )
    assert decide(Retraining(), "", LIVE, 300, []).reason == (
        "the model in service has mse 1.2000, spearman 0.7100 on 300 new rows; the data has not changed"
    )


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"floors": {"spearman": 0.72}}, "spearman 0.7100 on 300 new rows, below 0.72 ([retraining] floors)"),
        ({"ceilings": {"mse": 1.1}}, "mse 1.2000 on 300 new rows, above 1.1 ([retraining] ceilings)"),
        (
            {"floors": {"auc": 0.5}},
            "auc undefined on 300 new rows (it is none of this model's metrics), so that nobody knows "
            "([retraining] floors)",
        ),
    ],
)
def test_a_model_below_its_floor_is_a_reason(limits, said):
    decision = decide(Retraining(**limits), "", LIVE, 300, [])
    assert decision.train
    assert decision.reason == f"the model in service has {said}"


def test_drift_is_a_reason_unless_it_is_told_not_to_be():
    assert (
        decide(Retraining(), "", LIVE, 300, ["longer texts"]).reason == "the data has changed: longer texts"
    )
    assert not decide(Retraining(drift=False), "", LIVE, 300, ["longer texts"]).train


def test_a_limit_is_kept_when_equalled():
    decision = decide(Retraining(floors={"spearman": 0.71}, ceilings={"mse": 1.2}), "", LIVE, 300, [])
    assert not decision.train


def test_every_limit_is_looked_at_and_nothing_else():
    decision = decide(Retraining(floors={"auc": 0.5, "spearman": 0.72}), "", LIVE, 300, [])
    assert len(decision.reasons) == 2
    assert decision.reasons[1].endswith("below 0.72 ([retraining] floors)")
    assert decision.figures == ("the data has not changed",)


def test_the_gate_reads_the_checks_that_the_verdict_keeps():
    check = Check("drift", "train", "text_a", "tokens", "warn", True, "mean 9, was 4", 0.2, 0.1, 0.01)
    kept = check.to_json()
    assert (kept["found"], kept["value"]) == (True, 0.2)
    assert Check.from_json(kept) == check
