"""A backfill's shops in the queue: how each is, and how the backfill is taken back.

Each function is part of the caller's transaction.
"""

import psycopg

from connector_pipeline.model.sync import BackfillStatus
from connector_pipeline.state import sync_queue


def statuses(connection: psycopg.Connection, backfill_id: str) -> dict[str, tuple[str, str | None]]:
    """Status and error code of each shop of the backfill, by partition key."""
    rows = connection.execute(
        """
        SELECT platform_name || '/' || domain, coalesce(outcome, state), error_code
        FROM connector.sync_queue
        WHERE backfills <> '{}' AND backfills @> ARRAY[%s::text]
        ORDER BY platform_name, domain
        """,
        (backfill_id,),
    )
    return {key: (BackfillStatus(status), code) for key, status, code in rows}


def withdraw(connection: psycopg.Connection, backfill_id: str) -> int:
    """Take the backfill back: no further shop is synced for it. Returns how many were not yet."""
    mine = "backfills <> '{}' AND backfills @> ARRAY[%(id)s::text] AND state <> 'ended'"
    alone = "NOT awaited AND cardinality(backfills) = 1 AND sweep_id IS NULL"
    values = {"id": backfill_id}
    sync_queue.lock(connection)
    deleted = connection.execute(
        f"DELETE FROM connector.sync_queue WHERE {mine} AND {alone}",  # noqa: S608  our own words
        values,
    )
    left = connection.execute(
        "UPDATE connector.sync_queue SET backfills = array_remove(backfills, %(id)s::text)"  # noqa: S608
        f" WHERE {mine}",
        values,
    )
    return deleted.rowcount + left.rowcount
