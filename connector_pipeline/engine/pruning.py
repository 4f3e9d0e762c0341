"""Delete old runs and their events from Dagster's storage, except those that its UI still shows.

The event log grows without bound: the sync of a shop leaves four events of its own and a share of
its run's, and Dagster itself deletes only ticks. Dagster's UI reads the state of a partition,
however old, from these rows (Dagster 1.13.27, `partition_status_cache.py` and `sql_event_log.py`):

- for each asset and partition the latest event that materializes it, the latest event that plans
  its materialization, and the row of the planning event's run (a missing run has not failed);
- for each check and partition the latest row of `asset_check_executions`, and the latest evaluated
  one.

So a run is deleted as a whole, with its events, tags and check executions, and only if it ended
longer ago than runs are kept and has none of these rows. A run that is kept keeps its whole page.

Other projects may share the storage. Their runs are left alone: Dagster labels a run with the
repository of its origin (tag `.dagster/repository`), and run_storage.py gives each of ours one.

Needs: the tables of Dagster's Postgres storage, and the storage's engine. Before anything is
deleted, the schema revision of the tables is compared with those that this module was tried with.
Tried with Dagster 1.13.27. Retention of runs and events by Dagster itself (dagster pull request
33863) would replace this module.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from dagster import AssetKey, DagsterInstance, DagsterRun
from dagster._core.execution.backfill import BULK_ACTION_TERMINAL_STATUSES
from dagster._core.storage.dagster_run import FINISHED_STATUSES
from dagster_postgres import PostgresEventLogStorage

RIGHT_REVISIONS: Final = frozenset({"29b539ebc72a"})
"""The revisions of Dagster's schema that this module was tried with: that of Dagster 1.13.27."""

_RUNS_AT_ONCE: Final = 50
"""Runs deleted in one transaction: some twenty thousand rows, deleted within a second."""

_STATUS_EVENTS: Final = (
    "ASSET_MATERIALIZATION",
    "ASSET_MATERIALIZATION_PLANNED",
    "ASSET_OBSERVATION",
)

_REVISIONS: Final = sa.text("SELECT version_num FROM alembic_version")

_OLD_RUNS: Final = sa.text(
    """
    SELECT id, run_id FROM runs
    WHERE id > :after AND status IN :finished AND update_timestamp < :before
        AND create_timestamp < :before
        AND NOT EXISTS (
            SELECT FROM run_tags JOIN bulk_actions ON bulk_actions.key = run_tags.value
            WHERE run_tags.run_id = runs.run_id AND run_tags.key = 'dagster/backfill'
                AND bulk_actions.status NOT IN :backfill_ended
        )
        AND (CAST(:repository AS text) IS NULL OR EXISTS (
            SELECT FROM run_tags
            WHERE run_tags.run_id = runs.run_id AND key = '.dagster/repository'
                AND value = :repository
        ))
    ORDER BY id LIMIT :limit
    """
).bindparams(
    sa.bindparam("finished", expanding=True), sa.bindparam("backfill_ended", expanding=True)
)

# Each event costs one lookup in idx_events_by_asset_partition, so the cost grows with the number of
# old events and not with the whole log.
_HOLDING_THE_LATEST: Final = sa.text(
    """
    SELECT DISTINCT run_id FROM event_logs AS event
    WHERE run_id IN :runs AND dagster_event_type IN :types AND asset_key IS NOT NULL
        AND CASE WHEN partition IS NULL THEN NOT EXISTS (
            SELECT FROM event_logs AS later
            WHERE later.asset_key = event.asset_key AND later.partition IS NULL
                AND later.dagster_event_type = event.dagster_event_type AND later.id > event.id
        ) ELSE NOT EXISTS (
            SELECT FROM event_logs AS later
            WHERE later.asset_key = event.asset_key AND later.partition = event.partition
                AND later.dagster_event_type = event.dagster_event_type AND later.id > event.id
        ) END
    """
).bindparams(sa.bindparam("runs", expanding=True), sa.bindparam("types", expanding=True))

# Dagster has no index of check executions by run, so this is read once and not for every batch.
_LATEST_CHECKS: Final = sa.text(
    """
    SELECT DISTINCT run_id FROM (
        SELECT DISTINCT ON (asset_key, check_name, partition) run_id FROM asset_check_executions
        ORDER BY asset_key, check_name, partition, id DESC
    ) AS latest
    UNION SELECT run_id FROM (
        SELECT DISTINCT ON (asset_key, check_name, partition) run_id FROM asset_check_executions
        WHERE execution_status IN ('SUCCEEDED', 'FAILED')
        ORDER BY asset_key, check_name, partition, id DESC
    ) AS evaluated
    """
)
CHECKS: Final = sa.text("SELECT DISTINCT asset_key, check_name FROM asset_check_executions")

