"""The sensor that launches a run for each sync request."""

from typing import Final

from dagster import (
    AssetSelection,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    DefaultSensorStatus,
    ResourceParam,
    RunRequest,
    RunsFilter,
    SensorDefinition,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    define_asset_job,  # pyright: ignore[reportUnknownVariableType]  # partly untyped there
    sensor,  # pyright: ignore[reportUnknownVariableType]  # partly untyped there
)

from connector_pipeline.assets.partitions import shops
from connector_pipeline.assets.run_identity import (
    CORRELATION_ID_TAG,
    MERCHANT_ID_TAG,
    SYNC_ID_TAG,
    SYNC_TYPE_TAG,
)
from connector_pipeline.engine import run_tags
from connector_pipeline.messaging.arrivals import Source
from connector_pipeline.model.errors import ConnectorError
from connector_pipeline.postgres.database import Database
from connector_pipeline.state import inbox
from connector_pipeline.state.inbox import Launch
from connector_pipeline.state.outbox import put_dead_letter

EVERY_SECONDS: Final = 1
"""Less than the 5 seconds in which Dagster's daemon goes round its sensors: at every round."""
ACCEPTED_A_TICK: Final = 1_000
LAUNCHED_A_TICK: Final = 50
UNDER_WAY_AT_ONCE: Final = 200
"""Requested runs that are in Dagster's queue or running. Dagster reads its whole queue every
second, so further requests wait in the inbox, where waiting costs nothing."""

sync_shop: Final = define_asset_job(
    "sync_shop",
    selection=AssetSelection.assets("raw_products", "catalog_items"),
    description="Fetches one shop, then publishes it. Sync requests launch it.",
)


def sync_requests_sensor(source: Source | None = None) -> SensorDefinition:
    """Make the sensor over the inbox; it first puts the requests of `source` into the inbox."""

    @sensor(
        job=sync_shop,
        minimum_interval_seconds=EVERY_SECONDS,
        default_status=DefaultSensorStatus.RUNNING,
        description="Launches one run of its shop for each request in connector.sync_requests.",
    )
    def sync_requests(
        context: SensorEvaluationContext, database: ResourceParam[Database]
    ) -> SensorResult | SkipReason:
        """Take in the requests that arrived, then launch the runs of the next requests."""
        cursor = context.cursor
        try:
            if source is not None:
                cursor = _take_in(context, database, source)
            launches, waiting = _tick(context.instance, database)
        except ConnectorError as error:
            # Nothing is lost: the next tick takes again all that was not committed.
            return SkipReason(f"{error.code}: {error}")
        if not launches:
            return SensorResult(
                skip_reason=f"{waiting} requests wait for runs under way."
                if waiting
                else "No new requests.",
                cursor=cursor,
            )
        existing = set(context.instance.get_dynamic_partitions(str(shops.name)))
        keys = sorted({launch.shop.partition_key for launch in launches} - existing)
        context.log.info(f"launching {len(launches)} of {waiting} requests")
        return SensorResult(
            run_requests=[run_request(launch) for launch in launches],
            dynamic_partitions_requests=[shops.build_add_request(keys)] if keys else [],
            cursor=cursor,
        )

    return sync_requests


def run_request(launch: Launch) -> RunRequest:
    """The run of a request. Dagster launches a run key once, so repeating it has no effect."""
    return RunRequest(
        run_key=launch.run_key,
        partition_key=launch.shop.partition_key,
        tags={
            SYNC_ID_TAG: launch.sync_id,
            CORRELATION_ID_TAG: launch.correlation_id,
            MERCHANT_ID_TAG: launch.shop.merchant_id,
            SYNC_TYPE_TAG: launch.sync_type.value,
        },
        run_config={"ops": {"raw_products": {"config": {"sync_type": launch.sync_type.name}}}},
    )


def _take_in(context: SensorEvaluationContext, database: Database, source: Source) -> str | None:
    """Put the requests that arrived into the inbox. Returns the cursor to go on from."""
    try:
        arrivals = source(context.cursor)
    except ConnectorError as error:
        # Requests that come by SQL must not wait until the source works again.
        context.log.warning(f"{error.code}: {error}")
        return context.cursor
    for warning in arrivals.warnings:
        context.log.warning(warning)
    if arrivals.requests or arrivals.dead_letters:
        with database.connect() as connection:
            new = inbox.put(connection, arrivals.requests)
            for letter_id, letter in arrivals.dead_letters:
                put_dead_letter(connection, letter_id, letter)
        context.log.info(
            f"{len(arrivals.requests)} requests arrived, {new} of them new, and "
            f"{len(arrivals.dead_letters)} messages that are no requests"
        )
    return arrivals.cursor


def _tick(instance: DagsterInstance, database: Database) -> tuple[list[Launch], int]:
    """Find the runs of the offered requests, accept those that arrived, and offer the next.

    Returns the offered requests, and how many wait.
    """
    with database.connect() as connection:
        seen = [
            (sync_id, run.run_id)
            for sync_id, run_key in inbox.offered(connection)
            if (run := _run_of(instance, sync_id, run_key)) is not None
        ]
        inbox.launched(connection, seen)
    with database.connect() as connection:
        inbox.accept(connection, limit=ACCEPTED_A_TICK)
    with database.connect() as connection:
        launches = inbox.offer(connection, limit=LAUNCHED_A_TICK, at_once=UNDER_WAY_AT_ONCE)
        return launches, inbox.waiting(connection)


def _run_of(instance: DagsterInstance, sync_id: str, run_key: str) -> DagsterRun | None:
    """The request's first submitted run.

    If the daemon died before it submitted the run, there is none yet: the request is offered again,
    and Dagster submits it under the same run id.
    """
    runs = instance.get_runs(RunsFilter(tags={SYNC_ID_TAG: sync_id, run_tags.RUN_KEY: run_key}))
    submitted = [run for run in runs if run.status is not DagsterRunStatus.NOT_STARTED]
    return submitted[-1] if submitted else None
