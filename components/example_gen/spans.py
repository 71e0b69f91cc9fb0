"""Data that comes in spans: one file, or several, for each number or each day."""

from __future__ import annotations

import glob
import os
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PositiveFloat, PositiveInt

from trainer.errors import ConfigError
from trainer.section import IS_PATH, Section

SPAN = "{SPAN}"
DAY = ("{YYYY}", "{MM}", "{DD}")
# Custom property by which the examples of a span tell which files they are of.
FILES = "files"
_EPOCH = date(1970, 1, 1)
_FIELDS = {SPAN: "[0-9]+", "{YYYY}": "[0-9]{4}", "{MM}": "[0-9]{2}", "{DD}": "[0-9]{2}"}
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def _seconds(written: object) -> object:
    """`"90m"` as a timedelta."""
    if not isinstance(written, str):
        return written
    match = re.fullmatch(r"(\d+)\s*([smhd])", written.strip())
    if match is None:
        raise ValueError("write a duration as a number and s, m, h or d, such as '90m' or '30d'")
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])


Duration = Annotated[timedelta, BeforeValidator(_seconds)]


def check_pattern(pattern: str) -> str:
    """The pattern itself.

    Raises:
      ValueError: it names neither a number nor a day.
    """
    days = [name in pattern for name in DAY]
    if any(days) and not all(days):
        raise ValueError(f"a day has {', '.join(DAY)}: name all three, or {SPAN}")
    if any(days) == (SPAN in pattern):
        raise ValueError(f"name the span by {SPAN}, or the day by {', '.join(DAY)}")
    return pattern


Pattern = Annotated[str, AfterValidator(check_pattern), IS_PATH]


class Spans(Section):
    """The `[data.spans]` section: which spans are trained on together, and when one is complete."""

    window: PositiveInt | Literal["all"] = Field(
        "all", description="the newest spans that a model is trained and evaluated on"
    )
    half_life: PositiveFloat | None = Field(
        None, description="spans back at which a row counts half in training; none: all count the same"
    )
    marker: Pattern | None = Field(
        None, description="a file that says that a span is complete, such as 'data/{SPAN}.done'"
    )
    min_age: Duration = Field(timedelta(0), description="time since a span's files were changed last")


@dataclass(frozen=True)
class Carry:
    """The ties of one span's examples to those of other spans."""

    span: int
    fingerprint: str
    """of the span's files"""
    oldest: int
    """texts that were seen last in a span before this one are forgotten"""
    earlier: str
    """the artifact of the span that was accepted before, or nothing"""
    spans: dict[str, int] = field(default_factory=dict)
    """artifacts of the spans whose texts are remembered, each with its number"""


@dataclass(frozen=True)
class Span:
    """One span as it lies on disk."""

    number: int
    """as in the file's name; of a day, the days since 1970-01-01"""
    files: tuple[Path, ...]
    fingerprint: str
    """names, sizes and times of the files: what changes with the data"""
    waiting: str = ""
    """why it is not complete yet, or nothing"""


def name(number: int, pattern: str) -> str:
    """The span in words: its number, or its day."""
    return str(number) if SPAN in pattern else (_EPOCH + timedelta(number)).isoformat()


def find(pattern: str, spans: Spans, now: float | None = None) -> list[Span]:
    """All spans that are on disk, by number.

    Raises:
      ConfigError: a file has the form of a day that no calendar has.
    """
    at = time.time() if now is None else now
    files: dict[int, list[Path]] = {}
    written: dict[int, set[str]] = {}
    for path in glob.glob(_for_glob(pattern)):
        match = _regex(pattern).fullmatch(path)
        if match is not None and os.path.isfile(path):
            number = _number(match, path)
            files.setdefault(number, []).append(Path(path))
            written.setdefault(number, set()).add(match.groupdict().get("SPAN", str(number)))
    waiting = {number: _waiting(number, written[number], paths, spans, at) for number, paths in files.items()}
    return [
        Span(number, tuple(sorted(paths)), fingerprint(paths), waiting[number])
        for number, paths in sorted(files.items())
    ]


def fingerprint(files: Iterable[Path]) -> str:
    """Name, size and time of the last change of each file, as text."""
    states = [(path.name, path.stat()) for path in sorted(files)]
    return ",".join(f"{name}:{state.st_size}:{state.st_mtime_ns}" for name, state in states)


def missing(numbers: Iterable[int]) -> list[int]:
    """The numbers that lack between the first and the last."""
    present = sorted(set(numbers))
    return [] if not present else sorted(set(range(present[0], present[-1] + 1)) - set(present))


def _for_glob(pattern: str) -> str:
    """Brackets stand for themselves, in folders as in names: of all signs only `*` and `?` have a meaning."""
    return re.sub("|".join(map(re.escape, _FIELDS)), "*", pattern.replace("[", "[[]"))


def _regex(pattern: str) -> re.Pattern[str]:
    """The pattern's own `*` and `?` stand for what they stand for in a shell."""
    parts, groups = [], set()
    for part in re.split(r"(\{[A-Z]+\}|[*?])", pattern):
        if part in _FIELDS:
            key = part.strip("{}")
            parts.append(f"(?P={key})" if key in groups else f"(?P<{key}>{_FIELDS[part]})")
            groups.add(key)
        else:
            parts.append({"*": "[^/]*", "?": "[^/]"}.get(part, re.escape(part)))
    return re.compile("".join(parts))


def _number(match: re.Match[str], path: str) -> int:
    fields = match.groupdict()
    if "SPAN" in fields:
        return int(fields["SPAN"])
    try:
        return (date(int(fields["YYYY"]), int(fields["MM"]), int(fields["DD"])) - _EPOCH).days
    except ValueError as error:
        raise ConfigError(f"{path}: the name of the file is no day: {error}: rename or remove it") from None


def _waiting(number: int, written: set[str], files: list[Path], spans: Spans, now: float) -> str:
    if spans.marker is not None:
        # With the zeros before the number that the files' names have, or with none.
        markers = [_fill(spans.marker, number, spelling) for spelling in (*sorted(written), str(number))]
        if not any(map(os.path.exists, markers)):
            return f"{markers[0]} is not there"
    if spans.min_age:
        ready = max(path.stat().st_mtime for path in files) + spans.min_age.total_seconds()
        if now < ready:
            at = f"{datetime.fromtimestamp(ready, UTC):%Y-%m-%d %H:%M} UTC"
            return f"changed less than {spans.min_age} ago, complete at {at}"
    return ""


def _fill(pattern: str, number: int, written: str) -> str:
    day = _EPOCH + timedelta(number) if SPAN not in pattern else _EPOCH
    for key, value in zip((SPAN, *DAY), (written, f"{day:%Y}", f"{day:%m}", f"{day:%d}"), strict=True):
        pattern = pattern.replace(key, value)
    return pattern
