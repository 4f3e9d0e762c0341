"""The sensor that syncs every active shop on SYNC_CRON: not all at once, and no shop twice.

A sweep begins at each time of SYNC_CRON. If there are many shops, their due times are spread over
the time to the next sweep, at most over an hour, by a stable hash of the shop's key. Every tick
launches runs over the shops that are due, as many runs as may go on at once, and leaves the other
shops to later ticks. So late shops wait in the project's table and not in Dagster's queue, where a
person's run would have to wait behind them.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from itertools import groupby
from typing import Final

from dagster import (
    DefaultSensorStatus,
    ResourceParam,
    RunRequest,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,  # pyright: ignore[reportUnknownVariableType]  # partly untyped there
)

from connector_pipeline.assets.run_identity import SWEEP_TAG
from connector_pipeline.assets.sync_shops import JOB, run_config
from connector_pipeline.automation.busy_shops import busy_shops
from connector_pipeline.automation.cron_times import CronTimes
from connector_pipeline.engine.run_tags import BEHIND_OTHERS
from connector_pipeline.engine.runs_under_way import runs_under_way
from connector_pipeline.model.errors import ConnectorError
from connector_pipeline.postgres.database import Database
from connector_pipeline.settings import load_settings
from connector_pipeline.state import sweeps
from connector_pipeline.state.sweeps import Candidate

EVERY_SECONDS: Final = 30
RUNS_AT_ONCE: Final = 3
"""Sweep runs that wait or go on at once: one fewer than dagster.yaml allows, to leave room for
other runs."""
LONGEST_SPREAD: Final = timedelta(hours=1)
"""An operator who sweeps once a night wants the sweep to end at night."""


@dataclass(frozen=True, slots=True)
class Due:
    """The time at which a shop was last due, and the time at which the sweep of it began."""

    sweep: datetime
    at: datetime


@dataclass(frozen=True, slots=True)
class SweepRun:
    """A run to launch: its sweep and its shops' partition keys."""

    sweep_id: str
    shops: Sequence[str]


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


def planned_runs(
    candidates: Collection[Candidate],
    *,
    busy: Collection[str],
    times: CronTimes,
    now: datetime,
    shops_per_run: int,
    most_runs: int,
) -> list[SweepRun]:
    """The runs to launch now, at most `most_runs`.

    The oldest sweep comes first, and in a sweep the shop that has waited longest. Left out are
    shops that a sweep took up, or that were synced or registered, since they were last due, and
    shops with a run or a sync under way.
    """
    spread = min(times.next - times.last, LONGEST_SPREAD)
    slots = _slots(len(candidates), shops_per_run, spread)
    due: list[tuple[datetime, datetime, str]] = []
    for shop in candidates:
        last = last_due(shop.partition_key, times, slots=slots, now=now)
        waiting = shop.last_attempt_at < last.at and not shop.running
        if waiting and shop.partition_key not in busy:
            due.append((last.sweep, shop.last_attempt_at, shop.partition_key))
    due.sort()
    runs: list[SweepRun] = []
    for sweep, shops in groupby(due, key=lambda each: each[0]):
        keys = [key for _, _, key in shops]
        keys = keys[: max(0, most_runs - len(runs)) * shops_per_run]
        runs += [SweepRun(sweep_id(sweep), part) for part in even_parts(keys, shops_per_run)]
    return runs


def sweep_id(begin: datetime) -> str:
    """The id of the sweep that began at this time of the cron."""
    return f"{begin.astimezone(UTC):%Y-%m-%dT%H:%MZ}"


def even_parts(keys: Sequence[str], largest: int) -> Iterator[Sequence[str]]:
    """Split the keys into as few parts of at most `largest` as possible, of nearly equal size."""
    parts = -(-len(keys) // largest)
    for number in range(parts):
        yield keys[number * len(keys) // parts : (number + 1) * len(keys) // parts]


def _slots(shops: int, shops_per_run: int, spread: timedelta) -> int:
    # A run costs less than several small ones, and a slot shorter than a tick has no effect.
    most = int(spread / timedelta(seconds=EVERY_SECONDS))
    return max(1, min(-(-shops // shops_per_run), most))


@sensor(
    job_name=JOB,
    minimum_interval_seconds=EVERY_SECONDS,
    default_status=DefaultSensorStatus.RUNNING,
    description="Syncs every active shop on SYNC_CRON, many in a run, spread over the interval.",
)
def sweep(
    context: SensorEvaluationContext, database: ResourceParam[Database]
) -> SensorResult | SkipReason:
    """Launch runs over the shops that are due."""
    settings = load_settings()
    now = datetime.now(UTC)
    runs = runs_under_way(context.instance)
    most_runs = RUNS_AT_ONCE - sum(SWEEP_TAG in run.tags for run in runs)
    if most_runs <= 0:
        return SkipReason(f"{RUNS_AT_ONCE} runs of sweeps are under way; the next tick goes on.")
    try:
        with database.connect() as connection:
            candidates = sweeps.candidates(connection)
            planned = planned_runs(
                candidates,
                busy=busy_shops(context.instance, runs),
                times=CronTimes.around(settings.sync_cron, now),
                now=now,
                shops_per_run=settings.shops_per_run,
                most_runs=most_runs,
            )
            for run in planned:
                sweeps.take(connection, run.sweep_id, run.shops, shops=len(candidates))
    except ConnectorError as error:
        return SkipReason(f"{error.code}: {error} No shop was taken up.")
    if not planned:
        return SkipReason(f"None of {len(candidates)} active shops is due.")
    return SensorResult(
        run_requests=[
            RunRequest(
                job_name=JOB,
                run_config=run_config(run.shops),
                tags={SWEEP_TAG: run.sweep_id, **BEHIND_OTHERS},
            )
            for run in planned
        ]
    )
