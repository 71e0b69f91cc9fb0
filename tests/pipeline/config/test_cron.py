"""What a cron expression means: by a reading of its own, to systemd itself, and to APScheduler."""

from __future__ import annotations

import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.cron import Cron

BERLIN = ZoneInfo("Europe/Berlin")
needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


def times(text: str, start: datetime, count: int, timezone: str = "UTC") -> list[datetime]:
    """The next times by APScheduler's trigger."""
    trigger, found, now = Cron.parse(text).trigger(timezone), [], start
    for _ in range(count):
        fires = trigger.get_next_fire_time(found[-1] if found else None, now)
        found.append(fires)
        # Not in local time, whose sums know nothing of clocks that are put back.
        now = fires.astimezone(UTC) + timedelta(microseconds=1)
    return found


def systemd_times(lines: list[str], start: datetime, count: int) -> list[datetime]:
    """The next times by systemd's own calculation, all lines of a timer together."""
    command = [
        "systemd-analyze",
        "calendar",
        f"--iterations={count}",
        f"--base-time=@{start.timestamp():.0f}",
    ]
    found = set()
    for line in lines:
        said = subprocess.run([*command, line], capture_output=True, text=True, check=True, env={"TZ": "UTC"})
        for time in re.findall(r"(?:Next elapse|Iter\. #\d+): \w+ (.*) UTC$", said.stdout, re.MULTILINE):
            found.add(datetime.strptime(f"{time} +0000", "%Y-%m-%d %H:%M:%S %z"))
    return sorted(found)[:count]


def fits(cron: Cron, moment: datetime) -> bool:
    """As cron's manual says it."""
    second, minute, hour, day, month, weekday = cron.values
    by_day, by_weekday = moment.day in day, moment.isoweekday() % 7 in weekday
    return (
        moment.second in second
        and moment.minute in minute
        and moment.hour in hour
        and moment.month in month
        and (by_day or by_weekday if cron.either else by_day and by_weekday)
    )


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("0 3 * * *", ((0,), (0,), (3,), tuple(range(1, 32)), tuple(range(1, 13)), tuple(range(7)))),
        ("*/20 9-17/4 1,15 jan-mar ?", ((0,), (0, 20, 40), (9, 13, 17), (1, 15), (1, 2, 3), tuple(range(7)))),
        ("59 0 0 1 1 ?", ((59,), (0,), (0,), (1,), (1,), tuple(range(7)))),
        ("0 0 29 2 *", ((0,), (0,), (0,), (29,), (2,), tuple(range(7)))),
        ("30 0 0 * FEB Mon,5", ((30,), (0,), (0,), tuple(range(1, 32)), (2,), (1, 5))),
    ],
)
def test_the_values_of_an_expression(text, values):
    assert Cron.parse(text).values == values


@pytest.mark.parametrize(
    ("field", "weekdays"),
    [
        ("0", (0,)), ("7", (0,)), ("sun", (0,)), ("1-5", (1, 2, 3, 4, 5)), ("5-7", (0, 5, 6)),
        ("0-7", tuple(range(7))), ("fri-sun", (0, 5, 6)), ("*/2", (0, 2, 4, 6)), ("mon-fri/2", (1, 3, 5)),
        ("6,7", (0, 6)), ("*", tuple(range(7))),
    ],
)  # fmt: skip
def test_weekdays_begin_with_sunday_and_end_with_it_too(field, weekdays):
    assert Cron.parse(f"0 3 * * {field}").values[5] == weekdays


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 3 * *", "a cron expression has 5 fields"),
        ("60 0 3 * * *", "second '60': from 0 to 59"),
        ("60 3 * * *", "minute '60': from 0 to 59"),
        ("0 3 * * 8", "weekday '8': from 0 to 7"),
        ("0 3 0 * *", "day '0': from 1 to 31"),
        ("0 3 5-1 * *", "day '5-1': from 1 to 31, the lower first"),
        ("0 3 * mon *", "month 'mon': write a number"),
        ("0 3 * * 5L", "weekday '5l': write a number"),
        ("5/15 * * * *", "minute '5/15': write a number"),
        ("*/0 * * * *", "minute '\\*/0': write a number"),
        ("0,,5 * * * *", "minute '': write a number"),
        ("0 3 30 2 *", "no month that it names has such a day"),
        ("0 3 31 4,6,9,11 *", "no month that it names has such a day"),
    ],
)
def test_what_is_no_expression_is_named(text, message):
    with pytest.raises(ValueError, match=message):
        Cron.parse(text)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("0 3 * * *", ["*-*-* 03:00:00 UTC"]),
        ("*/15 * * * *", ["*-*-* *:00,15,30,45:00 UTC"]),
        ("* * * * * *", ["*-*-* *:*:* UTC"]),
        ("0 3 31 1,4 *", ["*-01,04-31 03:00:00 UTC"]),
        ("0 3 1,2,4-6,8 * *", ["*-*-01,02,04..06,08 03:00:00 UTC"]),
        ("0 3 13 * 0-6", ["*-*-* 03:00:00 UTC"]),
        ("0 3 * * 1-5", ["Mon,Tue,Wed,Thu,Fri *-*-* 03:00:00 UTC"]),
        ("0 3 * * 0", ["Sun *-*-* 03:00:00 UTC"]),
        ("0 3 13 * 5", ["*-*-13 03:00:00 UTC", "Fri *-*-* 03:00:00 UTC"]),
        ("0 3 */2 * 5", ["Fri *-*-01,03,05,07,09,11,13,15,17,19,21,23,25,27,29,31 03:00:00 UTC"]),
        ("0 3 1-31 * 5", ["*-*-* 03:00:00 UTC"]),
        ("0 3 30 2 5", ["Fri *-02-* 03:00:00 UTC"]),
        ("10 0 9-17 1 jan *", ["*-01-01 09..17:00:10 UTC"]),
    ],
)
def test_what_it_is_to_systemd(text, lines):
    assert Cron.parse(text).on_calendar("UTC") == lines


