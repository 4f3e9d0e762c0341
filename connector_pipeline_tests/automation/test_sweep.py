"""Every active shop is due once in each sweep, at its own time, and comes into the queue once."""

from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from dagster import DagsterInstance, SkipReason, build_sensor_context
from hypothesis import given
from hypothesis import strategies as st

from connector_pipeline.automation.cron_times import CronTimes
from connector_pipeline.automation.sweep import EVERY_SECONDS, due_shops, last_due, sweep
from connector_pipeline.model.errors import PlatformUnavailable, ShopDisconnected
from connector_pipeline.model.queue import QueueReason
from connector_pipeline.model.shop import Shop
from connector_pipeline.model.shop_state import ShopState
from connector_pipeline.model.sync import Sync
from connector_pipeline.model.sync_request import SyncRequest
from connector_pipeline.model.sync_type import SyncType
from connector_pipeline.postgres.database import Database
from connector_pipeline.state import inbox, queue_intake, queued_runs, sweeps
from connector_pipeline.state.queued_runs import Capacity
from connector_pipeline.state.refusals import Refusal, Share
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline.state.sweeps import Candidate, Sweep
from connector_pipeline.state.sync_records import SyncRecords
from connector_pipeline_tests.passing_time import minutes_pass

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
HOURLY = "0 * * * *"
LONG_AGO = NOON - timedelta(days=9)
IDENTITY = {"merchant_id", "platform_name", "platform_shop_id", "domain"}


@pytest.fixture(autouse=True)
def _swept_an_hour_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep began one to two hours ago. No other begins while a test goes on."""
    monkeypatch.setenv("SYNC_CRON", f"0 {(datetime.now(UTC) - HOUR).hour} * * *")


def key(number: int) -> str:
    return f"shopify/swept-{number}.myshopify.com"


def many(count: int, last: datetime = LONG_AGO) -> list[Candidate]:
    return [Candidate(key(number), last, running=False) for number in range(count)]


@given(
    number=st.integers(0, 10**6),
    slots=st.integers(1, 120),
    minutes=st.integers(0, 10**5),
    cron=st.sampled_from([HOURLY, "*/7 * * * *", "0 3 * * *", "15 4 * * 1"]),
)
def test_a_shop_is_due_once_in_each_sweep_and_within_an_hour_of_it(
    number: int, slots: int, minutes: int, cron: str
) -> None:
    """It is due in the same slot of each sweep, and the last time is never after now."""
    now = NOON + timedelta(minutes=minutes)
    times = CronTimes.around(cron, now)
    due = last_due(key(number), times, slots=slots, now=now)
    assert due.at <= now
    assert due.sweep in (times.before_last, times.last)
    assert timedelta(0) <= due.at - due.sweep < HOUR
    if times.before_last == due.sweep and slots > 1:
        assert last_due(key(number), times, slots=slots, now=times.next).sweep == times.last


def due(candidates: list[Candidate], now: datetime) -> list[str]:
    """The shops of one sweep that are due now."""
    found = due_shops(candidates, times=CronTimes.around(HOURLY, now), now=now, shops_per_run=100)
    assert len(found) <= 1
    return [key for keys in found.values() for key in keys]


def test_ten_thousand_shops_are_spread_over_the_hour() -> None:
    """Ticks through an hour take every shop once, and no half minute has too many."""
    waiting = {shop.partition_key: shop for shop in many(10_000, NOON - timedelta(seconds=1))}
    taken: set[str] = set()
    sizes: list[int] = []
    for tick in range(int(HOUR / timedelta(seconds=EVERY_SECONDS))):
        now = NOON + tick * timedelta(seconds=EVERY_SECONDS)
        found = due_shops(
            list(waiting.values()),
            times=CronTimes.around(HOURLY, now),
            now=now,
            shops_per_run=100,
        )
        assert set(found) <= {"2026-03-01T12:00Z"}
        shops = [shop for of_sweep in found.values() for shop in of_sweep]
        assert taken.isdisjoint(shops)
        taken.update(shops)
        waiting |= {shop: Candidate(shop, now, running=False) for shop in shops}
        sizes.append(len(shops))
    assert len(taken) == 10_000
    assert max(sizes) <= 150


def test_a_few_shops_are_due_together() -> None:
    """A run costs seconds before it works, so six shops are not worth six runs."""
    assert sorted(due(many(6), NOON)) == sorted(key(number) for number in range(6))


def test_a_shop_that_is_running_or_not_due_is_left_out() -> None:
    """A sweep that is still running when the next is due reads no shop twice."""
    candidates = [
        Candidate(key(0), LONG_AGO, running=False),
        Candidate(key(1), LONG_AGO, running=True),
        Candidate(key(2), NOON, running=False),
    ]
    assert due(candidates, NOON + timedelta(minutes=1)) == [key(0)]


def test_after_a_long_standstill_the_shops_that_waited_longest_come_first() -> None:
    """They are all due, the older sweep's first. The queue says how many are taken at once."""
    candidates = [
        Candidate(key(number), LONG_AGO + number * timedelta(seconds=1), running=False)
        for number in reversed(range(1_000))
    ]
    now = NOON + HOUR - timedelta(seconds=1)
    assert due(candidates, now) == [key(number) for number in range(1_000)]

    # Half an hour into the next sweep some shops' slots are yet to come: these missed the last one.
    now = NOON + HOUR + HOUR / 2
    found = due_shops(candidates, times=CronTimes.around(HOURLY, now), now=now, shops_per_run=100)
    assert list(found) == ["2026-03-01T12:00Z", "2026-03-01T13:00Z"]
    assert sorted(shop for shops in found.values() for shop in shops) == sorted(
        map(key, range(1_000))
    )
    for shops in found.values():
        assert shops == sorted(shops, key=lambda shop: int(shop.split("-")[1].split(".")[0]))


