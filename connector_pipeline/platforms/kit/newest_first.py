"""Compares a list, the newest change first, with what an earlier look at the same list saw.

A platform's search may lag behind, and many objects may share one time. So a look reaches back
behind the newest change that it knows, and remembers what it saw there: what comes again unchanged
is no news.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from pydantic import AwareDatetime, BaseModel

MOST_REMEMBERED: Final = 500
_AHEAD: Final = timedelta(minutes=5)
"""A change that is dated later than this from now does not count as the newest, or it would hide
the changes until then: one of a year ahead, or of a clock that is set right later."""

Row = tuple[str, datetime]
"""An object's id, and when it changed by the platform's clock (with its zone)."""


class Remembered(BaseModel):
    """What is known of one list: the time of its newest change, and what changed shortly before."""

    newest: AwareDatetime
    seen: dict[str, AwareDatetime] = {}

    def after(self, time: datetime) -> "Remembered":
        """The same, where all changes before `time` are known."""
        return Remembered(newest=max(self.newest, time), seen=self.seen)


@dataclass(frozen=True, slots=True)
class News:
    """What a look saw that no earlier one did.

    `reaches`: the list went back to the newest change that was known, so nothing later is missing.
    `after` is what the next look is to remember.
    """

    changed: Sequence[Row]
    reaches: bool
    after: Remembered


def news(
    rows: Sequence[Row],
    *,
    more: bool,
    before: Remembered,
    overlap: timedelta,
    now: datetime | None = None,
) -> News:
    """Compare the first rows of a list with what is remembered of it.

    `more`: the list goes on behind them. Changes up to `overlap` before the newest known one are
    news too, if they were not seen.
    """
    floor = before.newest - overlap
    latest = (now or datetime.now(UTC)) + _AHEAD
    newest = max([before.newest, *(time for _, time in rows if time <= latest)])
    kept = {
        own_id: time
        for own_id, time in (before.seen | dict(rows)).items()
        if time >= newest - overlap
    }
    newest_kept = sorted(kept.items(), key=lambda row: row[1])[-MOST_REMEMBERED:]
    return News(
        changed=[row for row in rows if row[1] >= floor and before.seen.get(row[0]) != row[1]],
        reaches=not more or _reaches(rows, before),
        after=Remembered(newest=newest, seen=dict(newest_kept)),
    )


def _reaches(rows: Sequence[Row], before: Remembered) -> bool:
    """Whether rows that the list goes on behind have all that is newer than what is known.

    Many objects may share the second in which an earlier look ended. If one of that second is news,
    others may be behind the last row.
    """
    if not rows:
        return False
    oldest = min(time for _, time in rows)
    at_the_end = [own_id for own_id, time in rows if time == oldest]
    return oldest < before.newest or (
        oldest == before.newest and all(before.seen.get(own_id) == oldest for own_id in at_the_end)
    )
