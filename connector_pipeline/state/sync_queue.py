"""The queue of syncs, `connector.sync_queue`: a row says that one shop is to be synced.

Requests, sweeps and backfills put rows in, by `queue_intake`. One sensor takes them out, many shops
to a run of Dagster, by `queued_runs`. This module has the rest of a row's life: it ends, waits
again, or is withdrawn.

The transaction that ends a row's sync ends the row. Each function is part of the caller's
transaction.
"""

from datetime import datetime, timedelta
from typing import Final

import psycopg

from connector_pipeline.model.errors import NotActive
from connector_pipeline.model.queue import (
    LAST_OF_FOREGROUND,
    QueueOutcome,
    QueueReason,
    QueueState,
)
from connector_pipeline.model.shop_state import ShopState
from connector_pipeline.postgres import named_locks

MOST_RELAUNCHES: Final = 2
"""A row is put in again so many times after its run ended without a word about it.

Each of those runs had Dagster's own retries, so that by then the shop itself kills its runs.
"""

KEPT: Final = timedelta(days=3)
"""An ended row is kept for so long: `connector.syncs` is the record of what was."""

_LOCK: Final = "sync_queue"


def lock(connection: psycopg.Connection) -> None:
    """Wait until no other transaction changes many rows, and keep others out until this one ends.

    Each function that changes many rows of the queue does this. A transaction that locks other rows
    before it calls one, such as rows of `connector.shops`, calls this first: two transactions that
    lock the same rows in different orders deadlock.
    """
    named_locks.lock(connection, _LOCK)


def end(
    connection: psycopg.Connection, sync_id: str, outcome: QueueOutcome, error_code: str | None
) -> None:
    """Record how the row of a sync ended, if it has one. A success is final."""
    connection.execute(
        """
        UPDATE connector.sync_queue
        SET state = 'ended', ended_at = clock_timestamp(), outcome = %s, error_code = %s
        WHERE sync_id = %s AND (state <> 'ended' OR outcome = 'failed')
        """,
        (outcome, error_code, sync_id),
    )


def put_again(connection: psycopg.Connection, sync_id: str) -> bool:
    """Let a taken row wait again whose run ended without a word about it; its sync, too.

    Returns False if that was done MOST_RELAUNCHES times, and for a sync that has no taken row.
    """
    again = connection.execute(
        """
        UPDATE connector.sync_queue
        SET state = 'waiting', reason = %s, relaunches = relaunches + 1, taken_at = NULL,
            launch_id = NULL, position = NULL, lane = NULL, run_id = NULL
        WHERE sync_id = %s AND state = 'taken' AND run_id IS NOT NULL AND relaunches < %s
        """,
        (QueueReason.RETRY, sync_id, MOST_RELAUNCHES),
    )
    if again.rowcount == 0:
        return False
    _pending_again(connection, sync_id)
    return True


def wait_on(connection: psycopg.Connection, sync_id: str, *, run_id: str) -> bool:
    """Let a row wait on that this run has taken, because another run reads its shop just now.

    Its sync waits, too. A row that another run has taken meanwhile stays with that run, which may
    be the one that reads the shop. `run_id` is the first of a line of retries. Returns False for a
    sync that has no row, or an ended one.
    """
    # In the order in which a sync that ends locks the two.
    connection.execute("SELECT FROM connector.syncs WHERE sync_id = %s FOR UPDATE", (sync_id,))
    row = connection.execute(
        "SELECT state, run_id FROM connector.sync_queue"
        " WHERE sync_id = %s AND state <> 'ended' FOR UPDATE",
        (sync_id,),
    ).fetchone()
    if row is None:
        return False
    state, taken_for = row
    # The run may be faster than the tick that sees it.
    if state == QueueState.TAKEN and taken_for in (None, run_id):
        connection.execute(
            """
            UPDATE connector.sync_queue
            SET state = 'waiting', taken_at = NULL, launch_id = NULL, position = NULL, lane = NULL,
                run_id = NULL
            WHERE sync_id = %s
            """,
            (sync_id,),
        )
        _pending_again(connection, sync_id)
    return True


def withdraw_inactive(connection: psycopg.Connection) -> int:
    """End the waiting rows of shops that are no longer active and that nobody waits for.

    Returns how many.
    """
    lock(connection)
    return connection.execute(
        """
        UPDATE connector.sync_queue AS row
        SET state = 'ended', ended_at = clock_timestamp(), outcome = %s, error_code = %s
        WHERE row.state = 'waiting' AND NOT row.awaited AND NOT EXISTS (
            SELECT FROM connector.shops AS shop
            WHERE shop.platform_name = row.platform_name AND shop.domain = row.domain
                AND shop.state = %s
        )
        """,
        (QueueOutcome.FAILED, NotActive.__name__, ShopState.ACTIVE),
    ).rowcount


def awaited_of_paused(connection: psycopg.Connection) -> list[tuple[str, str]]:
    """The waiting rows of paused shops whose requesters wait: sync_ids and partition keys."""
    rows = connection.execute(
        """
        SELECT row.sync_id, row.platform_name || '/' || row.domain
        FROM connector.sync_queue AS row JOIN connector.shops AS shop USING (platform_name, domain)
        WHERE row.state = 'waiting' AND row.awaited AND shop.state = %s
        """,
        (ShopState.PAUSED,),
    )
    return [(sync_id, key) for sync_id, key in rows]


def newest(connection: psycopg.Connection) -> int:
    """The id of the row that was put in last, 0 if there is none."""
    [(number,)] = connection.execute(
        "SELECT coalesce(max(id), 0) FROM connector.sync_queue"
    ).fetchall()
    return int(number)


def due_since(connection: psycopg.Connection, since: datetime | None) -> tuple[bool, datetime]:
    """Whether a waiting row's `not_before` has come since then, and what time it is.

    Both are times of the database's clock. Without a time no row counts.
    """
    [(due, now)] = connection.execute(
        """
        SELECT EXISTS (
            SELECT FROM connector.sync_queue
            WHERE state = 'waiting' AND not_before > %s AND not_before <= now.now
        ), now.now FROM (SELECT clock_timestamp() AS now) AS now
        """,
        (since,),
    ).fetchall()
    return bool(due), now


def waiting(connection: psycopg.Connection) -> tuple[int, int]:
    """How many rows that may be taken wait in the foreground, and how many in the background."""
    [(foreground, background)] = connection.execute(
        """
        SELECT count(*) FILTER (WHERE priority <= %(last)s),
            count(*) FILTER (WHERE priority > %(last)s)
        FROM connector.sync_queue
        WHERE state = 'waiting' AND (not_before IS NULL OR not_before <= clock_timestamp())
        """,
        {"last": LAST_OF_FOREGROUND},
    ).fetchall()
    return int(foreground), int(background)


def _pending_again(connection: psycopg.Connection, sync_id: str) -> None:
    connection.execute(
        "UPDATE connector.syncs SET status = 'pending', run_id = NULL WHERE sync_id = %s",
        (sync_id,),
    )
