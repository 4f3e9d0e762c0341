"""The sensor that turns sync requests into runs, one for each sync_id."""

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
"""As often as Dagster's daemon looks: it goes round its sensors every 5 seconds."""
ACCEPTED_A_TICK: Final = 1_000
LAUNCHED_A_TICK: Final = 50
UNDER_WAY_AT_ONCE: Final = 200
"""Requested runs in Dagster's queue or running. The queue is read whole every second, so what it
cannot start for minutes waits in the inbox, where waiting costs nothing."""

sync_shop: Final = define_asset_job(
    "sync_shop",
    selection=AssetSelection.assets("raw_products", "catalog_items"),
    description="Bring one shop up to date: fetch it, then publish it. What sync requests launch.",
)


def sync_requests_sensor(source: Source | None = None) -> SensorDefinition:
    """The sensor over the inbox, into which it first puts what `source` brings."""

    @sensor(
        job=sync_shop,
        minimum_interval_seconds=EVERY_SECONDS,
        default_status=DefaultSensorStatus.RUNNING,
        description="Turns each request in connector.sync_requests into one run of its shop.",
    )
    def sync_requests(
        context: SensorEvaluationContext, database: ResourceParam[Database]
    ) -> SensorResult | SkipReason:
        """Take in what arrived, then ask for the runs whose turn it is."""
        cursor = context.cursor
        try:
            if source is not None:
                cursor = _take_in(context, database, source)
            launches, waiting = _tick(context.instance, database)
        except ConnectorError as error:
            # Nothing is lost: what was not committed is taken again by the next tick.
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
    """The run of a request: asked for again under its key, it launches nothing."""
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
    """Put what arrived into the inbox; the cursor to go on from once that is committed."""
    try:
        arrivals = source(context.cursor)
    except ConnectorError as error:
        # Requests by SQL must not wait for it.
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
            f"{len(arrivals.dead_letters)} messages that are none"
        )
    return arrivals.cursor


def _tick(instance: DagsterInstance, database: Database) -> tuple[list[Launch], int]:
    """See which offered requests have their run, accept what arrived, offer what is next."""
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
    """The request's first run, unless the daemon died before it submitted it: then it is offered
    again, and submitted under the same run id."""
    runs = instance.get_runs(RunsFilter(tags={SYNC_ID_TAG: sync_id, run_tags.RUN_KEY: run_key}))
    submitted = [run for run in runs if run.status is not DagsterRunStatus.NOT_STARTED]
    return submitted[-1] if submitted else None
