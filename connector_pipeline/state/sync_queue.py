"""The queue of syncs, `connector.sync_queue`: a row says that one shop is to be synced.

Requests, sweeps and backfills put rows in. One sensor takes them out, many shops to a run of
Dagster. A row with a requester's sync_id leads to one sync of that id. A row that nobody waits for
joins a waiting row of its shop. `gathering` puts in the rows of hints, which stand apart.

The transaction that ends a row's sync ends the row. Each function is part of the caller's
transaction. `queued_runs` takes rows out for runs.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import psycopg

from connector_pipeline.model.errors import NotActive
from connector_pipeline.model.queue import (
    LAST_OF_FOREGROUND,
    PRIORITIES,
    QueueOutcome,
    QueueReason,
    QueueState,
)
from connector_pipeline.model.shop import ShopState, columns_of
from connector_pipeline.model.sync import BackfillStatus, RequestedSyncType
from connector_pipeline.postgres import named_locks

MOST_RELAUNCHES: Final = 2
"""A row is put in again so many times after its run ended without a word about it.

Each of those runs had Dagster's own retries, so that by then the shop itself kills its runs.
"""

KEPT: Final = timedelta(days=3)
"""An ended row is kept for so long: `connector.syncs` is the record of what was."""

_LOCK: Final = "sync_queue"

# A full sync does what any other would; one of its own choice does what an increment would.
_COVERS: Final = """
    (row.sync_type = 'full' OR row.sync_type = wanted.sync_type
        OR row.sync_type = 'auto' AND wanted.sync_type = 'incremental')
"""

_PUT_SHOPS: Final = f"""
    WITH wanted AS (
        SELECT platform_name, domain, shop.merchant_id, %(sync_type)s::text AS sync_type
        FROM unnest(%(platform_names)s::text[], %(domains)s::text[])
            AS given (platform_name, domain)
            JOIN connector.shops AS shop USING (platform_name, domain)
    ), waiting AS (
        SELECT DISTINCT ON (row.platform_name, row.domain) row.id, wanted.sync_type,
            {_COVERS} AS covers
        FROM connector.sync_queue AS row JOIN wanted USING (platform_name, domain)
        WHERE row.state = 'waiting' AND row.hints IS NULL AND ({_COVERS} OR NOT row.awaited)
        ORDER BY row.platform_name, row.domain, row.priority, row.id
    ), joined AS (
        UPDATE connector.sync_queue AS row
        SET priority = least(row.priority, %(priority)s),
            reason = CASE WHEN %(priority)s < row.priority THEN %(reason)s ELSE row.reason END,
            sync_type = CASE WHEN waiting.covers THEN row.sync_type ELSE waiting.sync_type END,
            backfills = row.backfills || %(backfills)s::text[],
            sweep_id = coalesce(%(sweep_id)s, row.sweep_id)
        FROM waiting WHERE row.id = waiting.id AND row.state = 'waiting'
        RETURNING row.platform_name, row.domain
    )
    INSERT INTO connector.sync_queue
        (platform_name, domain, merchant_id, reason, priority, sync_type, backfills, sweep_id)
    SELECT platform_name, domain, merchant_id, %(reason)s, %(priority)s, sync_type,
        %(backfills)s, %(sweep_id)s
    FROM wanted
    WHERE NOT EXISTS (SELECT FROM joined WHERE joined.platform_name = wanted.platform_name
        AND joined.domain = wanted.domain)
    ORDER BY platform_name, domain
"""  # noqa: S608  our own words

_PUT_REQUESTS: Final = """
    INSERT INTO connector.sync_queue (platform_name, domain, merchant_id, reason, priority,
        sync_type, sync_id, awaited, correlation_id, put_at)
    SELECT platform_name, domain, merchant_id, 'request', %s, sync_type, sync_id, true,
        correlation_id, put_at
    FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[],
        %s::timestamptz[])
        AS given (platform_name, domain, merchant_id, sync_type, sync_id, correlation_id, put_at)
