"""`[kubeflow]`, `[schedule]` and `[vertex]` by themselves: what is refused, and what is taken."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.config.cluster import (
    Database,
    Kubeflow,
    Schedule,
    StepResources,
    Toleration,
    Vertex,
    VertexStep,
)


def kubeflow(**more: Any) -> Kubeflow:
    return Kubeflow(**{"image": "r/kembar:1", "volume_claim": "claim", **more})


def vertex(**more: Any) -> Vertex:
    return Vertex(**{"image": "r/kembar:1", "pipeline_root": "gs://bucket/x", **more})


def database(**more: Any) -> Database:
    return Database(**{"host": "db", "secret": "s", **more})


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: database(port=0), "greater than or equal to 1"),
        (lambda: database(port=65_536), "less than or equal to 65535"),
        (lambda: database(name=""), "at least 1 character"),
        (lambda: Toleration(), 'operator = "Equal" needs key'),
        (lambda: Toleration(value="x"), 'operator = "Equal" needs key'),
        (lambda: Toleration(operator="Exists", value="x"), 'operator = "Exists" takes no value'),
        (lambda: kubeflow(experiment=""), "at least 1 character"),
        (lambda: kubeflow(experiment="x" * 129), "at most 128 characters"),
        (lambda: kubeflow(default={"cpu": "2", "cpu_limit": "1999m"}), "default: cpu = '2' is more than cpu"),
        (
            lambda: kubeflow(default={"memory_limit": "1Gi"}, steps={"A": {}, "B": {"memory": "2Gi"}}),
            "steps.B: memory = '2Gi' is more than memory_limit = '1Gi', as default and step say",
        ),
        (
            lambda: kubeflow(default={"shared_memory": "2Gi", "memory_limit": "1Gi"}),
            "default: shared_memory = '2Gi' is more than memory_limit = '1Gi'",
        ),
        (lambda: kubeflow(environment={"A": "x", "B": "a{{b}}"}), "environment.B = 'a{{b}}': KFP and Argo"),
        (lambda: kubeflow(environment={"A": "a\0"}), r"environment.A = 'a\x00': Linux ends a variable"),
        (lambda: Schedule(cron="60 * * * *"), "minute"),
        (lambda: Schedule(cron="0 3 * * *", timezone="Mars/Base"), "no such time zone: take a name such as"),
        (lambda: Schedule(cron="0 3 * * *", timezone="../UTC"), "no such time zone"),
        (lambda: Schedule(cron="0 3 * * *", timezone="Europe"), "no such time zone"),
        (lambda: vertex(image=""), "at least 1 character"),
        (lambda: vertex(pipeline_root="gs://Bucket/x"), "should match pattern"),
        (lambda: vertex(pipeline_root="gs://bucket/"), "should match pattern"),
        (lambda: VertexStep(cpu=0), "greater than 0"),
        (lambda: VertexStep(accelerators=-1), "greater than or equal to 0"),
    ],
)
def test_what_is_wrong_is_refused_in_its_words(make, said):
    with pytest.raises(ValidationError) as refused:
        make()
    assert said in str(refused.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: database(port=1),
        lambda: database(port=65_535, name="k"),
        lambda: Toleration(key="k"),
        lambda: Toleration(key="k", value="x"),
        lambda: Toleration(operator="Exists"),
        lambda: kubeflow(experiment="x" * 128),
        lambda: kubeflow(default={"cpu": "2", "cpu_limit": "2000m", "memory": "1Gi", "memory_limit": "1Gi"}),
        lambda: kubeflow(default={"cpu": "2", "cpu_limit": "3", "memory": "1", "memory_limit": "1Gi"}),
        lambda: kubeflow(default={"cpu": "2", "memory_limit": "1"}, steps={"A": {"cpu_limit": "2"}}),
        lambda: kubeflow(environment={"A": {"secret": "s", "key": "k"}, "B": "{ {"}),
        lambda: vertex(pipeline_root="gs://bucket"),
        lambda: vertex(image="i", steps={"Trainer": {"cpu": 0.5, "memory_gb": 1, "accelerators": 0}}),
    ],
)
def test_what_only_seems_wrong_is_taken(make):
    assert make()


def test_a_step_asks_for_what_it_says_and_else_for_the_default():
    found = kubeflow(
        default={"cpu": "1", "memory": "1Gi", "retries": 2}, steps={"A": {"cpu": "2", "retries": 0}}
    )
    assert found.resources("A") == StepResources(cpu="2", memory="1Gi", retries=0)
    assert found.resources("B") == StepResources(cpu="1", memory="1Gi", retries=2)


@pytest.mark.parametrize(
    ("resources", "shared"),
    [
        ({}, False),
        ({"accelerators": 1}, False),
        ({"accelerators": 2}, True),
        ({"shared_memory": "1Gi"}, True),
    ],
)
def test_several_gpus_share_memory(resources, shared):
    assert StepResources(**resources).has_shared_memory is shared


def test_a_schedule_is_written_with_single_spaces_and_in_a_zone():
    found = Schedule(cron=" 0  3 * *\t* ", timezone="Europe/Berlin")
    assert (found.cron, found.timezone, found.enabled) == ("0 3 * * *", "Europe/Berlin", True)
