"""The `[serving]` section: what the gate and the pusher read, and what `kembar serve` does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from components.serving_gate.check import Deployment
from pipeline.serving.limits import RequestLimits
from pipeline.serving.request_log import RequestLog


def _own(default: Any, **more: Any) -> Any:
    """A key that only the server reads: the gate, which is told the section as JSON, is not told this one."""
    return Field(default, exclude=True, **more)


class Serving(Deployment):
    """Where versions stand, what the gate allows, and what the embedded server allows and logs."""

    request_log: Path | None = _own(None, description="folder that a sample of the requests is logged to")
    sample: Annotated[float, Field(ge=0, le=1)] = _own(1.0, description="share of the requests to log")
    texts: Literal["hash", "keep"] = _own("hash", description="how texts are logged")
    max_body_bytes: PositiveInt = _own(RequestLimits.max_body_bytes)
    max_batch: PositiveInt = _own(RequestLimits.max_batch)
    max_text_bytes: PositiveInt = _own(RequestLimits.max_text_bytes)
    timeout: PositiveFloat = _own(RequestLimits.timeout)

    @property
    def limits(self) -> RequestLimits:
        """The limits on the requests of one client of the embedded server."""
        return RequestLimits(
            max_body_bytes=self.max_body_bytes,
            max_batch=self.max_batch,
            max_text_bytes=self.max_text_bytes,
            timeout=self.timeout,
        )

    def open_log(self) -> RequestLog | None:
        """The request log, if one is configured; only a server opens it."""
        if self.request_log is None:
            return None
        return RequestLog(self.request_log, self.sample, self.texts == "keep")
