from __future__ import annotations

from pipeline.runners import conclude
from pipeline.runners.steps import FAILED, SKIPPED, Step


class Graph:
    node_ids = ("ExampleGen", "Trainer")


def test_a_container_that_never_started_is_the_reason():
    steps = [Step("ExampleGen", "ran"), Step("Trainer", SKIPPED)]
    status = {"inputs": {"parameterValues": {"status": {"error": {"message": "ImagePullBackOff"}}}}}
    conclude.name_unstarted(steps, Graph(), status)
    assert [step.state for step in steps] == ["ran", FAILED]
    assert str(steps[1].error) == "Trainer: its container never started: ImagePullBackOff"


def test_a_step_that_failed_stays_the_reason():
    steps = [Step("ExampleGen", FAILED, error=ValueError("x")), Step("Trainer", SKIPPED)]
    assert [step.state for step in conclude.name_unstarted(steps, Graph(), {})] == [FAILED, SKIPPED]
