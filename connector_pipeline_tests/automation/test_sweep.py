"""Every active shop is due once in each sweep, at its own time, and is launched once."""

from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from dagster import (
    DagsterInstance,
    DagsterRunStatus,
    RunRequest,
    SensorResult,
    SkipReason,
    build_sensor_context,
)
from dagster._core.test_utils import create_run_for_test
from hypothesis import given
from hypothesis import strategies as st

from connector_pipeline.assets.run_identity import SWEEP_TAG
from connector_pipeline.assets.sync_shops import JOB, listed_shops
from connector_pipeline.automation.cron_times import CronTimes
from connector_pipeline.automation.sweep import (
    EVERY_SECONDS,
    RUNS_AT_ONCE,
    even_parts,
    last_due,
    planned_runs,
    sweep,
)
from connector_pipeline.model.errors import PlatformUnavailable, ShopDisconnected
from connector_pipeline.model.shop import Shop, ShopState
from connector_pipeline.model.sync import Sync, SyncType
from connector_pipeline.model.sync_request import SyncRequest
from connector_pipeline.postgres.database import Database
from connector_pipeline.state import inbox
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline.state.sweeps import Candidate

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
HOURLY = "0 * * * *"
LONG_AGO = NOON - timedelta(days=9)
IDENTITY = {"merchant_id", "platform_name", "platform_shop_id", "domain"}


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


def test_ten_thousand_shops_are_spread_over_the_hour() -> None:
    """Ticks through an hour take every shop once, and no half minute has too many."""
    waiting = {shop.partition_key: shop for shop in many(10_000, NOON - timedelta(seconds=1))}
    taken: dict[str, datetime] = {}
    sizes: list[int] = []
    for tick in range(int(HOUR / timedelta(seconds=EVERY_SECONDS))):
        now = NOON + tick * timedelta(seconds=EVERY_SECONDS)
        runs = planned_runs(
            list(waiting.values()),
            busy=(),
            times=CronTimes.around(HOURLY, now),
            now=now,
            shops_per_run=100,
            most_runs=RUNS_AT_ONCE,
        )
        for run in runs:
            assert run.sweep_id == "2026-03-01T12:00Z"
            for shop in run.shops:
                assert shop not in taken
                taken[shop] = now
                waiting[shop] = Candidate(shop, now, running=False)
        sizes.append(sum(len(run.shops) for run in runs))
    assert len(taken) == 10_000
    assert max(sizes) <= 150


def test_a_few_shops_share_one_run() -> None:
    """A run costs seconds before it works, so six shops are not worth six runs."""
    [run] = planned_runs(
        many(6),
        busy=(),
        times=CronTimes.around(HOURLY, NOON),
        now=NOON,
        shops_per_run=100,
        most_runs=3,
    )
    assert sorted(run.shops) == sorted(key(number) for number in range(6))


def test_a_shop_that_is_busy_running_or_not_due_is_left_out() -> None:
    """A sweep that is still running when the next is due launches nothing twice."""
    now = NOON + timedelta(minutes=1)
    candidates = [
        Candidate(key(0), LONG_AGO, running=False),
        Candidate(key(1), LONG_AGO, running=False),
        Candidate(key(2), LONG_AGO, running=True),
        Candidate(key(3), NOON, running=False),
    ]
    [run] = planned_runs(
        candidates,
        busy={key(1)},
        times=CronTimes.around(HOURLY, now),
        now=now,
        shops_per_run=100,
        most_runs=3,
    )
    assert run.shops == [key(0)]


def test_after_a_long_standstill_only_as_many_runs_as_allowed_are_launched() -> None:
    """The other shops wait for later ticks; those that waited longest come first."""
    candidates = [
        Candidate(key(number), LONG_AGO + number * timedelta(seconds=1), running=False)
        for number in range(1_000)
    ]
    now = NOON + HOUR - timedelta(seconds=1)
    runs = planned_runs(
        candidates,
        busy=(),
        times=CronTimes.around(HOURLY, now),
        now=now,
        shops_per_run=100,
        most_runs=2,
    )
    assert [list(run.shops) for run in runs] == [
        [key(number) for number in range(begin, begin + 100)] for begin in (0, 100)
    ]