"""

# The shop waits already, because of a sweep or a backfill: the request's sync does for these, too.
_ABSORB: Final = f"""
    WITH wanted AS (
        SELECT DISTINCT ON (row.platform_name, row.domain) row.id, row.platform_name, row.domain,
            other.id AS other, other.sync_type, other.backfills, other.sweep_id
        FROM connector.sync_queue AS row JOIN connector.sync_queue AS other
            USING (platform_name, domain)
        WHERE row.sync_id = ANY(%s) AND other.state = 'waiting' AND NOT other.awaited
            AND other.hints IS NULL
        ORDER BY row.platform_name, row.domain, row.id, other.id
    ), absorbed AS (
        DELETE FROM connector.sync_queue AS other USING wanted, connector.sync_queue AS row
        WHERE other.id = wanted.other AND other.state = 'waiting' AND row.id = wanted.id
            AND {_COVERS}
        RETURNING wanted.id, other.backfills, other.sweep_id
    )
    UPDATE connector.sync_queue AS row
    SET backfills = absorbed.backfills, sweep_id = absorbed.sweep_id
    FROM absorbed WHERE row.id = absorbed.id
"""  # noqa: S608  the same


@dataclass(frozen=True, slots=True)
class QueuedRequest:
    """An accepted request, as it goes into the queue. `requested_at` is an aware time."""

    platform_name: str
    domain: str
    merchant_id: str
    sync_type: RequestedSyncType
    sync_id: str
    correlation_id: str
    requested_at: object


def lock(connection: psycopg.Connection) -> None:
    """Wait until no other transaction changes many rows, and keep others out until this one ends.

    Each function here that changes many rows does this. A transaction that locks other rows before
    it calls one, such as rows of `connector.shops`, calls this first: two transactions that lock
    the same rows in different orders deadlock.
    """
    named_locks.lock(connection, _LOCK)


def put_requests(connection: psycopg.Connection, requests: Collection[QueuedRequest]) -> None:
    """Put accepted requests in, in their order. A row that nobody waits for joins its request's."""
    if not requests:
        return
    lock(connection)
    connection.execute(
        _PUT_REQUESTS,
        (
            PRIORITIES[QueueReason.REQUEST],
            [request.platform_name for request in requests],
            [request.domain for request in requests],
            [request.merchant_id for request in requests],
            [request.sync_type.value for request in requests],
            [request.sync_id for request in requests],
            [request.correlation_id for request in requests],
            [request.requested_at for request in requests],
        ),
    )
    connection.execute(_ABSORB, ([request.sync_id for request in requests],))


def put_shops(
    connection: psycopg.Connection,
    keys: Sequence[str],
    *,
    reason: QueueReason,
    sync_type: RequestedSyncType = RequestedSyncType.auto,
    backfill_id: str | None = None,
    sweep_id: str | None = None,
) -> int:
    """Put registered shops in that nobody waits for, each once.

    A shop that waits already joins its waiting row, unless a requester wants less of that sync.
    Returns how many rows are new.
    """
    platform_names, domains = columns_of(keys)
    lock(connection)
    return connection.execute(
        _PUT_SHOPS,
        {
            "platform_names": platform_names,
            "domains": domains,
            "reason": reason,
            "priority": PRIORITIES[reason],
            "sync_type": sync_type.value,
            "backfills": [] if backfill_id is None else [backfill_id],
            "sweep_id": sweep_id,
        },
    ).rowcount


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


def backfill_statuses(
    connection: psycopg.Connection, backfill_id: str
) -> dict[str, tuple[str, str | None]]:
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


def withdraw_backfill(connection: psycopg.Connection, backfill_id: str) -> int:
    """Take the backfill back: no further shop is synced for it. Returns how many were not yet."""
    mine = "backfills <> '{}' AND backfills @> ARRAY[%(id)s::text] AND state <> 'ended'"
    alone = "NOT awaited AND cardinality(backfills) = 1 AND sweep_id IS NULL"
    values = {"id": backfill_id}
    lock(connection)
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


def _pending_again(connection: psycopg.Connection, sync_id: str) -> None:
    connection.execute(
        "UPDATE connector.syncs SET status = 'pending', run_id = NULL WHERE sync_id = %s",
        (sync_id,),
    )
