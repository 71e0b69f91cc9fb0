"""The door to the command line, `kembar` or `python -m pipeline`."""

from __future__ import annotations

import signal


def main() -> None:
    """Runs a command and leaves with its exit code.

    The import takes a second or two. Ctrl-C in it ends the process as the signal does, without a traceback.
    """
    interrupt = signal.getsignal(signal.SIGINT)
    if interrupt is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from pipeline import cli

    signal.signal(signal.SIGINT, interrupt)
    cli.main()


if __name__ == "__main__":
    main()
