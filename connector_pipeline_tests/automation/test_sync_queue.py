"""The queue's sensor launches runs over what waits: once, in two lanes, even if ticks are lost."""

import threading
from concurrent.futures import ThreadPoolExecutor

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

from connector_pipeline.assets.sync_shops import JOB, listed_shops
from connector_pipeline.automation.sync_queue import (
    AHEAD,
    capacity_for,
    launch_here,
    sync_queue_sensor,
)
from connector_pipeline.messaging.arrivals import Arrivals, Source
from connector_pipeline.model.errors import TokenServiceUnavailable
from connector_pipeline.model.hint import Hint, HintSource
from connector_pipeline.model.queue import QueueReason
from connector_pipeline.postgres.database import Database
from connector_pipeline.state import inbox, looking_on, sync_queue
from connector_pipeline.state.hints import ReceivedHint, put
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline_tests.state.test_inbox import request
from connector_pipeline_tests.state.test_sync_queue import Queue

ACME = "shopify/acme.myshopify.com"


@pytest.fixture
def queue(database: Database, registry: ShopRegistry) -> Queue:
    """An empty queue."""
    return Queue(database, registry)


def tick(
    instance: DagsterInstance,
    database: Database,
    source: Source | None = None,
    cursor: str | None = None,
) -> SensorResult:
    """Evaluate the sensor once and add its partitions, as the daemon does."""
    sensor = sync_queue_sensor(source, looks_for=0)
    context = build_sensor_context(
        instance=instance, cursor=cursor, resources={"database": database}
    )
    with context:
        result = sensor(context)
    assert isinstance(result, SensorResult)
    for added in result.dynamic_partitions_requests or []:
        instance.add_dynamic_partitions("shops", list(added.partition_keys))
    return result


def runs_of(result: SensorResult) -> list[RunRequest]:
    return list(result.run_requests or [])


def launch(
    instance: DagsterInstance,
    asked: RunRequest,
    status: DagsterRunStatus = DagsterRunStatus.STARTED,
) -> str:
    """Make the run as the daemon does."""
    run = create_run_for_test(
        instance, JOB, run_config=dict(asked.run_config), tags=dict(asked.tags), status=status
    )
    return run.run_id


def names(asked: RunRequest) -> set[str]:
    return {key.split("/")[1].split(".")[0] for key in listed_shops(asked.run_config)}


def test_a_request_becomes_a_run_with_its_ids_in_the_config(
    instance: DagsterInstance, queue: Queue
) -> None:
    """The same tick accepts it, registers its shop and adds the partition."""
    with queue.database.connect() as connection:
        inbox.put(connection, [request("s-1", correlation_id="c-1", sync_type="incremental")])
    [run] = runs_of(tick(instance, queue.database))
    assert run.job_name == JOB
    assert run.run_config["ops"]["fetch_and_publish"]["config"]["shops"] == [
        {"shop": ACME, "sync_type": "incremental", "sync_id": "s-1", "correlation_id": "c-1"}
    ]
    assert (run.tags["connector/lane"], run.tags["connector/reason"]) == ("foreground", "request")
    assert run.tags["connector/launch"] == run.run_key
    # The list of runs shows this and no run config.
    assert run.tags["connector/for"] == ACME
    assert "dagster/priority" not in run.tags
    assert instance.get_dynamic_partitions("shops") == [ACME]
    assert queue.registry.active_partition_keys() == [ACME]


def test_a_run_is_asked_for_until_it_is_submitted(instance: DagsterInstance, queue: Queue) -> None:
    """The next tick makes up for a lost one. A run that was only created is submitted again."""
    queue.request(("s-1", "acme"))
    [first] = runs_of(tick(instance, queue.database))
    [again] = runs_of(tick(instance, queue.database))
    assert (again.run_key, again.run_config) == (first.run_key, first.run_config)
    created = launch(instance, first, DagsterRunStatus.NOT_STARTED)
    [again] = runs_of(tick(instance, queue.database))
    assert again.run_key == first.run_key
    run = instance.get_run_by_id(created)
    assert run is not None
    instance.report_run_canceled(run)
    assert runs_of(tick(instance, queue.database)) == []
    [row] = queue.rows()
    assert (row["state"], row["run_id"]) == ("taken", created)


