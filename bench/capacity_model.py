"""Simulate a day of a deployment from measured costs. It measures nothing itself.

A day goes by in minutes. Sweeps spread the shops evenly over the interval, every shop is read in
full once a day, and requests follow the hours of a day. Worker processes take what waits. The
result is how many of them keep every shop fresh, and what that asks of everything else.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Final, Self

MINUTES: Final = 24 * 60
DAY: Final = 24 * 3600
BUSY: Final = 0.7
"""Of a core or a worker, the share that may be in use: what waits grows without end beyond."""

SYNC, EVENT, QUEUED = 640, 670, 770
"""Bytes that a sync leaves in connector.syncs, .outbox and .sync_queue (bench/sync_log.py)."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one sync costs. Processor times are in seconds, sizes in bytes."""

    worker_cpu: float = 0.0
    daemon_cpu: float = 0.0
    postgres_cpu: float = 0.0
    commits: float = 0.0
    wal: float = 0.0
    catalog: float = 0.0
    dagster: float = 0.0
    archive: float = 0.0
    archive_files: float = 0.0
    events: float = 0.0
    requests: float = 0.0

    def __add__(self, other: Self) -> Self:
        return self._each(other, lambda ours, theirs: ours + theirs)

    def __sub__(self, other: Self) -> Self:
        return self._each(other, lambda ours, theirs: ours - theirs)

    def times(self, factor: float) -> Self:
        """This cost so many times."""
        return type(self)(*(getattr(self, each.name) * factor for each in fields(self)))

    def not_below_nothing(self) -> Self:
        """This cost, where a difference of two measurements came out below nothing."""
        return type(self)(*(max(0.0, getattr(self, each.name)) for each in fields(self)))

    def _each(self, other: Self, combine) -> Self:
        names = [each.name for each in fields(self)]
        return type(self)(*(combine(getattr(self, n), getattr(other, n)) for n in names))


@dataclass(frozen=True, slots=True)
class Line:
    """A cost that grows with the variants of a shop: `base` and so much for each variant."""

    base: Cost
    variant: Cost

    @classmethod
    def through(cls, few: tuple[float, Cost], many: tuple[float, Cost]) -> Self:
        """The line through two measurements: variants of a shop, cost of its sync."""
        variant = (many[1] - few[1]).times(1 / (many[0] - few[0]))
        return cls(few[1] - variant.times(few[0]), variant)

    def at(self, variants: float) -> Cost:
        """The cost of a shop of so many variants; nothing is less than free."""
        return (self.base + self.variant.times(variants)).not_below_nothing()


@dataclass(frozen=True, slots=True)
class Costs:
    """Of the three kinds of syncs, of a run, and of a partition in seconds of Dagster's ticks."""

    full: Line
    unchanged: Cost
    changed: Cost
    run: Cost
    """A run besides its syncs: its process, its events."""
    partition_seconds: float


@dataclass(frozen=True, slots=True)
class Load:
    """What a deployment has to keep up with."""

    shops: int
    variants: float
    """Variants a shop, on average."""
    interval: float
    """Seconds between two looks at a shop."""
    changing: float = 0.02
    """The share of looks that find a change."""
    full_every: float = DAY
    requests: float = 1.0
    """Requests a shop and day; twice as many as usual come at noon."""
    shops_per_run: float = 100
    run_seconds: float = 10
    """How long a run lasts. What comes meanwhile goes into the next run."""
    sync_days: float = 90
    event_days: float = 14


