"""`kembar schedule run`: the schedule as a process in the foreground, for a container."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from pipeline.config.cron import Cron
from pipeline.interrupt import SIGNALS
from pipeline.terminal import printable
from trainer.errors import ConfigError
from trainer.files import replace_file

# When the last call ended, for the loop that comes after this one.
STATE = "schedule.json"
# What a run that is told to end is waited for; a cluster kills all after 30 s unless told otherwise.
_GRACE_SECONDS = 20
_MEANING = {
    0: "pushed, or unchanged",
    1: "failed",
    2: "wrong configuration",
    3: "data rejected",
    4: "not served",
    5: "another run is at work",
    **{128 + number: f"interrupted by {number.name}" for number in SIGNALS},
}


class Loop:
    """Calls a command at the times of a cron expression, one call at a time, until it is told to stop.

    A time that comes while a call is at work is passed over, as systemd and cron pass it over. Times that
    were missed because no loop was there are made up for by one call, as soon as there is one again.
    """

    def __init__(
        self, command: tuple[str, ...], cron: str, timezone: str, state: Path, say: Callable[[str], None]
    ) -> None:
        self._command = command
        self._trigger = Cron.parse(cron).trigger(timezone)
        self._state = state
        self._say = say
        self._stopped = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def run(self) -> None:
        """Calls until `stop`. What the command prints is passed on, and how it ends never ends the loop."""
        scheduler = BackgroundScheduler(executors={"default": ThreadPoolExecutor(1)}, timezone=UTC)
        scheduler.add_job(
            self._call,
            self._trigger,
            max_instances=1,
            coalesce=True,
            misfire_grace_time=None,  # late is better than never: a laptop that slept
            next_run_time=self._first(),
        )
        scheduler.start()
        self._stopped.wait()
        scheduler.shutdown(wait=False)
        self._end_child()

    def stop(self) -> None:
        """Ends the loop, and the call that is at work."""
        self._stopped.set()

    def _first(self) -> datetime:
        """The first time to call at: now, if one was missed since the last call of any loop."""
        now = datetime.now(UTC)
        last = self._last_call()
        if last is None:
            self._remember(now)  # what comes before the first loop was never missed
            last = now
        due = self._trigger.get_next_fire_time(None, last)
        if due is None:
            raise ConfigError("[schedule] cron: no time is left at which it fits")
        if due <= now:
            self._say(f"missed {_shown(due)}: made up for now")
            return now
        self._say(f"first at {_shown(due)}")
        return due

    def _call(self) -> None:
        started = time.monotonic()
        try:
            with self._lock:
                if self._stopped.is_set():
                    return
                self._child = subprocess.Popen(self._command, stdin=subprocess.DEVNULL)
            status = self._child.wait()
        except OSError as error:
            self._say(f"{self._command[0]} could not be started: {error}")
            return
        finally:
            self._child = None
            if not self._stopped.is_set():  # else the call was cut short: the next loop makes up for it
                self._remember(datetime.now(UTC))
        meaning = f"signal {-status}" if status < 0 else _MEANING.get(status, "not known")
        upcoming = self._trigger.get_next_fire_time(None, datetime.now(UTC))
        self._say(
            f"exit code {status} ({meaning}) after {time.monotonic() - started:.0f} s, "
            f"next at {_shown(upcoming)}"
        )

    def _end_child(self) -> None:
        with self._lock:
            child = self._child
        if child is None:
            return
        self._say(f"ends process {child.pid}, which is at work")
        child.terminate()
        try:
            child.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()  # nothing is lost: the next run goes on from what is done
            child.wait()

    def _last_call(self) -> datetime | None:
        try:
            moment = datetime.fromisoformat(json.loads(self._state.read_text())["called"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return None if moment.tzinfo is None else min(moment, datetime.now(UTC))

    def _remember(self, moment: datetime) -> None:
        try:
            self._state.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self._state, json.dumps({"called": moment.isoformat()}))
        except OSError as error:
            self._say(f"warning: {self._state}: {error.strerror}: missed times will not be known")


def say(text: str) -> None:
    """One line of the loop's own among those of the runs."""
    sys.stderr.write(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} kembar schedule: {printable(text)}\n")
    sys.stderr.flush()


def _shown(moment: datetime | None) -> str:
    # By way of UTC: a time that the clocks leave out is shown as the one that it is.
    return "no time" if moment is None else moment.astimezone(UTC).astimezone(moment.tzinfo).isoformat()
