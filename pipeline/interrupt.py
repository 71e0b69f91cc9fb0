"""A signal ends a run as an error does: by an exception, with a summary that says so."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """A signal came. No handler of errors takes it for one of its own.

    Attributes:
      exit_code: 128 and the signal's number, as shells have it.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"{signal.Signals(number).name}: the next run goes on from what is done")
        self.exit_code = 128 + number


def not_ignored() -> list[signal.Signals]:
    """The signals that end a command, but those that are ignored, as SIGHUP is under nohup."""
    return [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]


@contextmanager
def interruptible() -> Iterator[None]:
    """Raises `Interrupted` where the block is when a signal comes; a second one ends the process at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.getsignal(number) for number in not_ignored()}

    def interrupt(number: int, _: object) -> NoReturn:
        for each in previous:
            signal.signal(each, signal.SIG_DFL)
        raise Interrupted(number)

    for number in previous:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
