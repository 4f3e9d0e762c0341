"""Deletes old rows of `connector.syncs`, `connector.sweeps` and `connector.backfill_shops`."""

from datetime import timedelta
from typing import Final, LiteralString

import psycopg

_PRUNE: Final[dict[str, LiteralString]] = {
    # A shop's last sync explains the state of the shop, and its last successful one explains the
    # catalog. A sync that failed before it started explains neither, and has no start to compare.
    "syncs": """
        DELETE FROM connector.syncs AS old
        WHERE (started_at IS NULL AND finished_at < now() - %(keep)s)
            OR (
                started_at < now() - %(keep)s
                AND EXISTS (
                    SELECT FROM connector.syncs AS later
                    WHERE later.platform_name = old.platform_name AND later.domain = old.domain
                        AND later.started_at > old.started_at
                )
                AND (status <> 'succeeded' OR EXISTS (
                    SELECT FROM connector.syncs AS later
                    WHERE later.platform_name = old.platform_name AND later.domain = old.domain
                        AND later.started_at > old.started_at AND later.status = 'succeeded'
                ))
            )
    """,
    "sweeps": "DELETE FROM connector.sweeps WHERE started_at < now() - %(keep)s",
    "backfill_shops": """
        DELETE FROM connector.backfill_shops
        WHERE changed_at < now() - %(keep)s AND status IN ('succeeded', 'failed')
    """,
}


def prune(connection: psycopg.Connection, *, keep: timedelta) -> dict[str, int]:
    """Delete syncs, sweeps and ended backfill shops older than `keep`. Returns how many of each.

    The last sync of every shop that started stays, and the last one that succeeded. Part of the
    caller's transaction.
    """
    return {
        table: connection.execute(statement, {"keep": keep}).rowcount
        for table, statement in _PRUNE.items()
    }
