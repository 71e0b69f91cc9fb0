from __future__ import annotations

import math

import pytest
from pydantic import ValidationError

from components.quality_gate.decision import Gates, decide
from components.quality_gate.noise import Noise
from trainer.undefined import UNKNOWN, Undefined

NAN = math.nan
BASELINES = {"tfidf_cosine": {"spearman": 0.6}, "majority": {"spearman": NAN}}


def judge(value, gates=None, baselines=None, champion=None):
    candidate = {} if value is None else {"spearman": value, "mse": 1.0}
    served = None if champion is None else {"spearman": champion}
    return decide(gates or Gates(), "spearman", candidate, baselines or {}, served)


def test_everything_passed_is_listed_in_order():
    decision = judge(0.7, Gates(floors={"spearman": 0.65, "mse": 0.5}), BASELINES, champion=0.69)
    assert decision.blessed
    assert decision.failed == ()
    assert decision.reason == (
        "spearman 0.7000 reaches the floor 0.65; mse 1.0000 reaches the floor 0.5; "
        "spearman 0.7000 beats tfidf_cosine 0.6000; spearman 0.7000 holds against the champion 0.6900"
    )


def test_only_what_failed_is_the_reason_and_all_of_it():
    decision = judge(0.5, Gates(floors={"spearman": 0.65, "mse": 0.5}), BASELINES, champion=0.69)
    assert not decision.blessed
    assert decision.passed == ("mse 1.0000 reaches the floor 0.5",)
    assert decision.reason == (
        "spearman 0.5000 is below the floor 0.65 ([gates] floors); "
        "spearman 0.5000 does not beat the baseline tfidf_cosine 0.6000 ([gates] beat_baselines); "
        "spearman 0.5000 loses to the champion 0.6900 ([gates] champion_margin = 0)"
    )


@pytest.mark.parametrize(("value", "blessed"), [(0.65, True), (0.6499, False), (NAN, False), (None, False)])
def test_a_floor_is_reached_when_equalled(value, blessed):
    assert judge(value, Gates(floors={"spearman": 0.65})).blessed is blessed


def test_a_floor_of_a_metric_that_was_not_measured_is_not_reached():
    decision = judge(0.9, Gates(floors={"auc": 0.1}))
    assert decision.failed == (
        "auc is not defined on test: it is none of this model's metrics: name mse or spearman "
        "([gates] floors)",
    )


@pytest.mark.parametrize(
    ("value", "other", "blessed"),
    [(0.61, 0.6, True), (0.6, 0.6, False), (-0.5, NAN, True), (NAN, NAN, False), (NAN, 0.6, False)],
)
def test_a_baseline_must_be_beaten_and_not_just_equalled(value, other, blessed):
    assert judge(value, baselines={"simple": {"spearman": other}}).blessed is blessed


def test_baselines_can_be_ignored():
    assert judge(0.1, Gates(beat_baselines=False), BASELINES).blessed


@pytest.mark.parametrize(
    ("value", "champion", "margin", "blessed"),
    [
        (0.7, 0.7, 0.0, True),
        (0.6999, 0.7, 0.0, False),
        (0.7, 0.7, 0.01, False),
        (0.72, 0.7, 0.01, True),
        (0.69, 0.7, -0.02, True),
        (0.6, NAN, 0.0, True),
        (NAN, NAN, 0.0, False),
    ],
)
def test_the_champion_may_be_tied_but_for_the_margin(value, champion, margin, blessed):
    assert judge(value, Gates(champion_margin=margin), champion=champion).blessed is blessed


def test_without_gates_a_model_is_blessed_and_the_reason_says_so():
    decision = judge(0.7)
    assert decision.blessed
    assert decision.passed == ()
    assert decision.reason == "no gate is set ([gates])"


def test_the_deciding_split_is_eval_or_test():
    assert Gates(split="eval").split == "eval"
    with pytest.raises(ValidationError):
        Gates(split="train")


@pytest.mark.parametrize(
    ("value", "baseline", "champion", "blessed"),
    [
        (0.5, 0.6, 0.6, True),
        (0.6, 0.6, None, False),
        (0.7, 0.6, None, False),
        (0.6, None, 0.6, True),
        (0.7, None, 0.6, False),
        (NAN, 0.6, None, False),
    ],
)
def test_of_an_error_less_is_better(value, baseline, champion, blessed):
    others = {} if baseline is None else {"simple": {"mse": baseline}}
    served = None if champion is None else {"mse": champion}
    assert decide(Gates(), "mse", {"mse": value}, others, served).blessed is blessed