_DELETE_CHECKS: Final = sa.text(
    "DELETE FROM asset_check_executions "
    "WHERE asset_key = :asset_key AND check_name = :check_name AND run_id IN :runs"
).bindparams(sa.bindparam("runs", expanding=True))
_DELETE_EVENT_TAGS: Final = sa.text(
    "DELETE FROM asset_event_tags "
    "WHERE event_id IN (SELECT id FROM event_logs WHERE run_id IN :runs)"
).bindparams(sa.bindparam("runs", expanding=True))
_DELETE_EVENTS: Final = sa.text("DELETE FROM event_logs WHERE run_id IN :runs").bindparams(
    sa.bindparam("runs", expanding=True)
)
_DELETE_RUN_TAGS: Final = sa.text("DELETE FROM run_tags WHERE run_id IN :runs").bindparams(
    sa.bindparam("runs", expanding=True)
)
_DELETE_RUNS: Final = sa.text("DELETE FROM runs WHERE run_id IN :runs").bindparams(
    sa.bindparam("runs", expanding=True)
)

_THEIR_BACKFILLS: Final = sa.text(
    "SELECT DISTINCT value FROM run_tags WHERE key = 'dagster/backfill' AND run_id IN :runs"
).bindparams(sa.bindparam("runs", expanding=True))

# Events that a sensor reports without a run, as far as they are of our assets; the latest stays.
# The event of an evaluation has no asset key: it goes with the check's row.
_OLD_RUNLESS_EVENTS: Final = sa.text(
    """
    DELETE FROM event_logs AS event
    WHERE run_id = '' AND timestamp < :before AND asset_key IN :asset_keys AND partition IS NULL
        AND dagster_event_type = 'ASSET_MATERIALIZATION'
        AND EXISTS (
            SELECT FROM event_logs AS later
            WHERE later.asset_key = event.asset_key AND later.partition IS NULL
                AND later.dagster_event_type = event.dagster_event_type AND later.id > event.id
        )
    """
).bindparams(sa.bindparam("asset_keys", expanding=True))
_DELETE_BY_ID: Final = sa.text("DELETE FROM event_logs WHERE id IN :ids").bindparams(
    sa.bindparam("ids", expanding=True)
)
_OLD_RUNLESS_CHECKS: Final = sa.text(
    """
    DELETE FROM asset_check_executions AS old
    WHERE run_id = '' AND create_timestamp < :before AND asset_key IN :asset_keys
        AND EXISTS (
            SELECT FROM asset_check_executions AS later
            WHERE later.asset_key = old.asset_key AND later.check_name = old.check_name
                AND later.partition IS NULL AND later.id > old.id
                AND later.execution_status IN ('SUCCEEDED', 'FAILED')
        )
    RETURNING evaluation_event_storage_id
    """
).bindparams(sa.bindparam("asset_keys", expanding=True))

# The page of a backfill whose runs are all deleted would be empty.
_OLD_BACKFILLS: Final = sa.text(
    """
    SELECT key FROM bulk_actions
    WHERE status IN :ended AND timestamp < :before AND NOT EXISTS (
        SELECT FROM run_tags WHERE run_tags.key = 'dagster/backfill' AND value = bulk_actions.key
    )
    """
).bindparams(sa.bindparam("ended", expanding=True))
_DELETE_BACKFILL_TAGS: Final = sa.text(
    "DELETE FROM backfill_tags WHERE backfill_id IN :keys"
).bindparams(sa.bindparam("keys", expanding=True))
_DELETE_BACKFILLS: Final = sa.text("DELETE FROM bulk_actions WHERE key IN :keys").bindparams(
    sa.bindparam("keys", expanding=True)
)


@dataclass(slots=True)
class Pruned:
    """The numbers of deleted rows; `kept_runs` are old runs with rows that the UI still shows."""

    runs: int = 0
    events: int = 0
    check_executions: int = 0
    backfills: int = 0
    kept_runs: int = 0

    def counts(self) -> dict[str, int]:
        """The numbers by their names."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


class NotPostgres(Exception):
    """Dagster's storage is not Postgres, and only that can be pruned."""


class UnknownRevision(Exception):
    """Dagster's tables are at a revision that pruning was not tried with; nothing was deleted."""