def test_the_first_run_of_a_line_of_retries_is_the_one_that_took_the_row(
    instance: DagsterInstance, queue: Queue
) -> None:
    """Dagster's retry has the tags of the run that it retries."""
    queue.request(("s-1", "acme"))
    [asked] = runs_of(tick(instance, queue.database))
    first = launch(instance, asked, DagsterRunStatus.FAILURE)
    launch(instance, asked)
    tick(instance, queue.database)
    assert [row["run_id"] for row in queue.rows()] == [first]


def test_a_burst_shares_runs(
    instance: DagsterInstance, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of its shops is in one run, and there are no more runs than may go on."""
    monkeypatch.setenv("SHOPS_PER_RUN", "10")
    monkeypatch.setenv("RUNS_AT_ONCE", "2")
    queue.request(*((f"s-{number}", f"shop-{number}") for number in range(90)))
    taken: list[str] = []
    while asked := runs_of(tick(instance, queue.database)):
        runs = [launch(instance, each, DagsterRunStatus.STARTED) for each in asked]
        assert len(runs) <= 2
        assert runs_of(tick(instance, queue.database)) == []
        taken += [name for each in asked for name in names(each)]
        queue.end(*taken)
        for run_id in runs:
            run = instance.get_run_by_id(run_id)
            assert run is not None
            instance.report_run_failed(run)
    assert sorted(taken) == sorted(f"shop-{number}" for number in range(90))


def test_a_request_passes_a_backfill(
    instance: DagsterInstance, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The background leaves it a run, and waits behind others in Dagster's queue."""
    monkeypatch.setenv("SHOPS_PER_RUN", "5")
    monkeypatch.setenv("RUNS_AT_ONCE", "3")
    keys = queue.register(*(f"filled-{number}" for number in range(40)))
    queue.put(keys, QueueReason.BACKFILL, backfill_id="b-1")
    background = runs_of(tick(instance, queue.database))
    assert len(background) == 2
    assert {run.tags["connector/backfill"] for run in background} == {"b-1"}
    assert {run.tags["dagster/priority"] for run in background} == {"-1"}
    for run in background:
        launch(instance, run, DagsterRunStatus.STARTED)
    queue.request(("s-1", "acme"))
    [run] = runs_of(tick(instance, queue.database))
    assert names(run) == {"acme"}


def test_a_shop_that_another_run_works_on_waits(instance: DagsterInstance, queue: Queue) -> None:
    """A person's run over one partition or a range of them, and a run of a list of shops."""
    keys = queue.register("alone", "from", "to", "free")
    instance.add_dynamic_partitions("shops", keys)
    for tags in (
        {"dagster/partition": keys[0]},
        {
            "dagster/asset_partition_range_start": keys[1],
            "dagster/asset_partition_range_end": keys[2],
        },
    ):
        create_run_for_test(instance, "__ASSET_JOB", tags=tags, status=DagsterRunStatus.STARTED)
    queue.put(keys, QueueReason.SWEEP)
    [run] = runs_of(tick(instance, queue.database))
    assert names(run) == {"free"}


def test_a_shop_whose_sync_has_ended_does_not_wait_for_the_rest_of_its_run(
    instance: DagsterInstance, queue: Queue
) -> None:
    """One slow shop of a hundred must not hold up the next request of the others."""
    queue.request(("s-1", "quick"), ("s-2", "slow"), ("s-3", "quick"), ("s-4", "slow"))
    [run] = runs_of(tick(instance, queue.database))
    launch(instance, run)
    assert runs_of(tick(instance, queue.database)) == []
    queue.end("quick")
    [run] = runs_of(tick(instance, queue.database))
    assert names(run) == {"quick"}


def test_a_shop_of_a_sweep_that_waited_long_is_of_the_foreground(
    instance: DagsterInstance, queue: Queue
) -> None:
    """Its run waits behind no others in Dagster's queue, nor for the background's runs."""
    queue.put(queue.register("swept"), QueueReason.SWEEP)
    queue.ages(21)
    [run] = runs_of(tick(instance, queue.database))
    assert (run.tags["connector/lane"], run.tags["connector/reason"]) == ("foreground", "sweep")
    assert "dagster/priority" not in run.tags


@given(
    foreground=st.integers(0, 12),
    background=st.integers(0, 12),
    waits=st.booleans(),
    most=st.integers(1, 10),
    ahead=st.sampled_from([0, AHEAD]),
)
def test_each_lane_leaves_the_other_a_run(
    foreground: int, background: int, waits: bool, most: int, ahead: int
) -> None:
    """Dagster lets the foreground pass, so it is bounded; the background may wait in its queue."""
    capacity = capacity_for(
        foreground=foreground,
        background=background,
        background_waits=waits,
        runs_at_once=most,
        ahead=ahead,
    )
    assert foreground + background + capacity.in_all <= max(most + ahead, foreground + background)
    if most == 1:
        assert capacity.in_all <= 1 - foreground - background
        return
    if waits or background:
        assert foreground + max(0, capacity.foreground) <= max(most - 1, foreground)
    if foreground == background == 0:
        assert min(capacity.foreground, capacity.background, capacity.in_all) >= 1


def test_requests_of_a_source_are_launched_in_the_same_way(
    instance: DagsterInstance, database: Database
) -> None:
    """The source's cursor is kept, and a repeated request is known."""

    def source(cursor: str | None) -> Arrivals:
        assert cursor == "before"
        return Arrivals(cursor="after", requests=[request("s-1"), request("s-1")])

    result = tick(instance, database, source, "before")
    [run] = runs_of(result)
    assert listed_shops(run.run_config) == [ACME]
    assert result.cursor == "after"


def test_a_source_that_is_away_holds_up_nobody(
    instance: DagsterInstance, database: Database
) -> None:
    """Requests that came by SQL are launched, and the cursor stays."""

    def source(cursor: str | None) -> Arrivals:
        raise TokenServiceUnavailable("is away.")

    with database.connect() as connection:
        inbox.put(connection, [request("s-1")])
    result = tick(instance, database, source, "before")
    assert len(runs_of(result)) == 1
    assert result.cursor == "before"


def long_tick(
    queue: Queue, instance: DagsterInstance, source: Source | None = None
) -> SensorResult:
    """A tick that looks on for longer than any test waits for it."""
    sensor = sync_queue_sensor(source, looks_for=120)
    with build_sensor_context(instance=instance, resources={"database": queue.database}) as context:
        result = sensor(context)
    assert isinstance(result, SensorResult)
    return result


@pytest.mark.parametrize("reason", ["request", "change"])
def test_a_tick_looks_on_until_something_arrives(
    reason: str, instance: DagsterInstance, queue: Queue
) -> None:
    """A row that comes while it looks is launched by it, and not by the next tick."""
    [key] = queue.register("acme")
    looked = threading.Event()

    def source(cursor: str | None) -> Arrivals:
        # The tick asks its source again only after it has found nothing.
        if cursor == "looked":
            looked.set()
        return Arrivals(cursor="looked")

    def put() -> None:
        assert looked.wait(60)
        if reason == "request":
            with queue.database.connect() as connection:
                inbox.put(connection, [request("s-1")])
        else:
            queue.put([key], QueueReason.CHANGE)

    with ThreadPoolExecutor(1) as thread:
        putting = thread.submit(put)
        [run] = runs_of(long_tick(queue, instance, source))
        putting.result()
    assert listed_shops(run.run_config) == [ACME]


def test_a_tick_launches_a_shop_whose_sync_ends_while_it_looks(
    instance: DagsterInstance, queue: Queue
) -> None:
    """Several requests of one shop do not each wait for Dagster's next round."""
    queue.request(("s-1", "acme"), ("s-2", "acme"))
    [first] = runs_of(tick(instance, queue.database))
    launch(instance, first)
    looked = threading.Event()

    def source(cursor: str | None) -> Arrivals:
        if cursor == "looked":
            looked.set()
        return Arrivals(cursor="looked")

    def end() -> None:
        assert looked.wait(60)
        queue.end("acme")

    with ThreadPoolExecutor(1) as thread:
        ending = thread.submit(end)
        [second] = runs_of(long_tick(queue, instance, source))
        ending.result()
    assert second.run_config["ops"]["fetch_and_publish"]["config"]["shops"][0]["sync_id"] == "s-2"


def test_a_tick_launches_a_hinted_shop_when_its_pause_is_over(
    instance: DagsterInstance, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hint that comes while the tick looks on, too, is in the sync."""
    monkeypatch.setenv("HINT_PAUSE", "1h")
    queue.register("acme")
    looked = threading.Event()

    def hint(token: str) -> None:
        received = ReceivedHint(
            "shopify", "acme.myshopify.com", HintSource.WEBHOOK, Hint("update", token)
        )
        with queue.database.connect() as connection:
            connection.execute("UPDATE connector.shops SET high_water_mark = now()")
            put(connection, [received])

    def source(cursor: str | None) -> Arrivals:
        if cursor == "looked":
            looked.set()
        return Arrivals(cursor="looked")

    def hint_again() -> None:
        assert looked.wait(60)
        hint("2")
        while not any(set(row["hints"]) == {"1", "2"} for row in queue.rows()):
            assert not over.wait(0.01)
        queue.pause(ACME, seconds=0)

    over = threading.Event()
    hint("1")
    with ThreadPoolExecutor(1) as thread:
        hinting = thread.submit(hint_again)
        try:
            [run] = runs_of(long_tick(queue, instance, source))
        finally:
            over.set()
        hinting.result()
    assert listed_shops(run.run_config) == [ACME]
    assert (run.tags["connector/lane"], run.tags["connector/reason"]) == ("foreground", "change")
    [row] = queue.rows()
    assert set(row["hints"]) == {"1", "2"}


def test_where_sensors_share_a_thread_a_tick_does_not_look_on(queue: Queue) -> None:
    """The other sensors would wait for it."""
    with DagsterInstance.ephemeral() as without_threads:
        assert runs_of(long_tick(queue, without_threads)) == []


def test_a_tick_looks_on_for_messages_too(instance: DagsterInstance, queue: Queue) -> None:
    """The cursor is that of the last time that the source was asked."""

    def source(cursor: str | None) -> Arrivals:
        number = int(cursor or "0") + 1
        return Arrivals(cursor=str(number), requests=[request("s-1")] if number == 2 else [])

    result = long_tick(queue, instance, source)
    [run] = runs_of(result)
    assert listed_shops(run.run_config) == [ACME]
    assert result.cursor == "2" or result.cursor == "3"


def test_no_tick_looks_on_while_the_daemon_is_being_stopped(
    instance: DagsterInstance, queue: Queue
) -> None:
    """Dagster's daemon waits for its ticks, and whoever pressed Ctrl-C for the daemon."""
    looked = threading.Event()

    def source(cursor: str | None) -> Arrivals:
        if cursor == "looked":
            looked.set()
        return Arrivals(cursor="looked")

    with ThreadPoolExecutor(1) as thread:
        ticking = thread.submit(long_tick, queue, instance, source)
        assert looked.wait(60)
        with looking_on.forbidden(queue.database):
            assert runs_of(ticking.result(60)) == []


def test_a_tick_takes_in_a_burst_as_a_whole(instance: DagsterInstance, queue: Queue) -> None:
    """What waits in the inbox would not be in turn yet."""
    with queue.database.connect() as connection:
        inbox.put(connection, [request(f"s-{n}", f"shop-{n}") for n in range(1_500)])
    tick(instance, queue.database)
    with queue.database.connect() as connection:
        assert inbox.arrived(connection) == 0
        assert sum(sync_queue.waiting(connection)) + len(queue.rows("state = 'taken'")) == 1_500


def test_without_a_database_a_tick_changes_nothing(instance: DagsterInstance) -> None:
    """The tick says which error it was."""
    away = Database(url="postgresql://127.0.0.1:1/catalog")
    sensor = sync_queue_sensor()
    with build_sensor_context(instance=instance, resources={"database": away}) as context:
        result = sensor(context)
    assert isinstance(result, SkipReason)
    assert "DatabaseUnavailable" in (result.skip_message or "")


def test_a_command_claims_one_run_at_a_time(
    instance: DagsterInstance, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon that starts meanwhile asks for no run of it, and a killed command leaves one."""
    monkeypatch.setenv("SHOPS_PER_RUN", "1")
    queue.put(queue.register("a", "b", "c"), QueueReason.BACKFILL, backfill_id="mine")
    queue.put(queue.register("d"), QueueReason.BACKFILL, backfill_id="other")
    claimed = launch_here(instance, queue.database, of="mine", run_id="run-1")
    assert claimed is not None
    assert [shop.partition_key for shop in claimed.shops] == ["shopify/a.myshopify.com"]
    assert [row["run_id"] for row in queue.rows("state = 'taken'")] == ["run-1"]
    asked = runs_of(tick(instance, queue.database))
    assert "a" not in {name for each in asked for name in names(each)}
