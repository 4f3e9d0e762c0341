"""`connector.sync_totals`: sums over the syncs that ended, which only grow.

Rows of `connector.syncs` are deleted after SYNC_LOG_KEEP, and a sync that a retried run repeats
begins anew. So the sums are counted apart, some time after the end of each sync.
"""

from datetime import timedelta
from typing import Final

import psycopg

from connector_pipeline.postgres import named_locks

COUNTED_AFTER: Final = timedelta(minutes=10)
"""A sync is counted so long after its end: by then its transaction is committed, and nearly every
retry of it has begun. One that begins anew later is counted again."""

_COUNT_EVERY: Final = timedelta(minutes=1)
_FIRST_COUNT: Final = timedelta(days=1)
"""The first count goes so far back: that of a database with months of syncs must not take long."""

_LOCK: Final = "sync totals"

_COUNT: Final = """
    WITH last AS (
        SELECT coalesce(max(counted_until), now() - %(first)s) AS counted_until
        FROM connector.sync_totals
    ), due AS (
        SELECT counted_until AS since, now() - %(after)s AS until FROM last
        WHERE counted_until < now() - %(after)s - %(every)s
    )
    INSERT INTO connector.sync_totals AS total (
        platform_name, status, error_code, syncs, inserted, updated, unchanged, revived, deleted,
        rejected, requests, waited_seconds, counted_until
    )
    SELECT platform_name, status, coalesce(error_code, ''), count(*),
        coalesce(sum(inserted), 0), coalesce(sum(updated), 0), coalesce(sum(unchanged), 0),
        coalesce(sum(revived), 0), coalesce(sum(deleted), 0), coalesce(sum(rejected), 0),
        coalesce(sum(requests), 0), coalesce(sum(waited_seconds), 0), min(until)
    FROM due JOIN connector.syncs ON finished_at > since AND finished_at <= until
    WHERE status IN ('succeeded', 'failed')
    GROUP BY platform_name, status, coalesce(error_code, '')
    ON CONFLICT (platform_name, status, error_code) DO UPDATE SET
        syncs = total.syncs + excluded.syncs,
        inserted = total.inserted + excluded.inserted,
        updated = total.updated + excluded.updated,
        unchanged = total.unchanged + excluded.unchanged,
        revived = total.revived + excluded.revived,
        deleted = total.deleted + excluded.deleted,
        rejected = total.rejected + excluded.rejected,
        requests = total.requests + excluded.requests,
        waited_seconds = total.waited_seconds + excluded.waited_seconds,
        counted_until = excluded.counted_until
"""


def count(connection: psycopg.Connection) -> None:
    """Add the syncs that ended COUNTED_AFTER ago or earlier, at most once a minute.

    Part of the caller's transaction. Several callers take turns.
    """
    named_locks.lock(connection, _LOCK)
    connection.execute(
        _COUNT, {"first": _FIRST_COUNT, "after": COUNTED_AFTER, "every": _COUNT_EVERY}
    )
