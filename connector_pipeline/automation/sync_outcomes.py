"""The sensor that ends runs whose worker is dead, and syncs whose run did not record their end.

It also counts the syncs that ended (`sync_totals`), because it looks at syncs all the time.

A run that is killed, cancelled while it waits, or fails before its first step records nothing. The
sensor goes by the project's record of unfinished syncs and Dagster's record of started runs,
because Dagster's run status sensors look at few runs at a time and may skip some.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import Final

from dagster import (
    DagsterInstance,
    DagsterRunStatus,
    DefaultSensorStatus,
    ResourceParam,
    SensorEvaluationContext,
    SensorResult,
    sensor,  # pyright: ignore[reportUnknownVariableType]  # partly untyped there
)
from psycopg.rows import class_row

from connector_pipeline.assets.catalog_items import catalog_items
from connector_pipeline.automation.dead_workers import fail_runs_of_dead_workers
from connector_pipeline.engine.code_servers import is_of_another_location
from connector_pipeline.engine.retries import LastRun, last_runs
from connector_pipeline.model.counted import counted
from connector_pipeline.model.errors import ConnectorError, SyncAbandoned
from connector_pipeline.postgres.database import Database
from connector_pipeline.state import sync_failure, sync_queue, sync_totals

EVERY_SECONDS: Final = 15
_LOOKED_AT_A_TICK: Final = 20_000

RUN_APPEARS_WITHIN: Final = timedelta(minutes=1)
"""A sync and its run are recorded at slightly different times, and either may come first."""
RETRY_DECIDED_WITHIN: Final = timedelta(minutes=1)
"""Dagster tags a failed run as to be retried just after the failure."""
RETRY_STARTS_WITHIN: Final = timedelta(hours=1)
"""A promised retry that has not come by then will not come, for example because its job is gone."""
PUBLISHED_WITHIN: Final = timedelta(hours=6)
"""Dagster's own backfill fetches its shops in some runs and publishes them in later ones."""

# A shop that was taken for a run may have no sync yet, and an asset's run has none in the queue.
_UNFINISHED: Final = """
    SELECT row.sync_id, sync.status, sync.started_at, sync.fetched_at, row.run_id,
        greatest(sync.started_at, row.taken_at) AS since
    FROM connector.sync_queue AS row LEFT JOIN connector.syncs AS sync USING (sync_id)
    WHERE row.state = 'taken' AND row.run_id IS NOT NULL
    UNION ALL
    SELECT sync.sync_id, sync.status, sync.started_at, sync.fetched_at, sync.run_id,
        sync.started_at AS since
    FROM connector.syncs AS sync
    WHERE sync.status IN ('pending', 'running') AND NOT EXISTS (
        SELECT FROM connector.sync_queue AS row
        WHERE row.sync_id = sync.sync_id AND row.state <> 'ended'
    )
    ORDER BY since NULLS FIRST LIMIT %s
"""


@dataclass(frozen=True, slots=True)
class UnfinishedSync:
    """A sync that is running, or a shop of the queue whose run was seen.

    `status` is None if the sync was not recorded yet.
    """

    sync_id: str
    status: str | None
    started_at: datetime | None
    fetched_at: datetime | None
    run_id: str | None
    since: datetime | None


def ending(sync: UnfinishedSync, run: LastRun | None, *, now: datetime) -> str | None:
    """Say why a sync that recorded no end has ended; None while it may still go on."""
    if run is None:
        waited = now - sync.since if sync.since is not None else RUN_APPEARS_WITHIN
        return None if waited < RUN_APPEARS_WITHIN else "its run is gone."
    if run.ended_at is None:
        return None
    ended = now - run.ended_at
    if run.status is DagsterRunStatus.FAILURE:
        if run.will_retry is None and ended < RETRY_DECIDED_WITHIN:
            return None
        if run.will_retry and ended < RETRY_STARTS_WITHIN:
            return None
    if (
        sync.fetched_at is not None
        and not _publishes(run)
        and now - sync.fetched_at < PUBLISHED_WITHIN
    ):
        return None
    how = {
        DagsterRunStatus.CANCELED: "was cancelled",
        DagsterRunStatus.FAILURE: "failed before it could say why",
    }.get(run.status, "ended without publishing the shop")
    return f"its run {run.run_id} {how}."


def _publishes(run: LastRun) -> bool:
    """Whether the run was to publish the shops that it fetched."""
    return run.assets is None or catalog_items.key in run.assets


