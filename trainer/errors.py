"""Errors that end a run without a served model.

KembarError
├── ConfigError      a key, value, path or column of the configuration is wrong      (exit 2)
├── DataRejected     the data as a whole cannot be used                              (exit 3)
└── ServingError     nothing is served, or it cannot be loaded                       (exit 1)
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class KembarError(Exception):
    """A failure with a message for the user: one line that names the place, the value and the fix."""

    exit_code = 1


class ConfigError(KembarError):
    """A wrong key, type, path or column, found before any component starts."""

    exit_code = 2


class DataRejected(KembarError):
    """The data as a whole cannot be used: too many bad rows, or anomalies against the schema."""

    exit_code = 3


class ServingError(KembarError):
    """No version is served, or the served one cannot be loaded or queried."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Advice that names the known one which is most like `name`; empty where none is."""
    return "".join(f"did you mean {near!r}?" for near in difflib.get_close_matches(name, known, n=1))
