"""The metrics of `/metrics`: requests by endpoint, and what the server knows of itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric

# Upper bounds in seconds: a small model answers in milliseconds, a batch of thousands in seconds.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

disable_created_metrics()


class RequestMetrics:
    """Counts requests and their latencies by endpoint; safe to use from many threads.

    Args:
        others: gives the other numbers, read when the page is shown.
    """

    def __init__(self, others: Callable[[], Iterable[Metric]]) -> None:
        self._registry = CollectorRegistry()
        self.collect = others  # as Prometheus' registry calls it
        self._registry.register(self)
        self._requests = Counter(
            "kembar_requests", "Requests answered.", ["endpoint", "code"], registry=self._registry
        )
        self._seconds = Histogram(
            "kembar_request_seconds",
            "Time from the last byte of the request to the answer.",
            ["endpoint"],
            buckets=BUCKETS,
            registry=self._registry,
        )
        # What `labels` gives is kept: to look it up takes longer than to count.
        self._known: dict[tuple[str, int | str], tuple[Counter, Histogram]] = {}

    def observe(self, endpoint: str, code: int | str, seconds: float) -> None:
        """Adds one answered request; `endpoint` must be one of a few names, never what a client sent.

        `code` is an HTTP status, or the name of gRPC's.
        """
        pair = self._known.get((endpoint, code))
        if pair is None:
            pair = self._requests.labels(endpoint, str(code)), self._seconds.labels(endpoint)
            self._known[endpoint, code] = pair
        pair[0].inc()
        pair[1].observe(seconds)

    def render(self) -> bytes:
        """The page in Prometheus' text format."""
        return generate_latest(self._registry)
