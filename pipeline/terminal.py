"""The output of a command: progress by component and epoch. What libraries print goes to a log file."""

from __future__ import annotations

import logging
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.scratch import scratch

# What these say is shown: training by epoch, versions that come and go, a webhook that does not answer.
_SHOWN = ("kembar.progress", "pipeline.serving", "pipeline.runs.notify")
# Rich wraps at the width of the terminal; what a script or a log gets must not be wrapped.
_WIDE = 100_000
# What moves the cursor, changes colours, ends a line or turns the direction of writing: controls of ASCII and
# of ISO 6429, line and paragraph separators, marks and overrides of direction, halves of surrogate pairs.
_CONTROLS = (
    *range(0x20), *range(0x7F, 0xA0), 0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A),
    *range(0xD800, 0xE000),
)  # fmt: skip
UNPRINTABLE = {code: f"\\u{code:04x}" for code in _CONTROLS}
_SHORT = {ord("\t"): "\\t", ord("\n"): "\\n", ord("\r"): "\\r"}
_ESCAPES = {**UNPRINTABLE, **_SHORT}
_LINES_KEPT = {code: shown for code, shown in _ESCAPES.items() if chr(code) not in "\t\n"}


def printable(text: str, lines: bool = False) -> str:
    """Text that a terminal shows as it is: escapes, as JSON and TOML have them, for control characters.

    Args:
      text: Words of a command, and among them whatever a file holds.
      lines: Whether line ends and tabs stay.
    """
    return text.translate(_LINES_KEPT if lines else _ESCAPES)


class Terminal:
    """The command's own stdout and stderr, kept while file descriptors 1 and 2 go elsewhere."""

    def __init__(self) -> None:
        self.out: TextIO = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
        self._err: TextIO = os.fdopen(os.dup(2), "w", buffering=1, encoding="utf-8")
        self.console = _console(self._err, soft_wrap=True)

    def say(self, text: str) -> None:
        """One line of progress."""
        self.console.print(text)

    def result(self, text: str) -> None:
        """The result of a command, on stdout."""
        print(printable(text, lines=True), file=self.out, flush=True)

    def table(self, table: Table) -> None:
        """A table of what was asked for, on stdout; not cut where there is no terminal."""
        _console(self.out).print(table)

    @contextmanager
    def progress(self) -> Iterator[Callable[[str], None]]:
        """Gives what shows on one passing line how far the work is; nothing where there is no terminal."""
        if not self.console.is_terminal:
            yield lambda text: None
            return
        with self.console.status("") as status:
            yield lambda text: status.update(Text(printable(text)))

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
        if stat.S_ISREG(os.fstat(file).st_mode):  # /dev/null stays everybody's
            with suppress(OSError):  # one of an older Kembar, which others could read
                os.fchmod(file, 0o600)
        return file


def progress_to_stdout() -> None:
    """Sends the lines of progress to stdout: for a process whose whole output is a log, as a container's."""
    for name in _SHOWN:
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(_Printable())
        logger.addHandler(handler)
        logger.propagate = False


class _Printable(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record), lines=True)


class _Console(Console):
    """A console for other people's words, in lines and in the cells of tables."""

    def render_str(self, text: str, **options: Any) -> Text:
        """As rich does it, without the control characters."""
        return super().render_str(printable(text), **options)

    def on_broken_pipe(self) -> None:
        """Leaves the end to the command."""
        raise BrokenPipeError


def _console(file: TextIO, soft_wrap: bool = False) -> Console:
    # Reasons, names and paths are shown as they are: "[red]" is no colour in them, and ":tada:" no picture.
    return _Console(
        file=file,
        width=None if file.isatty() else _WIDE,
        force_terminal=None if file.isatty() else False,  # whatever FORCE_COLOR says
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
