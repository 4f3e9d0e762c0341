"""How requests and shops come into the queue.

A row with a requester's sync_id leads to one sync of that id. A row that nobody waits for joins a
waiting row of its shop. `gathering` puts in the rows of hints, which stand apart.

Each function is part of the caller's transaction.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import psycopg

from connector_pipeline.model.queue import PRIORITIES, QueueReason
from connector_pipeline.model.shop import columns_of
from connector_pipeline.model.sync_type import RequestedSyncType
from connector_pipeline.state import sync_queue

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


def put_requests(connection: psycopg.Connection, requests: Collection[QueuedRequest]) -> None:
    """Put accepted requests in, in their order. A row that nobody waits for joins its request's."""
    if not requests:
        return
    sync_queue.lock(connection)
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
    sync_queue.lock(connection)
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
