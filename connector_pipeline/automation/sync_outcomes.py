"""The sensor that ends runs whose worker is dead, and syncs whose run did not say how they ended.

A run that is killed, cancelled while it waits, or fails before its first step says nothing. What
drives this is our own record of what is unfinished, and Dagster's of what has started: its
run-status sensors look at few runs at a time and may skip some.
"""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import Any, Final

from dagster import (
    AssetKey,
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    DefaultSensorStatus,
    RunRecord,
    RunsFilter,
    SensorEvaluationContext,
    SensorResult,
    sensor,  # pyright: ignore[reportUnknownVariableType]  # partly untyped there
)
from dagster._core.storage.tags import AUTO_RETRY_RUN_ID_TAG, GRPC_INFO_TAG, WILL_RETRY_TAG
from psycopg.rows import class_row

from connector_pipeline.assets.sync_shops import JOB as SYNC_SHOPS
from connector_pipeline.automation.sync_requests import sync_shop
from connector_pipeline.model.errors import ConnectorError, SyncAbandoned
from connector_pipeline.postgres.database import Database
from connector_pipeline.state import inbox, sync_log
from connector_pipeline.state.liveness import Worker, lives, silent

EVERY_SECONDS: Final = 15
_LOOKED_AT_A_TICK: Final = 20_000
_RUNS_A_QUERY: Final = 500
_MOST_RETRIES: Final = 10

RUN_APPEARS_WITHIN: Final = timedelta(minutes=1)
"""Between a sync's record and its run's there is an instant, whichever comes first."""
RETRY_DECIDED_WITHIN: Final = timedelta(minutes=1)
"""Dagster tags a failed run as to be retried just after it failed."""
RETRY_STARTS_WITHIN: Final = timedelta(hours=1)
"""A retry that was promised and did not come by then, will not: its job is gone, say."""
PUBLISHED_WITHIN: Final = timedelta(hours=6)
"""A backfill fetches its shops in some runs and publishes them in later ones."""

DEAD_FOR: Final = timedelta(seconds=30)
"""Between two looks at a process that is gone: another one of its run may be on its way."""
UNHEARD_FOR: Final = timedelta(minutes=10)
"""A worker that cannot be looked at from here may be slow, or cut off from the database, for long;
to take one that lives for dead would start its run twice."""
NEVER_HEARD_FOR: Final = timedelta(minutes=3)
"""A worker itself says that its run has started, and shows its first sign of life seconds later."""

_CATALOG_ITEMS: Final = AssetKey("catalog_items")
_ASSETS: Final = frozenset({AssetKey("raw_products"), _CATALOG_ITEMS})
_JOBS: Final = frozenset({sync_shop.name, SYNC_SHOPS})

_UNFINISHED: Final = """
    SELECT sync.sync_id, sync.status, sync.started_at, sync.fetched_at,
        coalesce(sync.run_id, request.run_id) AS run_id,
        coalesce(sync.started_at, request.launched_at) AS since
    FROM connector.syncs AS sync LEFT JOIN connector.sync_requests AS request USING (sync_id)
    WHERE sync.status IN ('pending', 'running')
        -- What waits in the inbox has no run yet.
        AND (sync.status = 'running' OR request.launched_at IS NOT NULL OR request.id IS NULL)
    ORDER BY since NULLS FIRST LIMIT %s
"""


@dataclass(frozen=True, slots=True)
class UnfinishedSync:
    """A sync that is pending with a run launched for it, or running."""

    sync_id: str
    status: str
    started_at: datetime | None
    fetched_at: datetime | None
    run_id: str | None
    since: datetime | None


@dataclass(frozen=True, slots=True)
class LastRun:
    """The last of a sync's runs. `publishes`: it was to publish what it fetched."""

    run_id: str
    status: DagsterRunStatus
    ended_at: datetime | None
    will_retry: bool | None
    publishes: bool


def verdict(sync: UnfinishedSync, run: LastRun | None, *, now: datetime) -> str | None:
    """Why the sync has ended without a word, None while it may still go on."""
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
        and not run.publishes
        and now - sync.fetched_at < PUBLISHED_WITHIN
    ):
        return None
    how = {
        DagsterRunStatus.CANCELED: "was cancelled",
        DagsterRunStatus.FAILURE: "failed before it could say why",
    }.get(run.status, "ended without publishing the shop")
    return f"its run {run.run_id} {how}."


def may_run_again(run: LastRun | None) -> bool:
    """Whether a request whose sync ended like this is to be launched anew.

    Where its run failed: Dagster does not retry one while the code server is away, and fails one
    that it cannot launch. Where it succeeded: a retry that only publishes takes the shop's newest
    snapshot, which may be another sync's by then. Not where somebody cancelled or deleted it.
    """
    return run is not None and run.status in (DagsterRunStatus.FAILURE, DagsterRunStatus.SUCCESS)


