"""What a person sees: progress by component and epoch. What libraries print goes to a log file."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.table import Table

from pipeline.scratch import scratch

# What these say is shown: training by epoch, versions that come and go, a webhook that does not answer.
_SHOWN = ("kembar.progress", "pipeline.serving", "pipeline.notify")
# Rich wraps at the width of the terminal; a log file must not be wrapped.
_WIDE = 200


class Terminal:
    """The command's own stdout and stderr, kept while file descriptors 1 and 2 go elsewhere."""

    def __init__(self) -> None:
        self.out: TextIO = os.fdopen(os.dup(1), "w", buffering=1)
        self._err: TextIO = os.fdopen(os.dup(2), "w", buffering=1)
        self.console = _console(self._err, soft_wrap=True)

    def say(self, text: str) -> None:
        """One line of progress."""
        self.console.print(text)

    def result(self, text: str) -> None:
        """One line of what was asked for, on stdout."""
        print(text, file=self.out, flush=True)

    def table(self, table: Table) -> None:
        """A table of what was asked for, on stdout; not cut where there is no terminal."""
        _console(self.out).print(table)

    @contextmanager
    def noise_to(self, log: Path) -> Iterator[None]:
        """Sends what anybody prints to stdout or stderr, C++ libraries too, to the file `log`.

        There may be texts in it: its owner alone can read it. Where its folder cannot be written, nothing is
        kept. What libraries leave in the temporary folder goes at the end.
        """
        sys.stdout.flush()
        sys.stderr.flush()
        kept = os.dup(1), os.dup(2)
        file = self._open_log(log)
        os.dup2(file, 1)
        os.dup2(file, 2)
        os.close(file)
        handler = _Lines(self)
        shown = [logging.getLogger(name) for name in _SHOWN]
        for logger in shown:
            logger.addHandler(handler)
            logger.setLevel(logging.INFO)
        try:
            with scratch(None if log == Path(os.devnull) else log.parent):
                yield
        finally:
            for logger in shown:
                logger.removeHandler(handler)
            sys.stdout.flush()
            sys.stderr.flush()
            for number, saved in zip((1, 2), kept, strict=True):
                os.dup2(saved, number)
                os.close(saved)

    def _open_log(self, log: Path) -> int:
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        except OSError as error:
            self.say(f"warning: {log}: {error.strerror}: no log is kept")
            return os.open(os.devnull, os.O_WRONLY)
        with suppress(OSError):  # one of an older Kembar, which others could read
            os.fchmod(file, 0o600)
        return file


def progress_to_stdout() -> None:
    """Sends the lines of progress to stdout: for a process whose whole output is a log, as a container's."""
    for name in _SHOWN:
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        logger.addHandler(logging.StreamHandler(sys.stdout))
        logger.propagate = False


def _console(file: TextIO, soft_wrap: bool = False) -> Console:
    # Reasons, names and paths are shown as they are: "[red]" is no colour in them, and ":tada:" no picture.
    return Console(
        file=file,
        width=None if file.isatty() else _WIDE,
        soft_wrap=soft_wrap,
        markup=False,
        emoji=False,
        highlight=False,
    )


class _Lines(logging.Handler):
    def __init__(self, terminal: Terminal) -> None:
        super().__init__()
        self._terminal = terminal

    def emit(self, record: logging.LogRecord) -> None:
        self._terminal.say(f"        {record.getMessage()}")
