from __future__ import annotations

from pipeline.kubeflow import conclude
from pipeline.runs.steps import FAILED, SKIPPED, Step


def test_a_container_that_never_started_is_the_reason():
    steps = [Step("ExampleGen", "ran"), Step("Trainer", SKIPPED)]
    conclude.name_unstarted(steps)
    assert [step.state for step in steps] == ["ran", FAILED]
    assert str(steps[1].error).startswith("Trainer: its container never started, and the cluster does not")


def test_a_step_that_failed_stays_the_reason():
    steps = [Step("ExampleGen", FAILED, error=ValueError("x")), Step("Trainer", SKIPPED)]
    assert [step.state for step in conclude.name_unstarted(steps)] == [FAILED, SKIPPED]
