"""Errors that end a run without a served model.

KembarError
├── ConfigError      a key, value, path or column of the configuration is wrong      (exit 2)
│   └── SectionError it begins with its [section]; whoever knows the file names it before
├── DataRejected     the data as a whole cannot be used                              (exit 3)
└── ServingError     nothing is served, or it cannot be loaded                       (exit 1)
"""

from __future__ import annotations

import difflib
from collections.abc import Collection


class KembarError(Exception):
    """A failure with a message for the user: one line that names the place, the value and the fix."""

    exit_code = 1


class ConfigError(KembarError):
    """A wrong key, type, path or column, found before any component starts."""

    exit_code = 2


class SectionError(ConfigError):
    """A wrong value where the configuration's file is not known: the message begins with `[section]`."""


class DataRejected(KembarError):
    """The data as a whole cannot be used: too many bad rows, or anomalies against the schema."""

    exit_code = 3


class ServingError(KembarError):
    """No version is served, or the served one cannot be loaded or queried."""


def suggestion(name: str, known: Collection[str], otherwise: str) -> str:
    """Return the fix of a name that is not known: the nearest one that is, or else `otherwise`."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else otherwise