def may_run_again(run: LastRun | None) -> bool:
    """Whether a shop of the queue waits again if its run ended like this.

    It is if the run failed: Dagster does not retry a run while the code server is away, and fails
    a run that it cannot launch. It is if the run succeeded: a retry that only publishes takes the
    shop's newest snapshot, which may be another sync's by then. It is not if somebody cancelled or
    deleted the run.
    """
    return run is not None and run.status in (DagsterRunStatus.FAILURE, DagsterRunStatus.SUCCESS)


@sensor(
    minimum_interval_seconds=EVERY_SECONDS,
    default_status=DefaultSensorStatus.RUNNING,
    description="Ends the syncs in connector.syncs that a run left unfinished when it was over, "
    "and the runs whose worker is dead.",
)
def sync_outcomes(
    context: SensorEvaluationContext, database: ResourceParam[Database]
) -> SensorResult:
    """Look at every unfinished sync, and end those that no run works on any more."""
    now = datetime.now(UTC)
    try:
        with database.connect() as connection:
            sync_totals.count(connection)
        syncs = end_abandoned_syncs(context.instance, database, now=now)
        workers = fail_runs_of_dead_workers(
            context.instance,
            database,
            _suspects(context.cursor),
            now=now,
            is_of_others=lambda run: is_of_another_location(run, context.code_location_origin),
        )
    except ConnectorError as error:
        return SensorResult(skip_reason=f"{error.code}: {error}", cursor=context.cursor)
    for run_id in workers.failed_runs:
        context.log.warning(f"run {run_id} has failed: its worker is dead")
    for sync_id in syncs.relaunched:
        context.log.warning(f"sync {sync_id} waits in the queue again: its run ended without it")
    for sync_id, why in syncs.ended.items():
        context.log.warning(f"sync {sync_id} has failed: {why}")
    return SensorResult(
        skip_reason=f"Unfinished: {counted(syncs.number, 'sync')}; ended now, because the run is "
        f"over: {len(syncs.ended)}; put into the queue again: {len(syncs.relaunched)}.",
        cursor=json.dumps({run: since.isoformat() for run, since in workers.suspects.items()}),
    )


@dataclass(frozen=True, slots=True)
class UnfinishedSyncs:
    """The number of unfinished syncs, and those that were ended or relaunched.

    `ended` has the reason for each sync; `relaunched` are syncs that go on with a new run.
    """

    number: int
    relaunched: list[str]
    ended: dict[str, str]


def end_abandoned_syncs(
    instance: DagsterInstance, database: Database, *, now: datetime
) -> UnfinishedSyncs:
    """End the syncs that no run works on any more, or let their shops wait in the queue again.

    Raises DatabaseUnavailable.
    """
    with database.connect() as connection:
        unfinished = (
            connection.cursor(row_factory=class_row(UnfinishedSync))
            .execute(_UNFINISHED, (_LOOKED_AT_A_TICK,))
            .fetchall()
        )
    runs = last_runs(instance, {sync.run_id for sync in unfinished if sync.run_id is not None})
    ended: dict[str, str] = {}
    relaunched: list[str] = []
    for sync in unfinished:
        run = runs.get(sync.run_id or "")
        why = ending(sync, run, now=now)
        if why is None:
            continue
        done = _end(database, sync, why, run_again=may_run_again(run))
        if done is _Done.ENDED:
            ended[sync.sync_id] = why
        elif done is _Done.RELAUNCHED:
            relaunched.append(sync.sync_id)
    return UnfinishedSyncs(number=len(unfinished), relaunched=relaunched, ended=ended)


def _suspects(cursor: str | None) -> dict[str, datetime]:
    try:
        return {
            run: datetime.fromisoformat(since) for run, since in json.loads(cursor or "{}").items()
        }
    except (ValueError, TypeError, AttributeError):
        return {}


class _Done(Enum):
    NOTHING = auto()
    RELAUNCHED = auto()
    ENDED = auto()


def _end(database: Database, sync: UnfinishedSync, why: str, *, run_again: bool) -> _Done:
    """End a sync as failed, unless its run has recorded something of it since we looked.

    With `run_again` let its shop wait in the queue again instead, if it is a shop of the queue that
    did not do so too often.
    """
    with database.connect() as connection:
        now = connection.execute(
            "SELECT status, started_at FROM connector.syncs WHERE sync_id = %s FOR UPDATE",
            (sync.sync_id,),
        ).fetchone()
        if (now or (None, None)) != (sync.status, sync.started_at):
            return _Done.NOTHING
        if run_again and sync_queue.put_again(connection, sync.sync_id):
            return _Done.RELAUNCHED
        sync_failure.fail(connection, sync.sync_id, SyncAbandoned(why))
    return _Done.ENDED
