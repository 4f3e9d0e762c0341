"""The sensor that puts every active shop into the queue on SYNC_CRON.

A sweep begins at each time of SYNC_CRON. If there are many shops, their due times are spread over
the time to the next sweep, at most over an hour, by a stable hash of the shop's key. Every tick
puts the shops that are due into the queue.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from itertools import groupby
from typing import Final

from dagster import (
    DefaultSensorStatus,
    ResourceParam,
    SensorEvaluationContext,
    SkipReason,
    sensor,  # pyright: ignore[reportUnknownVariableType]  # partly untyped there
)

from connector_pipeline.automation.cron_times import CronTimes
from connector_pipeline.model.errors import ConnectorError
from connector_pipeline.postgres.database import Database
from connector_pipeline.settings import load_settings
from connector_pipeline.state import sweeps
from connector_pipeline.state.sweeps import Candidate

EVERY_SECONDS: Final = 30
LONGEST_SPREAD: Final = timedelta(hours=1)
"""An operator who sweeps once a night wants the sweep to end at night."""


@dataclass(frozen=True, slots=True)
class Due:
    """The time at which a shop was last due, and the time at which the sweep of it began."""

    sweep: datetime
    at: datetime


def last_due(key: str, times: CronTimes, *, slots: int, now: datetime) -> Due:
    """Compute when the shop was last due, in one of the evenly spread `slots` of a sweep.

    A shop keeps its slot in all sweeps. With one slot the shop is due at the cron's own time.
    """
    number = int.from_bytes(blake2b(key.encode(), digest_size=8).digest())
    slot = number % slots
    for begin, end in ((times.last, times.next), (times.before_last, times.last)):
        at = begin + slot * min(end - begin, LONGEST_SPREAD) / slots
        if at <= now:
            return Due(begin, at)
    return Due(times.before_last, times.before_last)


def due_shops(
    candidates: Collection[Candidate], *, times: CronTimes, now: datetime, shops_per_run: int
) -> dict[str, list[str]]:
    """The shops that are due now, by the id of their sweep.

    The oldest sweep comes first, and in a sweep the shop that has waited longest. Left out are
    shops that a sweep put into the queue, or that were synced or registered, since they were last
    due, and shops with a sync under way.
    """
    spread = min(times.next - times.last, LONGEST_SPREAD)
    slots = _slots(len(candidates), shops_per_run, spread)
    due: list[tuple[datetime, datetime, str]] = []
    for shop in candidates:
        last = last_due(shop.partition_key, times, slots=slots, now=now)
        if shop.last_attempt_at < last.at and not shop.running:
            due.append((last.sweep, shop.last_attempt_at, shop.partition_key))
    due.sort()
    return {
        sweep_id(sweep): [key for _, _, key in shops]
        for sweep, shops in groupby(due, key=lambda each: each[0])
    }


def sweep_id(begin: datetime) -> str:
    """The id of the sweep that began at this time of the cron."""
    return f"{begin.astimezone(UTC):%Y-%m-%dT%H:%MZ}"


def _slots(shops: int, shops_per_run: int, spread: timedelta) -> int:
    # A run costs less than several small ones, and a slot shorter than a tick has no effect.
    most = int(spread / timedelta(seconds=EVERY_SECONDS))
    return max(1, min(-(-shops // shops_per_run), most))


@sensor(
    # The pages of the assets name the sensor. It asks for no run itself.
    asset_selection=["raw_products", "catalog_items"],
    minimum_interval_seconds=EVERY_SECONDS,
    default_status=DefaultSensorStatus.RUNNING,
    description="Puts every active shop into the queue on SYNC_CRON, spread over the interval. "
    "Each tick says when the next sweep begins.",
)
def sweep(context: SensorEvaluationContext, database: ResourceParam[Database]) -> SkipReason:
    """Put the shops that are due into the queue."""
    settings = load_settings()
    now = datetime.now(UTC)
    try:
        with database.connect() as connection:
            candidates = sweeps.candidates(connection)
            due = due_shops(
                candidates,
                times=CronTimes.around(settings.sync_cron, now),
                now=now,
                shops_per_run=settings.shops_per_run,
            )
            for sweep_id, keys in due.items():
                sweeps.put(connection, sweep_id, keys)
    except ConnectorError as error:
        return SkipReason(f"{error.code}: {error} No shop was put into the queue.")
    number = sum(len(keys) for keys in due.values())
    begins = CronTimes.around(settings.sync_cron, now).next
    return SkipReason(
        f"{number} of {len(candidates)} active shops are due. The next sweep begins at "
        f"{begins:%Y-%m-%d %H:%M} UTC (SYNC_CRON {settings.sync_cron})."
    )