@sensor(
    minimum_interval_seconds=EVERY_SECONDS,
    default_status=DefaultSensorStatus.RUNNING,
    description="Ends syncs in connector.syncs whose Dagster run is over and left them unfinished.",
)
def sync_outcomes(context: SensorEvaluationContext, database: Database) -> SensorResult:
    """Look at every unfinished sync, and end what nothing works on any more."""
    try:
        looked = look_after(
            context.instance, database, _suspects(context.cursor), now=datetime.now(UTC)
        )
    except ConnectorError as error:
        return SensorResult(skip_reason=f"{error.code}: {error}", cursor=context.cursor)
    for run_id in looked.failed_runs:
        context.log.warning(f"run {run_id} has failed: its worker is dead")
    for sync_id in looked.relaunched:
        context.log.warning(f"sync {sync_id} is launched anew: its run failed without a word")
    for sync_id, why in looked.ended.items():
        context.log.warning(f"sync {sync_id} has failed: {why}")
    return SensorResult(
        skip_reason=f"{looked.unfinished} syncs are unfinished, {len(looked.ended)} ended now.",
        cursor=json.dumps({run: since.isoformat() for run, since in looked.suspects.items()}),
    )


@dataclass(frozen=True, slots=True)
class LookedAfter:
    """What one look at the unfinished syncs found and did.

    `suspects` are runs whose worker is silent, and since when; `ended` tells why each sync did;
    `relaunched` are syncs that go on with a new run.
    """

    unfinished: int
    relaunched: list[str]
    ended: dict[str, str]
    failed_runs: list[str]
    suspects: dict[str, datetime]


def look_after(
    instance: DagsterInstance, database: Database, suspects: dict[str, datetime], *, now: datetime
) -> LookedAfter:
    """End the syncs that nothing works on any more, and the runs whose worker is dead.

    A run is failed when its worker was silent at two looks DEAD_FOR apart and its process does not
    exist, or UNHEARD_FOR apart where that cannot be seen (NEVER_HEARD_FOR where it showed no sign
    at all). Dagster then runs it again, which is not the end of its syncs. All runs are looked at
    and not only those of unfinished syncs: one that died when it had published its last shop keeps
    its place among the runs at once, and its partitions in progress.
    """
    with database.connect() as connection:
        unfinished = (
            connection.cursor(row_factory=class_row(UnfinishedSync))
            .execute(_UNFINISHED, (_LOOKED_AT_A_TICK,))
            .fetchall()
        )
    runs = _last_runs(instance, {sync.run_id for sync in unfinished if sync.run_id is not None})
    ended: dict[str, str] = {}
    relaunched: list[str] = []
    for sync in unfinished:
        run = runs.get(sync.run_id or "")
        why = verdict(sync, run, now=now)
        if why is None:
            continue
        outcome = _end(database, sync, why, run_again=may_run_again(run))
        if outcome is _Outcome.FAILED:
            ended[sync.sync_id] = why
        elif outcome is _Outcome.RELAUNCHED:
            relaunched.append(sync.sync_id)
    silent_runs = _silent_runs(instance, database)
    still = {run_id: suspects.get(run_id, now) for run_id in silent_runs}
    dead = [
        run_id
        for run_id, since in still.items()
        if is_dead(silent_runs[run_id], silent_for=now - since)
    ]
    for run_id in dead:
        _fail_run(instance, run_id)
    return LookedAfter(
        unfinished=len(unfinished),
        relaunched=relaunched,
        ended=ended,
        failed_runs=dead,
        suspects={run_id: since for run_id, since in still.items() if run_id not in dead},
    )


def is_dead(worker: Worker | None, *, silent_for: timedelta) -> bool:
    """Whether a silent worker is dead: its process is looked for, where that can be.

    Never where the process exists: on a busy machine a healthy worker may not come to say so.
    """
    if worker is None:
        return silent_for >= NEVER_HEARD_FOR
    process_lives = lives(worker)
    if process_lives is None:
        return silent_for >= UNHEARD_FOR
    return not process_lives and silent_for >= DEAD_FOR


def _silent_runs(instance: DagsterInstance, database: Database) -> dict[str, Worker | None]:
    """Runs that a code server's worker is to be at work on and that show no sign of one."""
    records = instance.get_run_records(RunsFilter(statuses=[DagsterRunStatus.STARTED]))
    started = {record.dagster_run.run_id for record in records if _shows_signs(record.dagster_run)}
    if not started:
        return {}
    with database.connect() as connection:
        return silent(connection, started)


