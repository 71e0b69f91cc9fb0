"""Requests that wait are answered together: one call of the graph for many clients.

Nobody waits for company. While a worker is free a request is run at once, with those that came in the same
turn of the event loop; while all are busy requests queue, and a worker that becomes free takes the oldest one
with all that fit to it: same version, same signature, up to a number of rows. The delay is bounded by the
calls that are running already.

Texts go into the graph as they are and become ids inside, so joining requests pads nothing here. What a
float32 sum rounds to can depend on its neighbours; the answer of a request can differ in the last digits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from pipeline.serving.errors import RequestError
from pipeline.serving.limits import RequestLimits
from pipeline.serving.model import LoadedModel
from pipeline.serving.signatures import ModelSignature

Arrays = Mapping[str, np.ndarray]


@dataclass(eq=False)
class _Call:
    """One request on its way."""

    model: LoadedModel
    signature: ModelSignature
    inputs: Arrays
    rows: int
    answer: asyncio.Future[Arrays] = field(repr=False)


class Batcher:
    """Runs calls in a few threads; to be used from one event loop."""

    def __init__(self, limits: RequestLimits) -> None:
        self._limits = limits
        self._pool = ThreadPoolExecutor(limits.workers, thread_name_prefix="kembar-predict")
        self._queue: deque[_Call] = deque()
        self._running = 0
        self._starting = False
        self.pending = 0  # requests at work or in the queue
        self.batches = 0
        self.joined = 0

    async def run(self, model: LoadedModel, signature: ModelSignature, inputs: Arrays) -> Arrays:
        """Answers inputs that `LoadedModel.check` gave.

        Raises:
            RequestError: what the model refuses, or too many requests wait.
        """
        free = self._limits.workers - self._running
        if len(self._queue) >= self._limits.max_waiting + free:
            raise RequestError("too many requests are waiting; try again later", 503)
        rows = len(next(iter(inputs.values()))) if signature.batched else 0
        call = _Call(model, signature, inputs, rows, asyncio.get_running_loop().create_future())
        self._queue.append(call)
        self.pending += 1
        if not self._starting:
            # Requests that came in the same turn of the event loop are joined.
            self._starting = True
            asyncio.get_running_loop().call_soon(self._start)
        try:
            return await call.answer
        finally:
            self.pending -= 1

    def close(self) -> None:
        """Takes no more calls; what runs ends in its thread."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _start(self) -> None:
        """Hands waiting calls to free workers."""
        self._starting = False
        loop = asyncio.get_running_loop()
        while self._running < self._limits.workers and (calls := self._take()):
            try:
                done = loop.run_in_executor(self._pool, _answer, calls)
            except RuntimeError:  # the pool is shut down
                for call in calls:
                    call.answer.set_exception(RequestError("the server is shutting down", 503))
                continue
            self._running += 1
            self.batches += 1
            self.joined += len(calls)
            done.add_done_callback(lambda done, calls=calls: self._finish(done, calls))  # type: ignore[misc]

    def _take(self) -> list[_Call]:
        """The oldest call and all that fit to it; calls that were given up are dropped."""
        waiting = [call for call in self._queue if not call.answer.done()]
        self._queue.clear()
        if not waiting:
            return []
        first, *others = waiting
        calls, rows = [first], first.rows
        for call in others:
            same = call.model is first.model and call.signature is first.signature
            if same and first.signature.batched and rows + call.rows <= self._limits.max_batch:
                calls.append(call)
                rows += call.rows
            else:
                self._queue.append(call)
        return calls

    def _finish(self, done: asyncio.Future[list[Arrays | Exception]], calls: list[_Call]) -> None:
        self._running -= 1
        for call, answer in zip(calls, done.result(), strict=True):
            if call.answer.done():  # given up meanwhile
                continue
            if isinstance(answer, Exception):
                call.answer.set_exception(answer)
            else:
                call.answer.set_result(answer)
        self._start()


def _answer(calls: list[_Call]) -> list[Arrays | Exception]:
    """Runs in the pool: an answer or an error for each call."""
    if len(calls) > 1:
        # One request's mistake must not become its neighbours': each is asked again, alone.
        with suppress(Exception):
            return list(_answer_together(calls))
    return [_answer_alone(call) for call in calls]


def _answer_alone(call: _Call) -> Arrays | Exception:
    try:
        return call.model.run(call.signature, call.inputs)
    except Exception as error:  # noqa: BLE001 - raised again where the request waits
        return error


def _answer_together(calls: list[_Call]) -> list[Arrays]:
    first, rows = calls[0], [call.rows for call in calls]
    joined = {name: np.concatenate([call.inputs[name] for call in calls]) for name in first.inputs}
    outputs = first.model.run(first.signature, joined)
    if any(len(array) != sum(rows) for array in outputs.values()):
        raise ValueError(f"{first.signature.name}: the outputs have other rows than the inputs")
    ends = np.cumsum(rows)
    return [
        {name: array[end - size : end] for name, array in outputs.items()}
        for size, end in zip(rows, ends, strict=True)
    ]
