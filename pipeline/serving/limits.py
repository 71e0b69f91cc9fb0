"""The limits on the requests of one client."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class RequestLimits:
    """Bounds on a request, which bound memory and time.

    Attributes:
        max_body_bytes: longer bodies are 413 over REST, and RESOURCE_EXHAUSTED over gRPC.
        max_batch: requests of more rows are 400. What waits is answered together up to as many rows.
        max_text_bytes: requests with a longer string are 400.
        timeout: seconds until a request is 504; the body that never ends as well as the answer.
        workers: calls at work at once. TensorFlow spreads each over the cores, so two keep a laptop busy:
            one computes while the other's arrays are made.
        max_waiting: requests in the queue before more are 503.
        max_connections: open connections to the REST port. For one more the one goes that has waited longest
            for its client; where all are at work a request on a new one is 503.
        max_calls: calls of gRPC that have begun before more are refused.
        header_timeout: seconds in which a connection must have sent a whole request line and its headers.
        idle_timeout: seconds that a connection waits for a next request. Clients with connection pools send
            on idle connections; closing those early makes their next request fail.
    """

    max_body_bytes: int = 8 * 1024 * 1024
    max_batch: int = 4096
    max_text_bytes: int = 256 * 1024
    timeout: float = 30.0
    workers: int = min(4, max(2, os.cpu_count() or 2))
    max_waiting: int = 1024
    max_connections: int = 1000
    max_calls: int = 4096
    header_timeout: float = 15.0
    idle_timeout: float = 75.0

    @property
    def max_held_bytes(self) -> int:
        """Bodies in memory, of requests that arrive, wait or are at work."""
        return max(256 * 1024 * 1024, 4 * self.max_body_bytes)
