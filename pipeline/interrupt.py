"""A signal ends a run as an error does: by an exception, with a summary that says so."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_raised: Interrupted | None = None


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
def handled(handler: Callable[[int, object], object]) -> Iterator[None]:
    """Give the signals that end a command to `handler` while the block runs, in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.signal(number, handler) for number in not_ignored()}
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)


@contextmanager
def interruptible() -> Iterator[None]:
    """Raises `Interrupted` where the block is when a signal comes; a second one ends the process at once."""
    global _raised

    def interrupt(number: int, _: object) -> NoReturn:
        global _raised
        for each in not_ignored():
            signal.signal(each, signal.SIG_DFL)
        _raised = Interrupted(number)
        raise _raised

    try:
        with handled(interrupt):
            yield
    finally:
        _raised = None


def raise_again() -> None:
    """Raises what a library has taken for an error of its own since, as Beam's workers do with all they meet.

    Raises:
      Interrupted: a signal has come in `interruptible`.
    """
    if _raised is not None:
        raise _raised
