from __future__ import annotations

from pipeline.graph.step_result import FAILED, SKIPPED, StepResult
from pipeline.kubeflow import conclude


def test_a_container_that_never_started_is_the_reason():
    steps = [StepResult("ExampleGen", "ran"), StepResult("Trainer", SKIPPED)]
    conclude.name_unstarted(steps)
    assert [step.state for step in steps] == ["ran", FAILED]
    assert str(steps[1].error).startswith("Trainer: its container never started, and the cluster does not")


def test_a_step_that_failed_stays_the_reason():
    steps = [StepResult("ExampleGen", FAILED, error=ValueError("x")), StepResult("Trainer", SKIPPED)]
    assert [step.state for step in conclude.name_unstarted(steps)] == [FAILED, SKIPPED]
