"""Each request is launched as one run of its shop, even if ticks are lost."""

from dagster import (
    DagsterInstance,
    DagsterRunStatus,
    RunRequest,
    SensorResult,
    SkipReason,
    build_sensor_context,
)
from dagster._core.test_utils import create_run_for_test

from connector_pipeline.automation.sync_requests import sync_requests_sensor
from connector_pipeline.messaging.arrivals import Arrivals, Source
from connector_pipeline.model.errors import TokenServiceUnavailable
from connector_pipeline.postgres.database import Database
from connector_pipeline.state import inbox
from connector_pipeline.state.registry import ShopRegistry
from connector_pipeline_tests.state.test_inbox import request

ACME = "shopify/acme.myshopify.com"


def tick(
    instance: DagsterInstance,
    database: Database,
    source: Source | None = None,
    cursor: str | None = None,
) -> SensorResult:
    """Evaluate the sensor once and add its partitions, as the daemon does."""
    sensor = sync_requests_sensor(source)
    context = build_sensor_context(
        instance=instance, cursor=cursor, resources={"database": database}
    )
    with context:
        result = sensor(context)
    assert isinstance(result, SensorResult)
    for added in result.dynamic_partitions_requests or []:
        instance.add_dynamic_partitions("shops", list(added.partition_keys))
    return result


def requested(result: SensorResult) -> list[RunRequest]:
    return list(result.run_requests or [])


def test_a_request_is_launched_as_a_run_with_its_tags(
    instance: DagsterInstance, database: Database, registry: ShopRegistry
) -> None:
    """The same tick registers its shop and adds the partition."""
    with database.connect() as connection:
        inbox.put(connection, [request("s-1", correlation_id="c-1", sync_type="incremental")])
    [run] = requested(tick(instance, database))
    assert (run.run_key, run.partition_key) == ("s-1", ACME)
    assert run.tags == {
        "connector/sync_id": "s-1",
        "connector/correlation_id": "c-1",
        "connector/merchant_id": "m-1",
        "connector/sync_type": "incremental",
    }
    assert run.run_config == {"ops": {"raw_products": {"config": {"sync_type": "incremental"}}}}
    assert instance.get_dynamic_partitions("shops") == [ACME]
    assert registry.active_partition_keys() == [ACME]


def test_a_request_is_offered_until_its_run_is_submitted(
    instance: DagsterInstance, database: Database
) -> None:
    """The next tick makes up for a lost one. A run that was only created is submitted again."""
    with database.connect() as connection:
        inbox.put(connection, [request("s-1")])
    for _ in range(2):
        assert [run.run_key for run in requested(tick(instance, database))] == ["s-1"]
    created = create_run_for_test(
        instance,
        status=DagsterRunStatus.NOT_STARTED,
        tags={"connector/sync_id": "s-1", "dagster/run_key": "s-1"},
    )
    assert [run.run_key for run in requested(tick(instance, database))] == ["s-1"]
    instance.report_run_canceled(created)
    assert requested(tick(instance, database)) == []
    with database.connect() as connection:
        row = connection.execute("SELECT run_id FROM connector.sync_requests").fetchone()
    assert row == (created.run_id,)


def test_a_request_launched_anew_is_another_run(
    instance: DagsterInstance, database: Database
) -> None:
    """It has another run key, and the sensor does not take the first run for the second."""
    with database.connect() as connection:
        inbox.put(connection, [request("s-1")])
    tick(instance, database)
    tags = {"connector/sync_id": "s-1", "dagster/run_key": "s-1"}
    create_run_for_test(instance, status=DagsterRunStatus.FAILURE, tags=tags)
    assert requested(tick(instance, database)) == []
    with database.connect() as connection:
        assert inbox.relaunch(connection, "s-1")
    [run] = requested(tick(instance, database))
    assert (run.run_key, run.tags["connector/sync_id"]) == ("s-1 relaunch 1", "s-1")


def test_requests_of_a_source_are_launched_in_the_same_way(
    instance: DagsterInstance, database: Database
) -> None:
    """The source's cursor is kept, and a repeated request is known."""

    def source(cursor: str | None) -> Arrivals:
        assert cursor == "before"
        return Arrivals(cursor="after", requests=[request("s-1"), request("s-1")])

    result = tick(instance, database, source, "before")
    assert [run.run_key for run in requested(result)] == ["s-1"]
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
    assert [run.run_key for run in requested(result)] == ["s-1"]
    assert result.cursor == "before"


def test_without_a_database_a_tick_changes_nothing(instance: DagsterInstance) -> None:
    """The tick says which error it was."""
    away = Database(url="postgresql://127.0.0.1:1/catalog")
    sensor = sync_requests_sensor()
    with build_sensor_context(instance=instance, resources={"database": away}) as context:
        result = sensor(context)
    assert isinstance(result, SkipReason)
    assert "DatabaseUnavailable" in (result.skip_message or "")