@pytest.mark.parametrize(("value", "blessed"), [(0.4, True), (0.5, True), (0.5001, False), (NAN, False)])
def test_a_ceiling_may_not_be_passed(value, blessed):
    decision = decide(Gates(ceilings={"mse": 0.5}), "mse", {"mse": value}, {}, None)
    assert decision.blessed is blessed
    if math.isnan(value):
        assert decision.reason.startswith("mse is not defined on test: ")
    elif not blessed:
        assert decision.failed == (f"mse {value:.4f} is above the ceiling 0.5 ([gates] ceilings)",)


@pytest.mark.parametrize(
    ("value", "gain", "margin", "blessed"),
    [
        (0.72, 0.001, 0.0, True),
        (0.72, -0.001, 0.0, False),  # better, but that may be chance
        (0.7, 0.0, 0.0, True),  # the same predictions
        (0.69, -0.03, 0.0, False),  # worse
        (0.69, -0.03, -0.05, True),  # surely not worse by more than is tolerated
        (0.69, -0.06, -0.05, False),
        (0.72, None, 0.0, True),  # nobody knows
    ],
)
def test_a_gain_must_be_more_than_chance(value, gain, margin, blessed):
    noise = Noise(value - 0.02, value + 0.02, gain)
    metrics = {"spearman": value}
    decision = decide(Gates(champion_margin=margin), "spearman", metrics, {}, {"spearman": 0.7}, noise)
    assert decision.blessed is blessed


def test_the_reason_tells_chance_from_loss():
    noise = Noise(0.7, 0.74, -0.001)
    decision = decide(Gates(), "spearman", {"spearman": 0.72}, {}, {"spearman": 0.7}, noise)
    assert decision.reason == (
        "spearman 0.7200 beats the champion 0.7000, but chance alone could do that: with confidence 0.95 the "
        "gain is only known to be above -0.0010 ([gates] champion_margin = 0, confidence)"
    )


def test_a_champion_below_its_floor_need_not_be_beaten():
    gates = Gates(floors={"spearman": 0.4, "mse": 0.5})
    decision = judge(0.5, gates, champion=0.39)
    assert decision.blessed
    assert decision.reason.endswith(
        "the champion fails its own limits: spearman 0.3900 is below the floor 0.4 ([gates] floors)"
    )
    assert not judge(0.39, gates, champion=0.3).blessed
    assert not judge(0.41, gates, champion=0.42).blessed


ONE_LABEL = Undefined("all 60 labels are 0, none is 1")


@pytest.mark.parametrize("word", [ONE_LABEL, NAN, "NaN", "Infinity", math.inf, None])
def test_a_model_whose_deciding_metric_has_no_value_is_refused_though_nothing_is_compared(word):
    decision = decide(Gates(beat_baselines=False), "auc", {"auc": word, "f1": 0.5, "mcc": NAN}, {}, None)
    assert not decision.blessed
    reason = "all 60 labels are 0, none is 1" if word is ONE_LABEL else UNKNOWN
    assert decision.reason == (
        f"auc is not defined on test: {reason}: mend the split test, or decide by f1 ([gates] metric)"
    )


@pytest.mark.parametrize("reason", ["a row has no label", "the labels are all 0"])
def test_a_split_is_to_be_mended_whatever_its_reason_begins_with(reason):
    decision = decide(Gates(), "auc", {"auc": Undefined(reason)}, {}, None)
    assert decision.reason == f"auc is not defined on test: {reason}: mend the split test ([gates] metric)"


def test_the_way_out_is_said_where_no_other_metric_is_defined():
    decision = decide(Gates(beat_baselines=False), "nll", {"nll": NAN, "kl": NAN}, {}, None)
    assert decision.reason == f"nll is not defined on test: {UNKNOWN}: mend the split test ([gates] metric)"


def test_metrics_with_limits_have_to_be_defined_too_and_share_their_reason():
    gates = Gates(floors={"mcc": 0.1}, ceilings={"mse": 1}, split="eval")
    decision = decide(gates, "auc", {"auc": ONE_LABEL, "mcc": ONE_LABEL, "mse": 0.5}, {}, None)
    assert decision.failed == (
        "auc, mcc are not defined on eval: all 60 labels are 0, none is 1: mend the split eval, or decide by "
        "mse ([gates] metric, floors)",
    )


def test_a_metric_that_decides_nothing_may_be_undefined():
    assert decide(Gates(), "accuracy", {"accuracy": 0.9, "auc": ONE_LABEL}, {}, {"accuracy": 0.8}).blessed


@pytest.mark.parametrize("other", [ONE_LABEL, NAN, "NaN", None])
def test_whoever_has_no_value_is_beaten_by_any_number(other):
    decision = decide(Gates(), "mse", {"mse": 1e12}, {"majority": {"mse": other}}, {"mse": other})
    assert decision.reason == "mse 1e+12 holds against the champion undefined"
    assert decision.blessed