def test_what_it_is_to_cron_and_to_kubeflow():
    assert Cron.parse("0 3 ? * fri-sun").five_fields() == "0 3 * * 5-7"
    assert Cron.parse("0 3 */2 * MON").five_fields() == "0 3 */2 * 1"
    assert Cron.parse("0 3 * * *").six_fields() == "0 0 3 * * *"
    assert Cron.parse("0 3 * 2 1").six_fields() == "0 0 3 * 2 1"
    assert Cron.parse("30 0 3 * * 5-7").six_fields() == "30 0 3 * * 0,5,6"
    with pytest.raises(ValueError, match="cron knows no seconds"):
        Cron.parse("30 0 3 * * *").five_fields()


FIELD = {
    "minute": ["0", "30", "*/20", "5,50-52", "*"],
    "hour": ["*", "3", "1-4", "*/6", "22,23"],
    "day": ["*", "*/7", "13", "1,15", "28-31"],
    "month": ["*", "2", "jan,dec", "*/5", "3-10"],
    "weekday": ["*", "0", "7", "mon-fri", "5-7", "*/3", "sat"],
}
EXPRESSIONS = st.tuples(*map(st.sampled_from, FIELD.values())).map(" ".join)
STARTS = st.integers(0, 20 * 365 * 24 * 60).map(
    lambda n: datetime(2020, 1, 1, tzinfo=UTC) + timedelta(minutes=n)
)


@given(EXPRESSIONS, STARTS)
def test_apscheduler_fires_at_the_times_of_the_expression_and_at_no_other(text, start):
    cron = Cron.parse(text)
    *_, last = found = times(text, start, 3)
    assert all(fits(cron, moment) for moment in found)
    until = min(last, start + timedelta(days=2))
    minutes = (start + timedelta(minutes=n) for n in range((until - start) // timedelta(minutes=1)))
    assert [moment for moment in minutes if fits(cron, moment)] == [one for one in found if one < until]


@needs_systemd
@pytest.mark.parametrize(
    "text",
    [
        "0 3 * * *", "*/20 1-4 * * 0", "0 3 * * 7", "30 4 13 * 5", "0 0 1,15 * mon-fri",
        "5,50-52 */6 */7 * 5-7", "0 12 28-31 2 *", "0 12 29 2 sat", "15 10 0 * jan,dec *", "0 3 */2 * sun",
    ],
)  # fmt: skip
def test_systemd_and_apscheduler_agree(text):
    start = datetime(2026, 11, 25, 10, 0, 30, tzinfo=UTC)
    assert systemd_times(Cron.parse(text).on_calendar("UTC"), start, 8) == times(text, start, 8)


@needs_systemd
@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Asia/Kolkata"])
def test_the_time_zone_is_that_of_the_configuration(zone):
    start = datetime(2026, 7, 1, tzinfo=UTC)
    found = times("0 3 * * *", start, 2, zone)
    assert [moment.astimezone(ZoneInfo(zone)).hour for moment in found] == [3, 3]
    assert systemd_times(Cron.parse("0 3 * * *").on_calendar(zone), start, 2) == found


def in_berlin(text: str, *start: int) -> list[str]:
    found = times(text, datetime(*start, tzinfo=UTC), 3, "Europe/Berlin")  # type: ignore[misc]
    return [f"{moment:%d %H:%M %z}" for moment in (one.astimezone(UTC).astimezone(BERLIN) for one in found)]


def systemd_in_berlin(text: str, *start: int) -> list[str]:
    lines = Cron.parse(text).on_calendar("Europe/Berlin")
    found = systemd_times(lines, datetime(*start, tzinfo=UTC), 3)  # type: ignore[misc]
    return [f"{moment:%d %H:%M %z}" for moment in (one.astimezone(UTC).astimezone(BERLIN) for one in found)]


def test_a_time_that_the_clocks_leave_out_comes_an_hour_later():
    """In Berlin there is no 02:30 on 29 March 2026."""
    assert in_berlin("30 2 * * *", 2026, 3, 28, 12) == ["29 03:30 +0200", "30 02:30 +0200", "31 02:30 +0200"]
    assert in_berlin("0 * * * *", 2026, 3, 29, 0, 30) == [
        "29 03:00 +0200",
        "29 04:00 +0200",
        "29 05:00 +0200",
    ]


def test_a_time_that_comes_twice_is_taken_twice():
    """In Berlin 02:30 comes twice on 25 October 2026; the second `retrain` finds nothing to do."""
    assert in_berlin("30 2 * * *", 2026, 10, 24, 12) == ["25 02:30 +0200", "25 02:30 +0100", "26 02:30 +0100"]
    assert in_berlin("0 3 * * *", 2026, 10, 24, 12) == ["25 03:00 +0100", "26 03:00 +0100", "27 03:00 +0100"]


@needs_systemd
def test_systemd_leaves_out_the_one_and_takes_the_other_once():
    assert systemd_in_berlin("30 2 * * *", 2026, 3, 28, 12)[0] == "30 02:30 +0200"
    found = systemd_in_berlin("30 2 * * *", 2026, 10, 24, 12)
    assert found == ["25 02:30 +0200", "26 02:30 +0100", "27 02:30 +0100"]
