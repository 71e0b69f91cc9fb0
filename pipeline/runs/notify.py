"""Tells a webhook and a command how a run has ended. Neither can fail the run, nor hold it up for long."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential

from pipeline.config.notification import WEBHOOK, Notify
from trainer.errors import DataRejected, KembarError
from trainer.undefined import values

_TRIES = 3
_TIMEOUT_SECONDS = 10.0
# For all tries together, however slowly a server answers; and for the command.
_LIMIT_SECONDS = 60.0
_LOG = logging.getLogger(__name__)


def notify(section: Notify, summary: dict[str, Any], report: Path | None = None) -> None:
    """Tells the webhook and the command of a run, if its status is one of `[notify] on`.

    What goes wrong is logged without URL, output or body, which may hold secrets.

    Args:
      section: The `[notify]` section.
      summary: What `summary.json` holds; `pipeline`, `status` and `reason` are enough.
      report: The run's report.
    """
    try:
        if summary["status"] not in section.on:
            return
        body = message(summary, report)
        url = os.environ.get(section.webhook)
        if url:
            _within(_LIMIT_SECONDS, "webhook", lambda: post(url, body, section.webhook))
        if section.command:
            run_command(section.command, body)
    except Exception as error:  # noqa: BLE001 - whatever it is, the run has ended as it has
        _LOG.error("notification: %s", type(error).__name__)


def notify_error(section: Notify, pipeline: str, error: BaseException) -> None:
    """Tells of a run that ended before there was a summary: a missing file, a database that is gone."""
    status = "data_rejected" if isinstance(error, DataRejected) else "failed"
    reason = str(error) if isinstance(error, KembarError) else type(error).__name__
    started = datetime.now(UTC).isoformat(timespec="seconds")
    notify(section, {"pipeline": pipeline, "status": status, "reason": reason, "started": started})


def message(summary: dict[str, Any], report: Path | None) -> dict[str, Any]:
    """Return the JSON that is sent; `text` alone is what chat services show."""
    return {
        "text": f"{summary['pipeline']}: {summary['status']}: {summary['reason']}",
        **{key: summary.get(key) for key in ("pipeline", "run_id", "status", "reason", "started", "seconds")},
        "version": summary.get("model", {}).get("version"),
        "metrics": values(summary.get("metrics", {})),
        "report": None if report is None else str(report),
    }


def post(url: str, body: dict[str, Any], variable: str = WEBHOOK) -> bool:
    """Posts JSON; whether it arrived. What goes wrong is logged without the URL."""
    if not url.startswith(("https://", "http://")):
        _LOG.error("webhook: the URL in %s begins neither with https:// nor with http://", variable)
        return False
    data = json.dumps(body, allow_nan=False).encode()
    tries = Retrying(
        stop=stop_after_attempt(_TRIES),
        wait=wait_exponential(multiplier=2),
        retry=retry_if_exception(_may_pass),
        reraise=True,
    )
    try:
        tries(_send, url, data)
    except urllib.error.HTTPError as error:
        _LOG.error("webhook: not delivered: answered %s", error.code)
        return False
    except Exception as error:  # noqa: BLE001 - OSError, ValueError, HTTPException; none with its text
        _LOG.error("webhook: not delivered: %s", type(error).__name__)
        return False
    return True


def _send(url: str, data: bytes) -> None:
    request = urllib.request.Request(  # noqa: S310 - `post` has checked the scheme
        url, data, {"Content-Type": "application/json"}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS):  # noqa: S310
            return
    except urllib.error.HTTPError as error:
        error.close()
        raise


def _may_pass(error: BaseException) -> bool:
    """True where a server may like it better the next time."""
    return not isinstance(error, urllib.error.HTTPError) or error.code >= 500


def run_command(command: tuple[str, ...], body: dict[str, Any]) -> bool:
    """Runs a program, without a shell and with the JSON on its input; whether it ended well and in time.

    What it prints goes nowhere: it knows secrets, and may print for ever.
    """
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        _LOG.error("command: %s could not be started: %s", command[0], type(error).__name__)
        return False
    try:
        process.communicate(json.dumps(body, allow_nan=False).encode(), timeout=_LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)  # its children too
        process.wait()
        _LOG.error("command: %s: stopped after %g s", command[0], _LIMIT_SECONDS)
        return False
    if process.returncode:
        _LOG.error("command: %s: exit status %d", command[0], process.returncode)
    return process.returncode == 0


def _within(seconds: float, what: str, work: Callable[[], object]) -> None:
    """Waits for `work` so long and no longer; a server can drip its answer for ever, a resolver think."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        _LOG.error("%s: no answer within %g s", what, seconds)
