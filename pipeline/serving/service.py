"""The service behind REST and gRPC: which version answers, within which limits, and what is logged of it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from pipeline.serving.batching import Batcher
from pipeline.serving.errors import RequestError, check_rows
from pipeline.serving.limits import RequestLimits
from pipeline.serving.metrics import RequestMetrics
from pipeline.serving.model import LoadedModel
from pipeline.serving.model_store import LARGEST_VERSION, ModelStore, VersionStatus
from pipeline.serving.request_log import RequestLog
from pipeline.serving.signatures import ModelSignature

Answer = TypeVar("Answer")
# So many are read or written faster than they are handed to another thread.
_FEW_BYTES = 32 * 1024
# Inputs that have no batch, such as a seed, hold one value or a few.
_MOST_VALUES_WITHOUT_BATCH = 1_000_000


async def aside(size: int, work: Callable[[], Answer]) -> Answer:
    """Does work on `size` bytes here if they are few, else in a thread."""
    return work() if size < _FEW_BYTES else await asyncio.to_thread(work)


class Service:
    """One model behind both protocols.

    Args:
        store: its versions; the caller refreshes them.
        name: what requests call it.
        limits: bounds on each request.
        log: where answered requests are sampled to, if anywhere.
    """

    def __init__(
        self, store: ModelStore, name: str, limits: RequestLimits | None = None, log: RequestLog | None = None
    ) -> None:
        self.store = store
        self.name = name
        self.limits = limits or RequestLimits()
        self.metrics = RequestMetrics(self._values)
        self.draining = False
        self._batcher = Batcher(self.limits)
        self._admitted = 0
        self._held = 0
        self._log = log

    def close(self) -> None:
        """Ends the threads; requests in flight should be done by then."""
        self._batcher.close()
        if self._log is not None:
            self._log.close()

    def find(self, name: str, version: int | None = None, label: str | None = None) -> LoadedModel:
        """The version that a request names.

        Raises:
            RequestError: it is not in service, or the model is not ours.
        """
        if not name:
            raise RequestError("ModelSpec has no name specified.")
        if name != self.name:
            wanted = f"Specific({name}, {version})" if version else f"Latest({name})"
            raise RequestError(f"Servable not found for request: {wanted}", 404)
        if version is not None and not 0 <= version <= LARGEST_VERSION:
            raise RequestError(f"Servable not found for request: Specific({name}, {version})", 404)
        return self.store.find(name, version, label)

    def statuses(
        self, name: str, version: int | None = None, label: str | None = None
    ) -> list[VersionStatus]:
        """The states of all versions, or of the one asked for.

        Raises:
            RequestError: there is none.
        """
        statuses = self.store.statuses(version, label) if name == self.name else []
        if not statuses:
            which = f"version {version}" if version and name == self.name else "any versions"
            raise RequestError(f"Could not find {which} of model {name}", 404)
        return statuses

    @contextmanager
    def admitted(self, size: int = 0) -> Iterator[None]:
        """Counts a request of `size` bytes that has arrived until it is answered.

        Raises:
            RequestError: there are too many already.
        """
        full = self._admitted >= self.limits.workers + self.limits.max_waiting
        if full or self._held + size > self.limits.max_held_bytes:
            raise RequestError("too many requests are waiting; try again later", 503)
        self._admitted += 1
        self._held += size
        try:
            yield
        finally:
            self._admitted -= 1
            self._held -= size

    async def in_time(self, work: Awaitable[Answer]) -> Answer:
        """Awaits, for as long as a request may take.

        Raises:
            RequestError: it took longer.
        """
        try:
            async with asyncio.timeout(self.limits.timeout):
                return await work
        except TimeoutError as error:
            raise RequestError(f"not answered within {self.limits.timeout:g} s", 504) from error

    async def predict(
        self, model: LoadedModel, signature: ModelSignature, inputs: Mapping[str, np.ndarray]
    ) -> Mapping[str, np.ndarray]:
        """Answers one request, perhaps together with others.

        Raises:
            RequestError: the inputs do not fit the signature or the limits, or the graph refuses them.
        """
        arrays = model.check(signature, inputs)
        for name, array in arrays.items():
            self._check_size(name, array, signature.inputs[name].batched)
        outputs = await self._batcher.run(model, signature, arrays)
        if self._log is not None:
            self._log.record(model.version, signature.name, arrays)
        return outputs

    def check_shape(self, name: str, shape: tuple[int, ...], batched: bool) -> None:
        """Refuses a tensor by its shape, before memory is taken for it."""
        if batched and shape:
            check_rows(name, shape[0], self.limits.max_batch)
        # A message can say once what all values of a shape are; its own size bounds the shape then.
        most = self.limits.max_body_bytes if batched else _MOST_VALUES_WITHOUT_BATCH
        if math.prod(shape) > most:
            raise RequestError(f"'{name}' holds more than {most} values")

    def _check_size(self, name: str, array: np.ndarray, batched: bool) -> None:
        self.check_shape(name, array.shape, batched)
        if array.dtype != object or not array.size:
            return
        sizes, most = list(map(len, array.flat)), self.limits.max_text_bytes
        if max(sizes) > most:
            raise RequestError(f"'{name}' holds a string of more than {most} bytes; shorten it")
        # A message can say once what all rows of a shape hold.
        if sum(sizes) > self.limits.max_body_bytes:
            raise RequestError(
                f"'{name}' holds strings of more than {self.limits.max_body_bytes} bytes together; "
                "send fewer rows a request"
            )

    def _values(self) -> Iterator[Metric]:
        """The metrics that `/metrics` shows beside the requests."""
        model, batcher = self.store.current, self._batcher
        version = model.version if model else 0
        yield GaugeMetricFamily("kembar_served_version", "The version in service, 0 if none.", version)
        pending = "Requests at work or in the queue."
        yield GaugeMetricFamily("kembar_requests_pending", pending, batcher.pending)
        yield CounterMetricFamily("kembar_batches", "Calls of the graph.", batcher.batches)
        joined = "Requests answered by them; more than calls where requests were joined."
        yield CounterMetricFamily("kembar_batched_requests", joined, batcher.joined)
        failures = "Versions that could not be served."
        yield CounterMetricFamily("kembar_load_failures", failures, self.store.load_failures)
        if self._log is not None:
            rows = "Rows written to the log."
            yield CounterMetricFamily("kembar_request_log_rows", rows, self._log.written)
            dropped = "Sampled rows that were not written: the queue was full, or the disk."
            yield CounterMetricFamily("kembar_request_log_dropped", dropped, self._log.dropped)
