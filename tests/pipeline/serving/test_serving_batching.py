"""Requests that wait are joined, and nobody can tell from the answers."""

import asyncio
import threading
from dataclasses import dataclass, field

import numpy as np
import pytest

from pipeline.serving.batching import Batcher
from pipeline.serving.errors import RequestError
from pipeline.serving.limits import RequestLimits
from pipeline.serving.signatures import ModelSignature, TensorSpec


def signature(name="double", shape=(None,)) -> ModelSignature:
    return ModelSignature(
        name, {"x": TensorSpec("x", "float32", shape)}, {"y": TensorSpec("y", "float32", shape)}
    )


DOUBLE, OTHER = signature(), signature("other")


@dataclass(eq=False)
class Doubling:
    """Doubles, once it is let go; 13 is a mistake."""

    gate: threading.Event = field(default_factory=threading.Event)
    calls: list[list[float]] = field(default_factory=list)

    def run(self, signature, inputs):
        assert self.gate.wait(20)
        self.calls.append(np.ravel(inputs["x"]).tolist())
        if 13 in self.calls[-1]:
            raise RequestError("13 is a mistake")
        return {"y": 2 * inputs["x"]}


def x(*values):
    return {"x": np.array(values, np.float32)}


async def settle():
    for _ in range(10):
        await asyncio.sleep(0)


def run(scenario, **limits):
    """Runs a scenario with a batcher of one worker."""

    async def body():
        batcher = Batcher(RequestLimits(workers=1, **limits))
        try:
            return await scenario(batcher)
        finally:
            batcher.close()

    return asyncio.run(body())


def test_what_waits_is_joined_by_version_and_signature():
    model, newer = Doubling(), Doubling()
    newer.gate.set()

    async def scenario(batcher):
        asked = [
            (model, DOUBLE, x(0)),
            (model, DOUBLE, x(1, 2)),
            (model, OTHER, x(3)),
            (newer, DOUBLE, x(4)),
            (model, DOUBLE, x()),
            (model, DOUBLE, x(5)),
        ]
        tasks = [asyncio.create_task(batcher.run(*each)) for each in asked]
        await settle()
        assert batcher.pending == 6
        model.gate.set()
        answers = await asyncio.gather(*tasks)
        assert [answer["y"].tolist() for answer in answers] == [[0], [2, 4], [6], [8], [], [10]]
        assert (batcher.batches, batcher.joined, batcher.pending) == (3, 6, 0)

    run(scenario)
    assert model.calls == [[0, 1, 2, 5], [3]]  # those of one turn, then those that fit no other
    assert newer.calls == [[4]]


def test_a_mistake_is_its_own():
    model = Doubling()

    async def scenario(batcher):
        tasks = [asyncio.create_task(batcher.run(model, DOUBLE, x(value))) for value in (0, 1, 13, 2)]
        await settle()
        model.gate.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    first, second, mistake, last = run(scenario)
    assert [first["y"], second["y"], last["y"]] == [[0], [2], [4]]
    assert isinstance(mistake, RequestError)


@pytest.mark.parametrize(("limit", "joined"), [(7, [6, 6, 3]), (6, [6, 6, 3]), (5, [3] * 5)])
def test_joined_rows_are_as_many_as_the_limit_and_order_is_kept(limit, joined):
    model = Doubling()

    async def scenario(batcher):
        tasks = [asyncio.create_task(batcher.run(model, DOUBLE, x(*[n] * 3))) for n in range(5)]
        await settle()
        model.gate.set()
        await asyncio.gather(*tasks)

    run(scenario, max_batch=limit)
    assert [len(call) for call in model.calls] == joined


def test_signatures_without_rows_are_never_joined():
    model, scalar = Doubling(), signature(shape=())

    async def scenario(batcher):
        tasks = [asyncio.create_task(batcher.run(model, scalar, {"x": np.float32(n)})) for n in range(3)]
        await settle()
        model.gate.set()
        return await asyncio.gather(*tasks)

    assert [answer["y"] for answer in run(scenario)] == [0, 2, 4]
    assert len(model.calls) == 3


def test_outputs_with_other_rows_are_asked_for_one_by_one():
    class Counting(Doubling):
        def run(self, signature, inputs):
            super().run(signature, inputs)
            return {"y": np.array([len(inputs["x"])])}

    model = Counting()

    async def scenario(batcher):
        tasks = [asyncio.create_task(batcher.run(model, DOUBLE, x(*[1] * n))) for n in (1, 2, 3)]
        await settle()
        model.gate.set()
        return await asyncio.gather(*tasks)

    assert [answer["y"].tolist() for answer in run(scenario)] == [[1], [2], [3]]


def test_given_up_requests_are_not_run_and_a_full_queue_refuses():
    model = Doubling()

    async def scenario(batcher):
        running = asyncio.create_task(batcher.run(model, DOUBLE, x(0)))
        await settle()
        waiting = [asyncio.create_task(batcher.run(model, DOUBLE, x(n))) for n in (1, 2)]
        await settle()
        with pytest.raises(RequestError, match="too many requests are waiting") as full:
            await batcher.run(model, DOUBLE, x(3))
        assert (full.value.status, full.value.code) == (503, "UNAVAILABLE")
        waiting[0].cancel()
        await settle()
        model.gate.set()
        await running
        assert (await waiting[1])["y"] == [4]
        assert batcher.pending == 0

    run(scenario, max_waiting=2)
    assert model.calls == [[0], [2]]
