from __future__ import annotations

import pytest

from pipeline.runners import conclude
from pipeline.runners.launch import FAILED, SKIPPED, Step


def test_a_server_that_stumbles_is_asked_again(listen):
    server = listen(503, 500, 200)
    assert conclude.notify(server.url, {"text": "twins: pushed"})
    assert server.heard == [{"text": "twins: pushed"}] * 3


def test_a_server_that_stays_down_costs_three_tries_and_no_error(listen, caplog):
    server = listen(503)
    assert not conclude.notify(server.url, {})
    assert len(server.heard) == 3
    assert "webhook: not delivered: answered 503" in caplog.text
    assert "secret-path" not in caplog.text


def test_a_refusal_is_final(listen, caplog):
    server = listen(404)
    assert not conclude.notify(server.url, {})
    assert len(server.heard) == 1
    assert "answered 404" in caplog.text


@pytest.mark.parametrize("url", ["file:///etc/passwd", "hooks.example/x"])
def test_other_schemes_are_not_opened(url, caplog):
    assert not conclude.notify(url, {})
    assert "begins neither with https:// nor with http://" in caplog.text
    assert url not in caplog.text


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
