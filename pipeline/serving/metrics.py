"""Counters in Prometheus' text format; a few lines instead of one more dependency."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from dataclasses import dataclass, field

# Upper bounds in seconds: a small model answers in milliseconds, a batch of thousands in seconds.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass
class _Latency:
    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    seconds: float = 0.0


class RequestMetrics:
    """Counts requests and their latencies by endpoint; safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._codes: Counter[tuple[str, str]] = Counter()
        self._latencies: defaultdict[str, _Latency] = defaultdict(_Latency)

    def observe(self, endpoint: str, code: int | str, seconds: float) -> None:
        """Adds one answered request; `endpoint` must be one of a few names, never what a client sent.

        `code` is an HTTP status, or the name of gRPC's.
        """
        bucket = sum(seconds > bound for bound in BUCKETS)
        with self._lock:
            self._codes[endpoint, str(code)] += 1
            latency = self._latencies[endpoint]
            latency.counts[bucket] += 1
            latency.seconds += seconds

    def render(self, gauges: dict[str, tuple[str, str, int]]) -> str:
        """The page; `gauges` are other values by name: (`gauge` or `counter`, help, value)."""
        lines = [
            "# HELP kembar_requests_total Requests answered.",
            "# TYPE kembar_requests_total counter",
        ]
        with self._lock:
            for (endpoint, code), count in sorted(self._codes.items()):
                lines.append(f'kembar_requests_total{{endpoint="{endpoint}",code="{code}"}} {count}')
            lines += [
                "# HELP kembar_request_seconds Time from the request line to the last byte of the answer.",
                "# TYPE kembar_request_seconds histogram",
            ]
            for endpoint, latency in sorted(self._latencies.items()):
                lines += _histogram(endpoint, latency)
        for name, (kind, text, value) in gauges.items():
            lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}", f"{name} {value}"]
        return "\n".join(lines) + "\n"


def _histogram(endpoint: str, latency: _Latency) -> list[str]:
    """Cumulative buckets, sum and count of one endpoint."""
    lines, total = [], 0
    for bound, count in zip((*map(str, BUCKETS), "+Inf"), latency.counts, strict=True):
        total += count
        lines.append(f'kembar_request_seconds_bucket{{endpoint="{endpoint}",le="{bound}"}} {total}')
    lines.append(f'kembar_request_seconds_sum{{endpoint="{endpoint}"}} {latency.seconds:.6f}')
    lines.append(f'kembar_request_seconds_count{{endpoint="{endpoint}"}} {total}')
    return lines
