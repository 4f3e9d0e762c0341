"""The sensor that looks at the platforms' change feeds, and leaves hints of what changed.

A look is one or two small requests. Each shop is looked at when it is due, at a distance that
`state/look_distances.py` computes from how often the shop changes. A look asks for no data: its
hints lead to a sync of what changed, as those of webhooks do. A look that fails, or is refused,
changes nothing but the time of the next one; whether a shop refuses us is for syncs to say.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final, ParamSpec
from uuid import uuid4

import psycopg
from dagster import (
    DefaultSensorStatus,
    ResourceParam,
    SensorEvaluationContext,
    SkipReason,
    sensor,  # pyright: ignore[reportUnknownVariableType]  # partly untyped there
)

from connector_pipeline.automation.cron_times import CronTimes
from connector_pipeline.catalog.held import held
from connector_pipeline.credentials.token_service import TokenService, TokenServiceClient
from connector_pipeline.engine.daemon import gives_each_sensor_a_thread
from connector_pipeline.model.errors import (
    ConnectorError,
    DatabaseUnavailable,
    PlatformUnavailable,
    TokenServiceUnavailable,
)
from connector_pipeline.model.hint import Hint, HintSource
from connector_pipeline.platforms.adapters import build_adapters
from connector_pipeline.platforms.kit.contract import Adapter
from connector_pipeline.platforms.kit.webhooks import Changes
from connector_pipeline.postgres.database import Database
from connector_pipeline.settings import Settings, load_settings
from connector_pipeline.state import change_looks
from connector_pipeline.state.change_looks import DueShop, Look
from connector_pipeline.state.hints import ReceivedHint, put
from connector_pipeline.state.look_distances import (
    Quota,
    distance,
    distance_after_failures,
    distinct_changes,
    price_of_a_look,
    rate_after,
    wanted_rate,
)
from connector_pipeline.sync.interruptible import in_thread
from connector_pipeline.sync.outcomes import as_connector_error

P = ParamSpec("P")

EVERY_SECONDS: Final = 30
LOOKS_AT_ONCE: Final = 8
SECONDS_A_LOOK: Final = 10.0
"""A shop that answers byte by byte must not keep the others from their turn."""
_SECONDS_A_TICK: Final = 20.0
"""After so many seconds no further look begins. Dagster gives a tick 60 s."""
_SECONDS_WITHOUT_THREADS: Final = 3.0
"""The same where the daemon ticks one sensor after the other."""
_MOST_DUE: Final = 1_000
_NO_FEED: Final = timedelta(days=1)
"""A shop that has no change feed is asked again after so long."""


@dataclass(frozen=True, slots=True)
class Pacing:
    """What decides the distances of looks at the time of a tick; see `state/look_distances.py`."""

    price: float
    every: timedelta
    sweeps: timedelta

    @classmethod
    def of(cls, rates: Mapping[float, int], settings: Settings, now: datetime) -> "Pacing":
        """The pacing for shops of these wanted rates."""
        times = CronTimes.around(settings.sync_cron, now)
        every, sweeps = settings.change_look_every, times.next - times.last
        price = price_of_a_look(
            rates, per_minute=settings.change_looks_per_minute, every=every, sweeps=sweeps
        )
        return cls(price, every, sweeps)

    def distance(self, due: DueShop, rate: float) -> timedelta:
        """How long after a look the next one at this shop is."""
        wanted = wanted_rate(rate, has_webhooks=due.has_webhooks)
        return distance(wanted, self.price, every=self.every, sweeps=self.sweeps)


def after_its_sync(due: DueShop, pacing: Pacing, now: datetime) -> Look | None:
    """What a shop's newer sync leaves to remember, as it counts as a look; None without one."""
    if due.looked_at is not None and due.synced_at <= due.looked_at:
        return None
    before = due.synced_at if due.looked_at is None else due.looked_at
    rate = due.changes_an_hour
    if due.looked_at is not None:
        changes = int(bool(due.sync_changed))
        rate = rate_after(rate, changes=changes, elapsed=due.synced_at - before)
    look_at = due.synced_at + pacing.distance(due, rate)
    return Look(due, due.synced_at, look_at, rate, due.cursor, failures=due.failures)