def tick(instance: DagsterInstance, database: Database) -> str:
    """Evaluate the sensor once. Returns the first sentence of its skip reason.

    The other one says when the next sweep begins.
    """
    with build_sensor_context(instance=instance, resources={"database": database}) as context:
        result = cast("SkipReason", sweep(context))
    due, begins, _ = str(result.skip_message).partition(" The next sweep begins at ")
    assert begins or "DatabaseUnavailable" in due
    return due


def queued(database: Database) -> dict[str, str]:
    """The ids of the sweeps of the waiting shops, by partition key."""
    with database.connect() as connection:
        rows = connection.execute(
            "SELECT platform_name || '/' || domain, sweep_id FROM connector.sync_queue"
            " WHERE state = 'waiting' AND reason = 'sweep'"
        ).fetchall()
    return dict(rows)


def an_hour_passes(database: Database) -> None:
    """The next sweep is due."""
    with database.connect() as connection:
        connection.execute("UPDATE connector.shops SET last_swept_at = now() - interval '3 hours'")
        connection.execute("UPDATE connector.syncs SET started_at = now() - interval '3 hours'")


def register(registry: ShopRegistry, database: Database, count: int) -> None:
    """Register shops as of long ago: a shop that was just registered waits for the next sweep."""
    for number in range(count):
        registry.add(
            Shop(
                merchant_id="m-1",
                platform_name="shopify",
                platform_shop_id=str(number),
                domain=key(number).split("/")[1],
            )
        )
    with database.connect() as connection:
        connection.execute("UPDATE connector.shops SET registered_at = now() - interval '3 days'")


def sync_of(shop: str, sync_id: str, started_at: datetime) -> Sync:
    return Sync(
        sync_id=sync_id,
        partition_key=shop,
        sync_type=SyncType.FULL,
        correlation_id=sync_id,
        started_at=started_at,
    )


def test_a_tick_puts_the_active_shops_into_the_queue_once(
    instance: DagsterInstance, registry: ShopRegistry, database: Database
) -> None:
    """Paused and disconnected shops are left out, and the next tick puts nothing in."""
    register(registry, database, 5)
    registry.set_state(key(1), ShopState.PAUSED)
    registry.set_state(key(2), ShopState.DISCONNECTED)
    assert tick(instance, database) == "3 of 3 active shops are due."
    shops = queued(database)
    assert set(shops) == {key(0), key(3), key(4)}
    [sweep_id] = set(shops.values())
    with database.connect() as connection:
        [found] = sweeps.recent(connection, since=HOUR)
    assert found == Sweep(sweep_id, shops=3, taken=3, succeeded=0, failed=0)
    assert tick(instance, database) == "0 of 3 active shops are due."
    assert queued(database) == shops


def test_a_shop_registered_after_the_sweep_began_waits_for_the_next(
    instance: DagsterInstance, registry: ShopRegistry, database: Database
) -> None:
    """Ten thousand shops that are imported at once are spread over the next hour."""
    register(registry, database, 2)
    with database.connect() as connection:
        connection.execute(
            "UPDATE connector.shops SET registered_at = now() WHERE domain = %s",
            (key(1).split("/")[1],),
        )
    tick(instance, database)
    assert set(queued(database)) == {key(0)}