def _shows_signs(run: DagsterRun) -> bool:
    """Whether the run's worker shows signs of life: that of our assets, if a code server runs it.

    A command's own run is not launched by one; a job that fetches and publishes nothing is silent.
    """
    syncs = run.job_name in _JOBS or not _ASSETS.isdisjoint(run.asset_selection or ())
    return syncs and GRPC_INFO_TAG in run.tags


def _fail_run(instance: DagsterInstance, run_id: str) -> None:
    run = instance.get_run_by_id(run_id)
    if run is not None and run.status is DagsterRunStatus.STARTED:
        instance.report_run_failed(
            run, "Its worker shows no sign of life: it was killed, with its code server or alone."
        )


def _suspects(cursor: str | None) -> dict[str, datetime]:
    try:
        return {
            run: datetime.fromisoformat(since) for run, since in json.loads(cursor or "{}").items()
        }
    except (ValueError, TypeError, AttributeError):
        return {}


class _Outcome(Enum):
    WENT_ON = auto()
    RELAUNCHED = auto()
    FAILED = auto()


def _end(database: Database, sync: UnfinishedSync, why: str, *, run_again: bool) -> _Outcome:
    """End a sync, unless it went on meanwhile: its run wrote its last before it was over.

    With `run_again` it is ended only if it was launched anew too often, or was never requested.
    """
    with database.connect() as connection:
        unchanged = connection.execute(
            "SELECT 1 FROM connector.syncs WHERE sync_id = %s AND status = %s"
            " AND started_at IS NOT DISTINCT FROM %s FOR UPDATE",
            (sync.sync_id, sync.status, sync.started_at),
        ).fetchone()
        if unchanged is None:
            return _Outcome.WENT_ON
        if run_again and inbox.relaunch(connection, sync.sync_id):
            return _Outcome.RELAUNCHED
        sync_log.fail(connection, sync.sync_id, SyncAbandoned(why))
    return _Outcome.FAILED


def _last_runs(instance: DagsterInstance, run_ids: set[str]) -> dict[str, LastRun]:
    """The last run of each run's line of automatic retries, by the first one's id."""
    # Read before the runs: what Dagster has looked at by now has its retry by then, or never.
    failures_seen = _failures_seen(instance)
    wanted = {run_id: run_id for run_id in run_ids}
    found: dict[str, LastRun] = {}
    for _ in range(_MOST_RETRIES):
        if not wanted:
            break
        records = _records(instance, set(wanted.values()))
        following: dict[str, str] = {}
        for first, run_id in wanted.items():
            record = records.get(run_id)
            if record is None:
                continue
            last = _last_run(record)
            retried_as = record.dagster_run.tags.get(AUTO_RETRY_RUN_ID_TAG)
            if retried_as is not None:
                following[first] = retried_as
            elif last.will_retry and _failed_at(instance, run_id) <= failures_seen:
                # Backfills, too, wait for a retry that was promised.
                instance.add_run_tags(run_id, {WILL_RETRY_TAG: "false"})
                last = replace(last, will_retry=False)
            found[first] = last
        wanted = following
    return found


def _failures_seen(instance: DagsterInstance) -> int:
    """The newest event of which Dagster's own retries have been made, or been missed.

    The daemon looks at each failure once. Where the code server is away that very moment it goes
    on, and does not come back to it.
    """
    key = f"EVENT_LOG_CONSUMER_CURSOR-{DagsterEventType.RUN_FAILURE.value}"
    return int(instance.daemon_cursor_storage.get_cursor_values({key}).get(key, "0"))


def _failed_at(instance: DagsterInstance, run_id: str) -> float:
    """The run's failure in the order of all events."""
    failures = instance.get_records_for_run(run_id, of_type=DagsterEventType.RUN_FAILURE).records
    return max((record.storage_id for record in failures), default=math.inf)


def _records(instance: DagsterInstance, run_ids: Iterable[str]) -> dict[str, RunRecord]:
    ordered = sorted(run_ids)
    records: dict[str, RunRecord] = {}
    for begin in range(0, len(ordered), _RUNS_A_QUERY):
        some = ordered[begin : begin + _RUNS_A_QUERY]
        for record in instance.get_run_records(RunsFilter(run_ids=some)):
            records[record.dagster_run.run_id] = record
    return records


def _last_run(record: RunRecord) -> LastRun:
    run: DagsterRun = record.dagster_run
    will_retry: dict[Any, bool] = {"true": True, "false": False}
    ended_at: datetime | None = None
    if run.is_finished:
        ended_at = (
            record.update_timestamp.replace(tzinfo=UTC)
            if record.end_time is None
            else datetime.fromtimestamp(record.end_time, UTC)
        )
    return LastRun(
        run_id=run.run_id,
        status=run.status,
        ended_at=ended_at,
        will_retry=will_retry.get(run.tags.get(WILL_RETRY_TAG)),
        publishes=run.asset_selection is None or _CATALOG_ITEMS in run.asset_selection,
    )