def prune(
    instance: DagsterInstance,
    *,
    keep: timedelta,
    now: datetime,
    repository: str | None = None,
    reported: Collection[AssetKey] = (),
) -> Pruned:
    """Delete runs and backfills that ended more than `keep` ago and that the UI does not need.

    `repository` is Dagster's label of the repository whose runs they are; None: all runs.
    `reported` are assets of which a sensor reports events without a run: they are pruned alike.
    Deletes a batch of runs per transaction. Raises NotPostgres (a process without DAGSTER_HOME has
    a temporary storage) and UnknownRevision.
    """
    storage = instance.event_log_storage
    if not isinstance(storage, PostgresEventLogStorage):
        raise NotPostgres(f"Dagster's storage is {type(storage).__name__}, not Postgres.")
    # Dagster's columns are UTC times without a time zone.
    before = (now - keep).astimezone(UTC).replace(tzinfo=None)
    engine = storage._engine.execution_options(  # pyright: ignore[reportPrivateUsage]  # no other
        isolation_level="READ COMMITTED"
    )
    pruned = Pruned()
    backfills: set[str] = set()
    with engine.begin() as connection:
        refuse_unknown_revision(connection)
        latest_checks = set(connection.execute(_LATEST_CHECKS).scalars())
        checks = [dict[str, Any](row) for row in connection.execute(CHECKS).mappings()]
    after = 0
    while True:
        with engine.begin() as connection:
            old = connection.execute(
                _OLD_RUNS,
                {
                    "after": after,
                    "before": before,
                    "finished": [status.value for status in FINISHED_STATUSES],
                    "backfill_ended": [status.value for status in BULK_ACTION_TERMINAL_STATUSES],
                    "limit": _RUNS_AT_ONCE,
                    "repository": repository,
                },
            ).all()
            if not old:
                break
            after = old[-1].id
            runs = [row.run_id for row in old]
            kept = latest_checks | set(
                connection.execute(
                    _HOLDING_THE_LATEST, {"runs": runs, "types": _STATUS_EVENTS}
                ).scalars()
            )
            to_delete = [run for run in runs if run not in kept]
            pruned.kept_runs += len(runs) - len(to_delete)
            if to_delete:
                backfills.update(
                    connection.execute(_THEIR_BACKFILLS, {"runs": to_delete}).scalars()
                )
                delete_runs(connection, to_delete, checks, pruned)
        for run_id in to_delete:
            # Deletes the captured output of the run's steps, if it is kept in files.
            with suppress(NotImplementedError, FileNotFoundError):
                instance.compute_log_manager.delete_logs(prefix=[run_id])
    with engine.begin() as connection:
        _delete_backfills(connection, before, pruned, of=None if repository is None else backfills)
        if reported:
            values = {"before": before, "asset_keys": [key.to_string() for key in reported]}
            evaluations = connection.execute(_OLD_RUNLESS_CHECKS, values).scalars().all()
            pruned.check_executions += len(evaluations)
            pruned.events += connection.execute(_OLD_RUNLESS_EVENTS, values).rowcount
            if evaluations:
                pruned.events += connection.execute(_DELETE_BY_ID, {"ids": evaluations}).rowcount
    return pruned


def repository_of(run: DagsterRun) -> str | None:
    """Dagster's label of the run's repository; None for a run of a temporary storage."""
    origin = run.remote_job_origin
    return None if origin is None else origin.repository_origin.get_label()


def refuse_unknown_revision(connection: sa.Connection) -> None:
    """Raise UnknownRevision unless this project was tried with the revision of Dagster's tables."""
    revisions = set(connection.execute(_REVISIONS).scalars())
    if len(revisions) != 1 or not revisions <= RIGHT_REVISIONS:
        raise UnknownRevision(
            f"Dagster's tables are at revision {', '.join(sorted(revisions)) or 'none'}, and "
            f"deleting was tried with {', '.join(sorted(RIGHT_REVISIONS))} alone. No run and no "
            "event was deleted. Install a version of connector-pipeline that knows this version of "
            "Dagster, or delete old runs in Dagster's UI."
        )


def delete_runs(
    connection: sa.Connection,
    runs: Sequence[str],
    checks: Sequence[Mapping[str, Any]],
    pruned: Pruned,
) -> None:
    """Delete these runs with all that belongs to them, and count it in `pruned`.

    `checks` are the rows of CHECKS: executions of checks have an index by their names alone.
    """
    values = {"runs": list(runs)}
    for check in checks:
        pruned.check_executions += connection.execute(_DELETE_CHECKS, {**check, **values}).rowcount
    connection.execute(_DELETE_EVENT_TAGS, values)
    pruned.events += connection.execute(_DELETE_EVENTS, values).rowcount
    connection.execute(_DELETE_RUN_TAGS, values)
    pruned.runs += connection.execute(_DELETE_RUNS, values).rowcount


def _delete_backfills(
    connection: sa.Connection, before: datetime, pruned: Pruned, *, of: Collection[str] | None
) -> None:
    ended = [status.value for status in BULK_ACTION_TERMINAL_STATUSES]
    found = connection.execute(_OLD_BACKFILLS, {"ended": ended, "before": before}).scalars()
    keys = [key for key in found if of is None or key in of]
    if keys:
        connection.execute(_DELETE_BACKFILL_TAGS, {"keys": keys})
        pruned.backfills += connection.execute(_DELETE_BACKFILLS, {"keys": keys}).rowcount