def test_a_sweep_does_not_pile_up_on_one_that_has_not_ended(
    instance: DagsterInstance, registry: ShopRegistry, database: Database
) -> None:
    """A shop that still waits joins the next sweep; one being synced by another run is left out."""
    register(registry, database, 3)
    tick(instance, database)
    first = queued(database)
    records = SyncRecords(registry.database)
    records.start(sync_of(key(2), "s-2", datetime.now(UTC)), registry.get(key(2)))
    an_hour_passes(database)
    records.record_progress("s-2", pages=1, requests=1)
    with database.connect() as connection:
        connection.execute("UPDATE connector.sync_queue SET sweep_id = 'the last one'")
    assert tick(instance, database) == "2 of 3 active shops are due."
    assert queued(database) == {
        key(0): first[key(0)],
        key(1): first[key(1)],
        key(2): "the last one",
    }


def test_a_shop_that_waits_for_a_backfill_is_not_put_in_beside_it(
    instance: DagsterInstance, registry: ShopRegistry, database: Database
) -> None:
    """One sync serves both, and keeps the better place of the two."""
    register(registry, database, 1)
    with database.connect() as connection:
        queue_intake.put_shops(connection, [key(0)], reason=QueueReason.BACKFILL, backfill_id="b-1")
    tick(instance, database)
    with database.connect() as connection:
        [found] = sweeps.recent(connection, since=HOUR)
        rows = connection.execute(
            "SELECT reason, backfills, sweep_id FROM connector.sync_queue"
        ).fetchall()
    assert rows == [("backfill", ["b-1"], found.sweep_id)]


def test_a_refused_request_does_not_hide_the_sync_before_it(
    instance: DagsterInstance, registry: ShopRegistry, database: Database
) -> None:
    """It never started, so a shop that was just synced, or is being synced, is not due."""
    register(registry, database, 3)
    just_now = datetime.now(UTC)
    records = SyncRecords(registry.database)
    records.start(sync_of(key(0), "s-0", just_now), registry.get(key(0)))
    records.fail("s-0", PlatformUnavailable("answered 500."))
    records.start(sync_of(key(1), "s-1", just_now - 3 * HOUR), registry.get(key(1)))
    records.record_progress("s-1", pages=1, requests=1)
    requests = [
        SyncRequest(
            **registry.get(key(number)).model_dump(include=IDENTITY),
            sync_id=f"r-{number}",
            sync_type="sometimes",
        )
        for number in range(3)
    ]
    with database.connect() as connection:
        inbox.put(connection, requests)
        assert inbox.accept(connection, limit=10) == (0, 3)
    tick(instance, database)
    assert set(queued(database)) == {key(2)}


def test_the_next_sweep_takes_up_failed_shops_and_leaves_out_disconnected_ones(
    instance: DagsterInstance, registry: ShopRegistry, database: Database
) -> None:
    """Only a shop that refuses its credentials is not asked again, after any failure."""
    register(registry, database, 3)
    tick(instance, database)
    with database.connect() as connection:
        queued_runs.take(connection, capacity=Capacity(1, 1, 1), shops_per_run=100)
        [launch] = queued_runs.unseen(connection)
    errors = {
        key(0): PlatformUnavailable("answered 500."),
        key(1): ShopDisconnected("refused the token."),
    }
    records = SyncRecords(registry.database)
    for shop in launch.shops:
        if error := errors.get(shop.partition_key):
            begun = sync_of(shop.partition_key, shop.sync_id, datetime.now(UTC))
            records.start(begun, registry.get(shop.partition_key))
            records.fail(shop.sync_id, error)
    assert tick(instance, database) == "0 of 3 active shops are due."
    minutes_pass(database)
    records.start(sync_of(key(1), "later", datetime.now(UTC)), registry.get(key(1)))
    records.fail("later", errors[key(1)], refusal=Refusal(None, Share(refused=1, of=1)))
    assert tick(instance, database) == "0 of 2 active shops are due."
    an_hour_passes(database)
    assert tick(instance, database) == "2 of 2 active shops are due."
    # The third shop is still taken for the first sweep; it waits for its turn after that.
    assert set(queued(database)) == {key(0), key(2)}


def test_a_database_that_cannot_be_read_puts_nothing_in(instance: DagsterInstance) -> None:
    """The tick says why."""
    gone = Database(url="postgresql://nobody@127.0.0.1:1/none")
    reason = tick(instance, gone)
    assert "DatabaseUnavailable" in reason
    assert "No shop was put into the queue" in reason
