"""Deletes old rows of `connector.syncs`, ended ones of the queue, and hints that were gathered."""

from datetime import timedelta
from typing import Final, LiteralString

import psycopg

from connector_pipeline.state import hints, sync_queue

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
                        AND (later.sync_type IS DISTINCT FROM 'hinted' OR old.sync_type = 'hinted')
                ))
            )
    """,
    "sync_queue": """
        DELETE FROM connector.sync_queue
        WHERE state = 'ended' AND ended_at < now() - least(%(keep)s, %(queue_keep)s)
    """,
}


def prune(connection: psycopg.Connection, *, keep: timedelta) -> dict[str, int]:
    """Delete syncs older than `keep`, ended rows of the queue, and hints. Returns how many of each.

    The queue keeps its ended rows for sync_queue.KEPT, or for `keep` if that is less; hints that
    were gathered are kept for hints.KEPT. The last sync of every shop that started stays, and the
    last one that succeeded. Part of the caller's transaction.
    """
    values = {"keep": keep, "queue_keep": sync_queue.KEPT}
    counts = {
        table: connection.execute(statement, values).rowcount for table, statement in _PRUNE.items()
    }
    return {**counts, "hints": hints.prune(connection)}
