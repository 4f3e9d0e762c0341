"""The times of a cron expression are those at which Debian's cron would run it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from itertools import islice

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from connector_pipeline.automation.cron_times import CronTimes
from connector_pipeline.settings import SettingsError, load_settings

MINUTE = timedelta(minutes=1)
WALK = 2 * 24 * 60
DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "now", "before_last", "last", "coming"),
    [
        ("0 * * * *", "2026-03-01T12", "2026-03-01T11", "2026-03-01T12", "2026-03-01T13"),
        ("0 * * * *", "2026-03-01T12:59", "2026-03-01T11", "2026-03-01T12", "2026-03-01T13"),
        ("0 2 * * *", "2026-03-01T12", "2026-02-28T02", "2026-03-01T02", "2026-03-02T02"),
        ("0 0 29 2 *", "2026-01-01", "2020-02-29", "2024-02-29", "2028-02-29"),
        # If both day fields are restricted, either one suffices: the 1st, and Mondays.
        ("0 0 1 * MON", "2026-06-02", "2026-05-25", "2026-06-01", "2026-06-08"),
        ("0 0 1 * MON", "2026-09-02", "2026-08-31", "2026-09-01", "2026-09-07"),
        # If one day field begins with a star, both must match: Mondays of an odd date.
        ("0 0 */2 * MON", "2026-06-02", "2026-05-25", "2026-06-01", "2026-06-15"),
    ],
)
def test_the_times_of_a_cron(cron: str, now: str, before_last: str, last: str, coming: str) -> None:
    """The last time may be now, and the next one may not."""
    expected = CronTimes(at(before_last), at(last), at(coming))
    assert CronTimes.around(cron, at(now)) == expected


def test_a_cron_is_read_in_utc_wherever_now_was_read() -> None:
    """It is exact to the second: the last time may be a moment ago, the next one in a moment."""
    noon = at("2026-03-01T12:00")
    elsewhere = timezone(timedelta(hours=5, minutes=30))
    just_after = noon.astimezone(elsewhere) + timedelta(microseconds=1)
    just_before = noon.astimezone(elsewhere) - timedelta(microseconds=1)
    assert CronTimes.around("0 12 * * *", just_after).last == noon
    assert CronTimes.around("0 12 * * *", just_before).next == noon


def terms(first: int, last: int, names: tuple[str, ...] = ()) -> st.SearchStrategy[str]:
    """A strategy for a field of numbers, names, ranges, steps, and lists of these."""

    def named(number: int) -> st.SearchStrategy[str]:
        there = number - first < len(names)
        return st.sampled_from((str(number), names[number - first]) if there else (str(number),))

    numbers = st.integers(first, last)
    # A range of two numbers at least: cronsim 2.8 reads 3-3/2 like 3/2, as 3, 5, 7 and so on.
    ends = st.lists(numbers, min_size=2, max_size=2, unique=True).map(sorted)
    ranges = ends.flatmap(lambda ends: st.tuples(named(ends[0]), named(ends[1]))).map("-".join)
    steps = st.integers(1, last).map(lambda step: f"/{step}") | st.just("")
    one = numbers.flatmap(named) | st.tuples(ranges, steps).map("".join)
    star = steps.map(lambda step: f"*{step}")
    return star | st.lists(one, min_size=1, max_size=3).map(",".join)


def members(field: str, first: int, last: int, names: tuple[str, ...] = ()) -> set[int]:
    """The numbers that a field of `terms` names."""

    def number(text: str) -> int:
        return names.index(text) + first if text in names else int(text)

    found: set[int] = set()
    for term in field.split(","):
        span, _, step = term.partition("/")
        begin, _, end = span.partition("-")
        numbers = (
            range(first, last + 1)
            if span == "*"
            else range(number(begin), number(end or begin) + 1)
        )
        found.update(numbers[:: int(step or 1)])
    return found


@dataclass(frozen=True)
class Read:
    """The values that the fields of a cron name;

    Sunday is 0. `both`: date and weekday must match.
    """

    minutes: set[int]
    hours: set[int]
    days: set[int]
    months: set[int]
    weekdays: set[int]
    both: bool


@cache
def read(cron: str) -> Read:
    """Read a cron expression as Debian's cron does."""
    minutes, hours, days, months, weekdays = cron.split()
    return Read(
        members(minutes, 0, 59),
        members(hours, 0, 23),
        members(days, 1, 31),
        members(months, 1, 12, MONTHS),
        {day % 7 for day in members(weekdays, 0, 7, DAYS)},
        both=days.startswith("*") or weekdays.startswith("*"),
    )


def is_due(cron: str, minute: datetime) -> bool:
    """Whether the expression is due at this minute."""
    due = read(cron)
    if (
        minute.minute not in due.minutes
        or minute.hour not in due.hours
        or minute.month not in due.months
    ):
        return False
    that_date = minute.day in due.days
    that_day = minute.isoweekday() % 7 in due.weekdays
    return that_date and that_day if due.both else that_date or that_day


def is_ever_due(cron: str) -> bool:
    """Whether the expression is due on any day: the calendar repeats itself after 28 years."""
    first = timedelta(hours=min(read(cron).hours), minutes=min(read(cron).minutes))
    midnights = (at("2020-01-01") + timedelta(days=number) for number in range(28 * 366))
    return any(is_due(cron, midnight + first) for midnight in midnights)


CRONS = st.tuples(
    terms(0, 59), terms(0, 23), terms(1, 31), terms(1, 12, MONTHS), terms(0, 7, DAYS)
).map(" ".join)
SECONDS = st.integers(0, 20 * 365 * 86_400).map(lambda number: timedelta(seconds=number))


@given(cron=CRONS, now=SECONDS.map(lambda after: at("2020-01-01") + after))
def test_a_walk_over_the_minutes_finds_the_same_times(cron: str, now: datetime) -> None:
    """It finds no other times, and none fewer, within two days before and after."""
    assume(is_ever_due(cron))
    times = CronTimes.around(cron, now)
    minute = now.replace(second=0)
    past = [minute - back * MINUTE for back in range(WALK)]
    coming = [minute + ahead * MINUTE for ahead in range(1, WALK)]
    assert [time for time in (times.last, times.before_last) if time >= past[-1]] == list(
        islice((time for time in past if is_due(cron, time)), 2)
    )
    assert [time for time in (times.next,) if time <= coming[-1]] == list(
        islice((time for time in coming if is_due(cron, time)), 1)
    )


@given(cron=CRONS)
@example("0 0 31 4,6 *")
@example("0 0 29-31 2 *")
def test_a_cron_is_accepted_if_it_is_ever_due(cron: str) -> None:
    """A sweep on the 31st of April would never come, and nobody would notice."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SYNC_CRON", cron)
        if is_ever_due(cron):
            assert load_settings().sync_cron == cron
        else:
            with pytest.raises(SettingsError, match="SYNC_CRON: must be a cron expression"):
                load_settings()