def after_a_look(
    due: DueShop, changes: Changes, left: Sequence[Hint], pacing: Pacing, began: datetime
) -> Look:
    """What a look leaves to remember; `left` are those of its hints that are to be put."""
    before = due.looked_at or due.synced_at
    times = [hint.changed_at for hint in left]
    # The catalog may hold a change already, from a webhook: the shop has changed all the same.
    times += [
        hint.changed_at for hint in changes.hints if hint.changed_at and hint.changed_at > before
    ]
    number = distinct_changes(times, every=pacing.every)
    rate = rate_after(due.changes_an_hour, changes=number, elapsed=began - before)
    look_at = began + pacing.distance(due, rate)
    return Look(due, began, look_at, rate, changes.cursor, changed=number > 0)


def newest_by_token(hints: Sequence[Hint]) -> dict[str, Hint]:
    """The hint of the newest change of each token that is named; a product may have several."""
    found: dict[str, Hint] = {}
    for hint in hints:
        if hint.token is None:
            continue
        known = found.get(hint.token)
        if known is None or (
            hint.changed_at and known.changed_at and hint.changed_at > known.changed_at
        ):
            found[hint.token] = hint
    return found


def hints_to_put(
    connection: psycopg.Connection, partition_key: str, changes: Changes
) -> list[Hint]:
    """The hints that are to lead to a sync: those whose change the catalog does not hold yet.

    One hint alone, without a token, where more changed than the look lists or can name.
    """
    by_token = newest_by_token(changes.hints)
    product_of = {token: changes.products.get(token, token) for token in by_token}
    times: dict[str, datetime] = {}
    for token, hint in by_token.items():
        if hint.changed_at is not None:
            product = product_of[token]
            times[product] = max(hint.changed_at, times.get(product, hint.changed_at))
    known = held(connection, partition_key, times) if times else set[str]()
    left = [
        hint
        for token, hint in by_token.items()
        if hint.changed_at is None or product_of[token] not in known
    ]
    unnamed = [hint for hint in changes.hints if hint.token is None]
    if changes.too_many and left:
        unnamed.append(Hint(left[0].topic))
    return unnamed[:1] or left


@sensor(
    minimum_interval_seconds=EVERY_SECONDS,
    default_status=DefaultSensorStatus.RUNNING,
    description=(
        "Asks shops cheaply what changed, those that change often more often, at most "
        "CHANGE_LOOKS_PER_MINUTE of them; what changed is synced."
    ),
)
def change_feeds(
    context: SensorEvaluationContext,
    database: ResourceParam[Database],
    token_service: ResourceParam[TokenService],
) -> SkipReason:
    """Look at the shops that are due."""
    settings = load_settings()
    if settings.change_looks_per_minute == 0:
        return SkipReason("CHANGE_LOOKS_PER_MINUTE is 0: no change feed is looked at.")
    threads = gives_each_sensor_a_thread(context.instance)
    quota = _quota(context.cursor, settings.change_looks_per_minute)
    adapters = build_adapters(settings)
    try:
        with database.connect() as connection:
            rates = change_looks.rates(
                connection, platforms=list(adapters), within=settings.change_look_every
            )
            found = change_looks.due(connection, platforms=list(adapters), limit=_MOST_DUE)
            pacing = Pacing.of(rates, settings, datetime.now(UTC))
            due = list(_left_to_look_at(connection, found, pacing))
        looks = _Looks(database, token_service, adapters, pacing, quota)
        if due and quota.left(datetime.now(UTC)):
            seconds = _SECONDS_A_TICK if threads else _SECONDS_WITHOUT_THREADS
            asyncio.run(looks.at(due, seconds))
    except ConnectorError as error:
        return SkipReason(f"{error.code}: {error} The shops are looked at later.")
    finally:
        context.update_cursor(f"{quota.minute} {quota.used}")
    if looks.changed:
        context.log.info(f"changed since the last look: {', '.join(sorted(looks.changed))}")
    counts = (
        f"{len(due)} of {sum(rates.values())} shops were due; {looks.begun} looked at, "
        f"{len(looks.changed)} of them changed, {looks.failed} looks failed."
    )
    error = looks.error
    return SkipReason(f"{counts} The last error: {error.code}: {error}" if error else counts)


def _quota(cursor: str | None, per_minute: int) -> Quota:
    try:
        minute, used = map(int, (cursor or "0 0").split())
    except ValueError:
        minute, used = 0, 0
    return Quota(per_minute, minute, used)