@dataclass(frozen=True, slots=True)
class Limits:
    """What one of each bears. These are assumptions, except where the bench measured them."""

    postgres_cores: float = 16
    wal: float = 100e6
    """Bytes a second that the primary writes and its replica follows."""
    commits: float = 20_000
    nats: float = 10_000
    """Acknowledged messages a second into one stream."""
    archive: float = 3_500
    """Files written a second below one prefix of an object store."""
    database: float = 1e12
    """Bytes of one database that a server keeps and backs up within a night."""
    tick: float = 60
    """Seconds that Dagster gives a tick of a sensor."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What a load asks for: worker processes, the longest wait, and the use of each limit."""

    workers: int
    longest_wait: float
    """Seconds that a shop waits at most for a worker, by the simulated day."""
    a_day: Cost
    """Of all syncs of a day."""
    busiest: Cost
    """A second, in the busiest minute."""
    syncs: float
    """A second, on average."""
    catalog: float
    """Bytes of the catalog's database, with the syncs of `sync_days`."""
    dagster: float
    """Bytes of Dagster's database, with the events of `event_days`."""
    used: Mapping[str, float]
    """Of each limit: the share that is used; more than 1 cannot be."""

    @property
    def bottleneck(self) -> str:
        """The limit that is nearest, or passed."""
        return max(self.used, key=lambda name: self.used[name])


def _arrivals(load: Load) -> Iterable[tuple[float, float]]:
    """For each minute of a day: full syncs, and increments with what is requested."""
    looks = load.shops * 60 / load.interval
    full = min(looks, load.shops * 60 / load.full_every)
    for minute in range(MINUTES):
        hour = 1 - math.cos(2 * math.pi * minute / MINUTES)
        yield full, looks - full + load.shops * load.requests / MINUTES * hour


def simulate(costs: Costs, load: Load, limits: Limits) -> Demand:
    """The least number of worker processes that keeps up, and what everything else then does."""
    full = costs.full.at(load.variants)
    increment = costs.unchanged.times(1 - load.changing) + costs.changed.times(load.changing)
    minutes: list[Cost] = []
    syncs = 0.0
    for fulls, increments in _arrivals(load):
        arriving = fulls + increments
        syncs += arriving
        together = min(load.shops_per_run, max(1.0, arriving / 60 * load.run_seconds))
        runs = costs.run.times(arriving / together)
        minutes.append(full.times(fulls) + increment.times(increments) + runs)
    work = [minute.worker_cpu for minute in minutes]
    workers = max(1, math.ceil(sum(work) / DAY / BUSY))
    while (waited := _longest_wait(work, workers)) > load.interval / 4:
        workers += max(1, workers // 20)
    a_day = sum(minutes, start=Cost())
    busiest = max(minutes, key=lambda minute: minute.worker_cpu).times(1 / 60)
    # A full sync that finds nothing new adds no rows but its own, as an increment does.
    # The growth of a small database is mostly pages that are half empty, and of each table a sync's
    # row is kept for another time.
    kept = syncs * (SYNC * load.sync_days + EVENT * 7 + QUEUED * 3)
    catalog = full.catalog * load.shops + kept
    dagster = a_day.dagster * load.event_days
    return Demand(
        workers=workers,
        longest_wait=waited,
        a_day=a_day,
        busiest=busiest,
        syncs=syncs / DAY,
        catalog=catalog,
        dagster=dagster,
        used={
            "the daemon's core": busiest.daemon_cpu / BUSY,
            "Postgres' cores": busiest.postgres_cpu / BUSY / limits.postgres_cores,
            "Postgres' commits": busiest.commits / limits.commits,
            "Postgres' WAL": busiest.wal / limits.wal,
            "size of the catalog's database": catalog / limits.database,
            "size of Dagster's database": dagster / limits.database,
            "NATS": busiest.events / limits.nats,
            "files to the archive": busiest.archive_files / limits.archive,
            "a tick over all partitions": costs.partition_seconds * load.shops / limits.tick,
        },
    )


def _longest_wait(work: Iterable[float], workers: int) -> float:
    """Seconds that work waits at most, for `workers` processes that are BUSY at most."""
    waiting = longest = 0.0
    for minute in work:
        waiting = max(0.0, waiting + minute - workers * 60 * BUSY)
        longest = max(longest, waiting / (workers * BUSY))
    return longest
