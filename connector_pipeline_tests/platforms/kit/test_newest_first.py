"""What is news in a list that comes newest first: each change once, and none is lost."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from connector_pipeline.platforms.kit.newest_first import Remembered, Row, news

BEGIN = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
OVERLAP = timedelta(minutes=10)


def at(minutes: float) -> datetime:
    return BEGIN + timedelta(minutes=minutes)


def test_a_change_that_shows_late_is_news_and_what_was_seen_is_not() -> None:
    """A search lags: a change of before the newest known one may appear after it."""
    first = news([("2", at(5))], more=False, before=Remembered(newest=BEGIN), overlap=OVERLAP)
    assert first.changed == [("2", at(5))]
    rows = [("2", at(5)), ("1", at(3))]
    second = news(rows, more=False, before=first.after, overlap=OVERLAP)
    assert second.changed == [("1", at(3))]
    third = news(rows, more=False, before=second.after, overlap=OVERLAP)
    assert third.changed == []


def test_a_list_that_goes_on_reaches_if_it_goes_back_to_what_is_known() -> None:
    """If not, something between was not listed. The same burst is too much but once."""
    burst = [(str(number), at(30)) for number in range(3)]
    first = news(burst, more=True, before=Remembered(newest=BEGIN), overlap=OVERLAP)
    assert not first.reaches
    second = news(burst, more=True, before=first.after, overlap=OVERLAP)
    assert second.reaches
    assert second.changed == []


def test_a_second_in_which_a_look_ended_is_not_known_whole() -> None:
    """Of an import some were seen before the rest of the same second was written. Beyond the last
    row there may be more of them, and so it is too much; once, as the same rows are no news."""
    first = news([("1", at(1))], more=False, before=Remembered(newest=BEGIN), overlap=OVERLAP)
    rows = [("9", at(2)), ("3", at(1)), ("2", at(1))]
    second = news(rows, more=True, before=first.after, overlap=OVERLAP)
    assert not second.reaches
    assert second.changed == rows
    third = news(rows, more=True, before=second.after, overlap=OVERLAP)
    assert third.reaches
    assert third.changed == []


def test_an_object_dated_in_the_future_hides_no_change() -> None:
    """It is news once, and the newest change is still that of today."""
    rows = [("9", at(60 * 24 * 365)), ("1", at(1))]
    first = news(rows, more=False, before=Remembered(newest=BEGIN), overlap=OVERLAP, now=at(2))
    assert [own_id for own_id, _ in first.changed] == ["9", "1"]
    later = [rows[0], ("2", at(3)), rows[1]]
    second = news(later, more=False, before=first.after, overlap=OVERLAP, now=at(4))
    assert second.changed == [("2", at(3))]


def test_a_clock_that_is_an_hour_ahead_hides_no_change() -> None:
    """Neither when it is set right, nor while it is ahead."""
    before = Remembered(newest=BEGIN)
    ahead = news([("1", at(70))], more=False, before=before, overlap=OVERLAP, now=at(10))
    again = news([("1", at(70))], more=False, before=ahead.after, overlap=OVERLAP, now=at(11))
    assert (ahead.changed, again.changed) == ([("1", at(70))], [])
    rows = [("1", at(70)), ("2", at(20))]
    right = news(rows, more=False, before=again.after, overlap=OVERLAP, now=at(21))
    assert right.changed == [("2", at(20))]


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 240), st.integers(0, 9)), max_size=30),
    st.integers(2, 6),
)
def test_each_change_is_news_once_or_too_many_is_said(
    edits: list[tuple[int, int, int]], size: int
) -> None:
    """Edits of any order, each shown up to nine minutes late, in pages of any size."""
    shown: dict[str, datetime] = {}
    told: list[Row] = []
    before = Remembered(newest=BEGIN)
    pending = sorted(edits, key=lambda edit: edit[1] + edit[2])
    for minute in range(0, 252, 3):
        changes: list[Row] = []
        while pending and pending[0][1] + pending[0][2] <= minute:
            own_id, when, _ = pending.pop(0)
            if shown.get(str(own_id), BEGIN) < at(when):
                shown[str(own_id)] = at(when)
                changes.append((str(own_id), at(when)))
        rows = sorted(shown.items(), key=lambda row: row[1], reverse=True)
        floor = before.newest - OVERLAP
        rows = [row for row in rows if row[1] >= floor]
        seen = news(rows[:size], more=len(rows) > size, before=before, overlap=OVERLAP)
        before = seen.after
        told += seen.changed
        if seen.reaches and len(rows) <= size:
            for change in changes:
                assert (
                    change in told or change[0] not in dict(rows) or shown[change[0]] != change[1]
                )
    assert len(told) == len(set(told))