def _left_to_look_at(
    connection: psycopg.Connection, found: Sequence[DueShop], pacing: Pacing
) -> Iterator[DueShop]:
    """The shops that are due although they were synced; of the others, record when they are."""
    now = datetime.now(UTC)
    for each in found:
        due = each
        if due.throttled:
            later = now + pacing.sweeps
            seen = due.looked_at or due.synced_at
            change_looks.record(
                connection,
                Look(due, seen, later, due.changes_an_hour, due.cursor, failures=due.failures),
            )
            continue
        synced = after_its_sync(due, pacing, now)
        if synced is not None:
            change_looks.record(connection, synced)
            if synced.look_at > now:
                continue
            due = replace(due, looked_at=synced.looked_at, changes_an_hour=synced.changes_an_hour)
        yield due


@dataclass(slots=True)
class _Looks:
    """The looks of one tick, several at once.

    `begun` counts them, `failed` those that failed; `changed` has the keys of the shops that left
    hints, `error` the last error on the way.
    """

    database: Database
    token_service: TokenService
    adapters: Mapping[str, Adapter]
    pacing: Pacing
    quota: Quota
    begun: int = 0
    failed: int = 0
    changed: list[str] = field(default_factory=list[str])
    error: ConnectorError | None = None
    _stopped: bool = False

    async def at(self, shops: Sequence[DueShop], seconds: float) -> None:
        """Look at as many of the shops, in their order, as time and quota allow."""
        until = time.monotonic() + seconds
        left = iter(shops)

        async def work(client: TokenServiceClient) -> None:
            while not self._stopped and time.monotonic() < until:
                due = next(left, None)
                if due is None or not self.quota.take(datetime.now(UTC)):
                    return
                self.begun += 1
                await self._one(client, due)

        async with (
            self.token_service.open(f"look-{uuid4()}") as client,
            asyncio.TaskGroup() as workers,
        ):
            for _ in range(LOOKS_AT_ONCE):
                workers.create_task(work(client))

    async def _one(self, client: TokenServiceClient, due: DueShop) -> None:
        """Look at one shop, and record what was found. Errors are kept, so the others go on."""
        adapter, began = self.adapters[due.shop.platform_name], datetime.now(UTC)
        try:
            async with asyncio.timeout(SECONDS_A_LOOK):
                changes = await adapter.changes(
                    due.shop, client, since=due.synced_at - adapter.overlap, cursor=due.cursor
                )
        except TokenServiceUnavailable as error:
            # It is no trouble of the shop, which stays due. The others would fare no better.
            self.error, self._stopped = error, True
            return
        except Exception as error:
            self.failed += 1
            self.error = _as_connector_error(error).of(due.shop.partition_key)
            self.error.remedy = "The shop is looked at again, at growing distances."
            await self._in_thread(self._record, self._after_failure(due, began))
            return
        if changes is None:
            look = Look(due, began, began + _NO_FEED, due.changes_an_hour, None)
            await self._in_thread(self._record, look)
        else:
            await self._in_thread(self._record_changes, due, changes, began)

    def _after_failure(self, due: DueShop, began: datetime) -> Look:
        usual = self.pacing.distance(due, due.changes_an_hour)
        look_at = began + distance_after_failures(due.failures + 1, usual)
        seen = due.looked_at or due.synced_at
        return Look(due, seen, look_at, due.changes_an_hour, due.cursor, failures=due.failures + 1)

    async def _in_thread(
        self, record: Callable[P, None], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        try:
            await in_thread(record, *args, **kwargs)
        except DatabaseUnavailable as error:
            # Nothing was recorded: the next look finds the same changes again.
            self.error, self._stopped = error, True

    def _record(self, look: Look) -> None:
        with self.database.connect() as connection:
            if change_looks.holds(connection, look.due.shop):
                change_looks.record(connection, look)

    def _record_changes(self, due: DueShop, changes: Changes, began: datetime) -> None:
        with self.database.connect() as connection:
            if not change_looks.holds(connection, due.shop):
                return
            hints = hints_to_put(connection, due.shop.partition_key, changes)
            put(
                connection,
                [
                    ReceivedHint(due.shop.platform_name, due.shop.domain, HintSource.FEED, hint)
                    for hint in hints
                ],
            )
            change_looks.record(connection, after_a_look(due, changes, hints, self.pacing, began))
        if hints:
            self.changed.append(due.shop.partition_key)


def _as_connector_error(error: Exception) -> ConnectorError:
    if isinstance(error, TimeoutError):
        return PlatformUnavailable(f"a look had no answer within {SECONDS_A_LOOK:.0f} s.")
    return as_connector_error(error)
