"""A cron expression, and what it is to systemd, to cron and to APScheduler."""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from apscheduler.triggers.base import BaseTrigger

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
# Name, lowest and highest value of each field.
_FIELDS = (
    ("second", 0, 59),
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day", 1, 31),
    ("month", 1, 12),
    ("weekday", 0, 7),
)
# Values of each field when it leaves none out; 7 is Sunday once more.
_ALL = (60, 60, 24, 31, 12, 7)
_LEAP_YEAR = 2024
_PART = re.compile(r"(?:\*|(\d+)(?:-(\d+))?)(?:/(\d+))?")


@dataclass(frozen=True)
class Cron:
    """The times of a cron expression.

    Attributes:
      fields: Second to weekday, as numbers, `*`, `-`, `,` and `/`; Sunday is 0 or 7.
      values: The values that each field allows, ascending; Sunday is 0.
      either: Whether a date fits when its day or its weekday does, as it is when neither field begins with
        `*`; else both have to fit.
    """

    fields: tuple[str, ...]
    values: tuple[tuple[int, ...], ...]
    either: bool

    @classmethod
    def parse(cls, text: str) -> Cron:
        """Reads an expression of five fields (minute hour day month weekday), or six with seconds first.

        Raises:
          ValueError: it is none, or no date ever fits.
        """
        written = text.split()
        if len(written) not in (5, 6):
            raise ValueError(
                "a cron expression has 5 fields (minute hour day month weekday), or 6 with seconds first"
            )
        if len(written) == 5:
            written = ["0", *written]
        written[4:] = _numbered(written[4], _MONTHS, 1), _numbered(written[5], _WEEKDAYS, 0)
        fields = tuple("*" if field == "?" else field for field in written)
        values = tuple(_values(*about, field) for about, field in zip(_FIELDS, fields, strict=True))
        cron = cls(fields, values, not fields[3].startswith("*") and not fields[5].startswith("*"))
        if not cron.either and not cron.has_day:
            raise ValueError("no month that it names has such a day")
        return cron

    @property
    def has_day(self) -> bool:
        """True where any of the days is in any of the months: the 30th is never in February."""
        return min(self.values[3]) <= max(
            calendar.monthrange(_LEAP_YEAR, month)[1] for month in self.values[4]
        )

    def on_calendar(self, timezone: str) -> list[str]:
        """The times as systemd's OnCalendar has them: two lines where a date may fit in either way."""
        every = [len(values) == count for values, count in zip(self.values, _ALL, strict=True)]
        second, minute, hour, day, month, _ = map(_dotted, self.values, every)
        names = ",".join(_WEEKDAYS[number].capitalize() for number in self.values[5])
        by_day = f"*-{month}-{day} {hour}:{minute}:{second} {timezone}"
        every_day = f"*-{month}-* {hour}:{minute}:{second} {timezone}"
        if not self.either:
            return [by_day if every[5] else f"{names} {by_day}"]
        if every[5] or every[3]:
            return [every_day]
        return [*([by_day] if self.has_day else []), f"{names} {every_day}"]

    def trigger(self, timezone: str) -> BaseTrigger:
        """The times as APScheduler has them. Weekdays go by name: to APScheduler 0 is Monday."""
        from apscheduler.triggers.combining import OrTrigger
        from apscheduler.triggers.cron import CronTrigger

        zone = ZoneInfo(timezone)
        second, minute, hour, day, month = (",".join(map(str, values)) for values in self.values[:5])
        weekday = ",".join(_WEEKDAYS[number] for number in self.values[5])
        common = {"second": second, "minute": minute, "hour": hour, "month": month, "timezone": zone}
        if not self.either:
            return CronTrigger(day=day, day_of_week=weekday, **common)
        by_weekday = CronTrigger(day_of_week=weekday, **common)
        return OrTrigger([CronTrigger(day=day, **common), by_weekday]) if self.has_day else by_weekday

    def five_fields(self) -> str:
        """The expression as cron takes it.

        Raises:
          ValueError: cron knows no seconds.
        """
        if self.values[0] != (0,):
            raise ValueError("cron knows no seconds: leave out the first of the six fields, or make it 0")
        return " ".join(self.fields[1:])

    def six_fields(self) -> str:
        """The expression as Kubeflow Pipelines takes it, to which Sunday is never 7."""
        weekday = ",".join(map(str, self.values[5])) if "7" in self.fields[5] else self.fields[5]
        return " ".join((*self.fields[:5], weekday))


def _numbered(field: str, names: tuple[str, ...], first: int) -> str:
    """A field with numbers for names; a range may end with Sunday."""
    field = field.lower()
    for number, name in enumerate(names, first):
        field = re.sub(rf"\b{name}\b", str(number), field)
    return re.sub(r"\b([1-6])-0\b", r"\1-7", field)


def _values(name: str, low: int, high: int, field: str) -> tuple[int, ...]:
    numbers: set[int] = set()
    for part in field.split(","):
        match = _PART.fullmatch(part)
        if match is None or (match[3] and match[1] and not match[2]) or (match[3] and not int(match[3])):
            raise ValueError(
                f"{name} {part!r}: write a number, a range such as 1-5, or either with a step: */15, 0-30/5"
            )
        first = low if match[1] is None else int(match[1])
        last = high if match[1] is None else int(match[2] or match[1])
        if not low <= first <= last <= high:
            raise ValueError(f"{name} {part!r}: from {low} to {high}, the lower first")
        step = int(match[3] or 1)
        numbers.update(range(first, last + 1, step))
    return tuple(sorted({0 if name == "weekday" and value == 7 else value for value in numbers}))


def _dotted(values: tuple[int, ...], every: bool) -> str:
    """Numbers in systemd's way: runs of three and more as a range."""
    if every:
        return "*"
    runs: list[list[int]] = []
    for value in values:
        if runs and value == runs[-1][-1] + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    return ",".join(
        f"{run[0]:02}..{run[-1]:02}" if len(run) > 2 else ",".join(f"{value:02}" for value in run)
        for run in runs
    )