@given(count=st.integers(0, 1_000), largest=st.integers(1, 130))
def test_parts_are_few_and_even(count: int, largest: int) -> None:
    """A run of a hundred is not followed by one of three."""
    parts = list(even_parts([str(number) for number in range(count)], largest))
    assert [each for part in parts for each in part] == [str(number) for number in range(count)]
    assert len(parts) == -(-count // largest)
    if parts:
        assert max(map(len, parts)) <= largest
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


def tick(instance: DagsterInstance, database: Database) -> list[RunRequest]:
    """Evaluate the sensor once. Returns the runs that it asks for."""
    with build_sensor_context(instance=instance, resources={"database": database}) as context:
        result = sweep(context)
    if isinstance(result, SkipReason):
        return []
    assert isinstance(result, SensorResult)
    return list(result.run_requests or [])


def launch(instance: DagsterInstance, request: RunRequest, status: DagsterRunStatus) -> str:
    """Make the run as the daemon does."""
    run = create_run_for_test(
        instance, JOB, run_config=dict(request.run_config), tags=dict(request.tags), status=status
    )
    return run.run_id


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


def sync_of(number: int, sync_id: str, started_at: datetime) -> Sync:
    return Sync(
        sync_id=sync_id,
        partition_key=key(number),
        sync_type=SyncType.FULL,
        correlation_id=sync_id,
        started_at=started_at,
    )


def test_a_tick_takes_up_the_active_shops_once(
    instance: DagsterInstance, registry: ShopRegistry, database: Database
) -> None:
    """Paused and disconnected shops are left out, and the next tick launches nothing."""
    register(registry, database, 5)
    registry.set_state(key(1), ShopState.PAUSED)
    registry.set_state(key(2), ShopState.DISCONNECTED)
    [request] = tick(instance, database)
    assert request.job_name == JOB
    assert set(listed_shops(request.run_config)) == {key(0), key(3), key(4)}
    assert request.tags["dagster/priority"] == "-1"
    with database.connect() as connection:
        rows = connection.execute("SELECT sweep_id, shops, taken FROM connector.sweeps").fetchall()
    assert rows == [(request.tags[SWEEP_TAG], 3, 3)]
    assert tick(instance, database) == []


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
    [request] = tick(instance, database)
    assert listed_shops(request.run_config) == [key(0)]


def test_a_sweep_does_not_pile_up_on_one_that_is_still_running(
    instance: DagsterInstance, registry: ShopRegistry, database: Database
) -> None:
    """Shops that a run works on, however it names them, and shops being synced are left out."""
    register(registry, database, 6)
    keys = [key(number) for number in range(6)]
    instance.add_dynamic_partitions("shops", keys)
    [request] = tick(instance, database)
    run_id = launch(instance, request, DagsterRunStatus.STARTED)

    # The next sweep is due while the first one still runs.
    with database.connect() as connection:
        connection.execute("UPDATE connector.shops SET last_swept_at = now() - interval '3 hours'")
    assert tick(instance, database) == []

    run = instance.get_run_by_id(run_id)
    assert run is not None
    instance.report_run_failed(run)
    for tags in (
        {"dagster/partition": keys[0]},
        {
            "dagster/asset_partition_range_start": keys[1],
            "dagster/asset_partition_range_end": keys[3],
        },
    ):
        create_run_for_test(instance, "__ASSET_JOB", tags=tags, status=DagsterRunStatus.STARTED)
    registry.start_sync(sync_of(4, "s-4", datetime.now(UTC) - 3 * HOUR), registry.get(keys[4]))
    registry.record_progress("s-4", pages=1, requests=1)
    [request] = tick(instance, database)
    assert listed_shops(request.run_config) == [keys[5]]


def test_a_refused_request_does_not_hide_the_sync_before_it(
    instance: DagsterInstance, registry: ShopRegistry, database: Database
) -> None:
    """It never started, so a shop that was just synced, or is being synced, is not due."""
    register(registry, database, 3)
    just_now = datetime.now(UTC)
    registry.start_sync(sync_of(0, "s-0", just_now), registry.get(key(0)))
    registry.fail_sync("s-0", PlatformUnavailable("answered 500."))
    registry.start_sync(sync_of(1, "s-1", just_now - 3 * HOUR), registry.get(key(1)))
    registry.record_progress("s-1", pages=1, requests=1)
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
    [request] = tick(instance, database)
    assert listed_shops(request.run_config) == [key(2)]


def test_no_more_runs_than_allowed_are_launched(
    instance: DagsterInstance,
    registry: ShopRegistry,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The other due shops are launched when a run has ended."""
    monkeypatch.setenv("SHOPS_PER_RUN", "2")
    monkeypatch.setenv("SYNC_CRON", "0 0 1 1 *")
    register(registry, database, 9)
    with database.connect() as connection:
        connection.execute("UPDATE connector.shops SET registered_at = now() - interval '3 years'")
    requests = tick(instance, database)
    assert len(requests) == RUNS_AT_ONCE
    runs = [launch(instance, request, DagsterRunStatus.STARTED) for request in requests]
    assert tick(instance, database) == []
    run = instance.get_run_by_id(runs[0])
    assert run is not None
    instance.report_run_failed(run)
    [request] = tick(instance, database)
    taken = [shop for each in (*requests, request) for shop in listed_shops(each.run_config)]
    assert len(taken) == len(set(taken)) == 8


def test_the_next_sweep_takes_up_failed_shops_and_leaves_out_disconnected_ones(
    instance: DagsterInstance, registry: ShopRegistry, database: Database
) -> None:
    """Only a shop that refuses its credentials is not asked again, after any failure."""
    register(registry, database, 3)
    [request] = tick(instance, database)
    begun = datetime.now(UTC)
    for number, error in (
        (0, PlatformUnavailable("answered 500.")),
        (1, ShopDisconnected("refused the token.")),
    ):
        registry.start_sync(sync_of(number, f"s-{number}", begun), registry.get(key(number)))
        registry.fail_sync(f"s-{number}", error)
    launch(instance, request, DagsterRunStatus.FAILURE)
    assert tick(instance, database) == []
    with database.connect() as connection:
        connection.execute("UPDATE connector.shops SET last_swept_at = now() - interval '3 hours'")
        connection.execute("UPDATE connector.syncs SET started_at = now() - interval '3 hours'")
    [request] = tick(instance, database)
    assert set(listed_shops(request.run_config)) == {key(0), key(2)}


def test_a_database_that_cannot_be_read_launches_nothing(instance: DagsterInstance) -> None:
    """The tick says why."""
    gone = Database(url="postgresql://nobody@127.0.0.1:1/none")
    with build_sensor_context(instance=instance, resources={"database": gone}) as context:
        result = cast("SkipReason", sweep(context))
    assert "DatabaseUnavailable" in str(result.skip_message)
