"""What is new, accepted, rejected or missing, and what follows from it."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from pipeline.config.configuration import Config
from pipeline.graph.plan import Plan
from pipeline.retraining.reasons import find_reason
from pipeline.retraining.survey import gates_of, model_config, plan_for, rules_of, survey_spans
from pipeline.store.ledger import ACCEPTED, REJECTED, LedgerEntry, SpanExamples, SpanVerdict
from tests.pipeline.retraining.spans import configure


class History:
    """Spans on disk, and what is on record of them."""

    def __init__(self, folder: Path, config: Config) -> None:
        self.folder, self.config = folder, config
        self.entries: list[LedgerEntry] = []
        self.examples: list[SpanExamples] = []

    def arrive(self, *numbers: int, text: str = "a\n") -> None:
        for number in numbers:
            (self.folder / f"{number}.csv").write_text(text)

    def look(self, **options):
        return survey_spans(self.config, self.entries, self.examples, **options)

    def record(
        self, outcome: str, *numbers: int, train: bool = True, rules: str = "", status: str = "pushed"
    ) -> None:
        on_disk = {span.number: span for span in self.look().pending}
        seen = {}
        for number in numbers:
            files = on_disk[number].fingerprint
            seen[number] = SpanVerdict(files, outcome, "", rules or rules_of(self.config))
            verdict = len(self.examples) + 100 if outcome == ACCEPTED else None
            self.examples.append(
                SpanExamples(len(self.examples) + 1, f"/examples/{number}", number, files, verdict)
            )
        window = {span.number: span.fingerprint for span in self.look().ready.values() if span.number in seen}
        trained = window if train and outcome == ACCEPTED else {}
        self.entries.append(
            LedgerEntry("2026-11-25T00:00:00+00:00", status, "pearson 0.1 is below 0.7", 1.0, spans=seen,
                  trained=trained, config=model_config(self.config) if trained else "",
                  gates=gates_of(self.config) if trained else "")
        )  # fmt: skip

    def reason(self, version: int | None = 7, age: float = 1.0):
        held = timedelta(days=age) if version is not None else None
        return find_reason(self.config, self.look(), self.entries, version, held)


@pytest.fixture
def history(tmp_path):
    return History(tmp_path, configure(tmp_path, data={"spans": {"window": 3}}, retraining={}))


def numbers(spans):
    return [span.number for span in spans]


def test_all_that_can_be_in_the_window_is_pending_at_first(history):
    history.arrive(*range(1, 9))
    survey = history.look()
    assert numbers(survey.pending) == [6, 7, 8]
    assert sorted(survey.ready) == [6, 7, 8]
    assert history.reason().text == "6, 7, 8 are new"


def test_what_was_accepted_is_not_read_again(history):
    history.arrive(1, 2)
    history.record(ACCEPTED, 1, 2)
    assert history.look().pending == ()
    reason = history.reason()
    assert (reason.due, reason.text) == (False, "")
    assert reason.figures == "version 7 is 24.0 hours old; no new data up to 2"


def test_a_changed_file_is_new(history):
    history.arrive(1, 2)
    history.record(ACCEPTED, 1, 2)
    history.arrive(1, text="a\nb\n")
    assert numbers(history.look().pending) == [1]


def test_examples_that_are_gone_are_read_again(history):
    history.arrive(1, 2)
    history.record(ACCEPTED, 1, 2)
    del history.examples[0]
    assert numbers(history.look().pending) == [1]


def test_files_that_are_gone_stay_in_the_window(history):
    history.arrive(1, 2)
    history.record(ACCEPTED, 1, 2)
    (history.folder / "1.csv").unlink()
    survey = history.look()
    assert sorted(survey.ready) == [1, 2]
    assert survey.pending == ()


def test_a_rejected_span_takes_no_place_in_the_window(history):
    history.arrive(1, 2, 3, 4)
    history.record(REJECTED, 4)
    survey = history.look()
    assert numbers(survey.pending) == [1, 2, 3]
    assert set(survey.rejected) == {4}
    assert "rejected before: 4" in history.reason().figures


def test_a_rejected_span_is_looked_at_again_by_other_rules(history):
    history.arrive(1, 2)
    history.record(ACCEPTED, 1)
    history.record(REJECTED, 2)
    assert history.look().pending == ()
    history.config = configure(
        history.folder, data={"spans": {"window": 3}}, retraining={}, validation={"drift": "warn"}
    )
    assert numbers(history.look().pending) == [2]


def test_a_late_span_is_new_and_missing_until_then(history):
    history.arrive(1, 3)
    history.record(ACCEPTED, 1, 3)
    assert history.look().missing == (2,)
    assert "missing: 2" in history.reason().figures
    history.arrive(2)
    assert numbers(history.look().pending) == [2]
    assert history.look().missing == ()


def test_an_incomplete_span_waits(tmp_path):
    marker = str(tmp_path / "{SPAN}.done")
    history = History(tmp_path, configure(tmp_path, data={"spans": {"marker": marker}}, retraining={}))
    history.arrive(1)
    survey = history.look()
    assert survey.pending == ()
    assert survey.waiting == {1: f"{tmp_path}/1.done is not there"}
    assert not history.reason(version=None).due
    (tmp_path / "1.done").touch()
    assert history.reason(version=None).text == "nothing is in service yet; 1 is new"


def test_spans_that_no_model_was_trained_on_are_a_reason(history):
    history.arrive(1, 2)
    history.record(ACCEPTED, 1)
    history.record(ACCEPTED, 2, train=False)
    assert history.look().untrained == (2,)
    assert history.reason().text == "no model was trained on 2 yet"


def test_another_model_is_a_reason(history):
    history.arrive(1)
    history.record(ACCEPTED, 1)
    history.config = configure(
        history.folder, data={"spans": {"window": 3}}, retraining={}, model={"embedding_dim": 8}
    )
    assert history.reason().text == "the configuration of the model has changed"


@pytest.mark.parametrize("status", ["not_blessed", "serving_rejected"])
def test_a_model_that_was_refused_is_not_trained_again_of_the_same(history, status):
    history.arrive(1)
    assert history.reason(version=None).text == "nothing is in service yet; 1 is new"
    history.record(ACCEPTED, 1, status=status)
    reason = history.reason(version=None)
    assert not reason.due
    assert "nothing is in service; the last model was refused: pearson 0.1 is below 0.7" in reason.figures
    other_gates = configure(
        history.folder, data={"spans": {"window": 3}}, retraining={}, gates={"floors": {"spearman": 0.1}}
    )
    history.config, kept = other_gates, history.config
    assert history.reason(version=None).text == "nothing is in service yet"
    history.config = kept
    history.arrive(2)
    assert history.reason(version=None).text == "nothing is in service yet; 2 is new"


@pytest.mark.parametrize("status", ["pushed", "failed"])
def test_where_nothing_is_in_service_though_nobody_refused_it_is_trained(history, status):
    history.arrive(1)
    history.record(ACCEPTED, 1, status=status)
    assert history.reason(version=None).text == "nothing is in service yet"


@pytest.mark.parametrize(("age", "asked"), [(29, ""), (31, "version 7 is 31.0 days old")])
def test_an_old_model_is_a_reason_where_there_is_data_that_it_lacks(tmp_path, age, asked):
    history = History(tmp_path, configure(tmp_path, retraining={"every_span": False, "max_age": "30d"}))
    history.arrive(1)
    history.record(ACCEPTED, 1)
    assert not history.reason(age=age).due
    history.arrive(2)
    reason = history.reason(age=age)
    assert reason.due
    assert reason.text.startswith(asked)
    assert bool(reason.text) == bool(asked)


def test_a_plan_carries_the_texts_of_the_span_accepted_before(history):
    history.arrive(1, 2, 3)
    history.record(ACCEPTED, 1, 2)
    survey = history.look()
    plan = plan_for(survey, survey.ready[3], [1, 2], "3 is new", history.examples)
    assert plan.carry is not None
    assert (plan.carry.span, plan.carry.oldest, plan.carry.earlier) == (3, 1, "/examples/2")
    assert sorted(plan.window) == [1, 2, 3]
    kept = TypeAdapter(Plan)
    assert kept.validate_json(kept.dump_json(plan)) == plan


def test_a_plan_made_again_is_the_same(history):
    history.arrive(1, 2)
    first = plan_for(history.look(), history.look().ready[2], [1], "", [])
    history.record(ACCEPTED, 2)
    again = plan_for(history.look(), history.look().ready[2], [1], "", history.examples)
    assert again == replace(first)


def test_a_span_that_is_read_again_follows_none_that_came_behind_it(history):
    history.arrive(1, 2, 3)
    history.record(ACCEPTED, 1)
    first = plan_for(history.look(), history.look().ready[2], [1], "", history.examples)
    history.record(ACCEPTED, 2, 3)
    again = plan_for(history.look(), history.look().ready[2], [1], "", history.examples)
    assert again == first
    assert again.carry is not None
    assert (again.carry.earlier, again.carry.spans) == ("/examples/1", {"/examples/1": 1})


def test_data_without_spans_is_one_that_changes(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text("a\n")
    config = configure(tmp_path, data={"pattern": None, "path": str(path)}, retraining={})
    history = History(tmp_path, config)
    assert history.reason().text == "the data is new"
    history.record(ACCEPTED, 0)
    assert not history.reason().due
    os.utime(path, (1, 1))
    assert history.reason().text == "the data is new"
