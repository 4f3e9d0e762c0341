"""The last and next times of a cron expression, in UTC."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

from cronsim import CronSim


@dataclass(frozen=True, slots=True)
class CronTimes:
    """The last two times of a cron expression, and the next one. UTC."""

    before_last: datetime
    last: datetime
    next: datetime

    @classmethod
    def around(cls, cron: str, now: datetime) -> Self:
        """The times of `cron`, a valid SYNC_CRON read in UTC; `last` may be now, `next` may not."""
        second = now.astimezone(UTC).replace(microsecond=0)
        # A reversed CronSim begins with what is earlier than the time that it is given.
        past = CronSim(cron, second + timedelta(seconds=1), reverse=True)
        last, before_last = next(past), next(past)
        return cls(before_last, last, next(CronSim(cron, second)))
