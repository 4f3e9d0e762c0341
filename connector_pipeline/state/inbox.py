"""The inbox, `connector.sync_requests`: each request goes into the queue once, or is refused.

An accepted request has a pending sync in `connector.syncs` and a row in `connector.sync_queue`.
Each function is part of the caller's transaction.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Final

import psycopg
from psycopg.rows import dict_row

from connector_pipeline.model.errors import InvalidSyncRequest
from connector_pipeline.model.shop import RegisteredShop, Shop, ShopState
from connector_pipeline.model.sync_request import SyncRequest, paused_shop, registration
from connector_pipeline.platforms.adapters import valid_domain
from connector_pipeline.state import sync_log, sync_queue
from connector_pipeline.state.registry import add_shop
from connector_pipeline.state.sync_queue import QueuedRequest

KEPT: Final = timedelta(days=30)
"""A request is kept for so long after it arrived. Its sync still shows up a later repeat."""

_TAKE: Final = """
    SELECT id, merchant_id, platform_name, platform_shop_id, domain, sync_id, sync_type,
        correlation_id, requested_at
    FROM connector.sync_requests
    WHERE accepted_at IS NULL AND refused_at IS NULL
    ORDER BY id LIMIT %s
    FOR UPDATE SKIP LOCKED
"""

_EXPECT: Final = """
    INSERT INTO connector.syncs
        (sync_id, platform_name, domain, merchant_id, status, correlation_id, requested_at)
    SELECT * FROM unnest(
        %(sync_id)s::text[], %(platform_name)s::text[], %(domain)s::text[],
        %(merchant_id)s::text[], %(status)s::text[], %(correlation_id)s::text[],
        %(requested_at)s::timestamptz[]
    )
    ON CONFLICT (sync_id) DO NOTHING
    RETURNING sync_id
"""

_REFUSE: Final = """
    UPDATE connector.sync_requests SET refused_at = clock_timestamp(), refusal = %s
    WHERE sync_id = ANY(%s)
"""

_SHOP: Final = """
    SELECT merchant_id, platform_name, platform_shop_id, domain, currency, state
    FROM connector.shops WHERE platform_name = %s AND domain = %s
    FOR UPDATE
"""


def put(connection: psycopg.Connection, requests: Iterable[SyncRequest]) -> int:
    """Put requests into the inbox. Returns how many are new; an earlier one stays as it is."""
    new = 0
    with connection.cursor() as cursor:
        for request in requests:
            new += cursor.execute(
                """
                INSERT INTO connector.sync_requests (merchant_id, platform_name, platform_shop_id,
                    domain, sync_id, sync_type, correlation_id)
                SELECT %(merchant_id)s, %(platform_name)s, %(platform_shop_id)s, %(domain)s,
                    %(sync_id)s, %(sync_type)s, %(correlation_id)s
                -- The sync of a request is kept longer than the request.
                WHERE NOT EXISTS (SELECT FROM connector.syncs WHERE sync_id = %(sync_id)s)
                ON CONFLICT DO NOTHING
                """,
                request.model_dump(),
            ).rowcount
    return new


def accept(connection: psycopg.Connection, *, limit: int) -> tuple[int, int]:
    """Put requests that arrived into the queue, and refuse those that cannot be synced.

    Returns both numbers. The shops of accepted requests are registered. The sync of a refused
    request has failed, with its event. A request with the sync_id of an earlier sync is refused
    without an event: that sync has an event of its own.
    """
    connection.execute(
        "DELETE FROM connector.sync_requests WHERE requested_at < now() - %s"
        " AND (accepted_at IS NOT NULL OR refused_at IS NOT NULL)",
        (KEPT,),
    )
    taken = connection.cursor(row_factory=dict_row).execute(_TAKE, (limit,)).fetchall()
    if not taken:
        return 0, 0
    requests = {row["sync_id"]: _request(row) for row in taken}
    requested_at = {row["sync_id"]: row["requested_at"] for row in taken}
    new = connection.execute(
        _EXPECT,
        {
            "sync_id": list(requests),
            "platform_name": [request.platform_name for request in requests.values()],
            "domain": [request.domain for request in requests.values()],
            "merchant_id": [request.merchant_id for request in requests.values()],
            "status": ["pending"] * len(requests),
            "correlation_id": [request.usable_correlation_id for request in requests.values()],
            "requested_at": list(requested_at.values()),
        },
    ).fetchall()
    known = set(requests) - {sync_id for (sync_id,) in new}
    if known:
        connection.execute(
            _REFUSE, ("there is already a sync of this sync_id; it is not run again.", list(known))
        )
    accepted: dict[str, QueuedRequest] = {}
    # Sorted, so that two transactions that lock several shops cannot deadlock.
    for sync_id in sorted(
        (sync_id for (sync_id,) in new),
        key=lambda sync_id: (requests[sync_id].platform_name, requests[sync_id].domain),
    ):
        try:
            accepted[sync_id] = _queued(connection, requests[sync_id], requested_at[sync_id])
        except InvalidSyncRequest as error:
            refuse(connection, sync_id, error)
    connection.execute(
        "UPDATE connector.sync_requests SET accepted_at = clock_timestamp()"
        " WHERE sync_id = ANY(%s)",
        (list(accepted),),
    )
    sync_queue.put_requests(
        connection, [accepted[sync_id] for sync_id in requests if sync_id in accepted]
    )
    return len(accepted), len(requests) - len(accepted)


def refuse(connection: psycopg.Connection, sync_id: str, error: InvalidSyncRequest) -> None:
    """Refuse a request for good. Its sync has failed."""
    connection.execute(_REFUSE, (f"{error.message} {error.remedy}", [sync_id]))
    sync_log.fail(connection, sync_id, error)


def refuse_paused(connection: psycopg.Connection) -> int:
    """Refuse accepted requests whose shop an operator has paused meanwhile. Returns how many."""
    paused = sync_queue.awaited_of_paused(connection)
    for sync_id, partition_key in paused:
        refuse(connection, sync_id, paused_shop(partition_key))
    return len(paused)


def arrived(connection: psycopg.Connection) -> int:
    """How many requests are neither accepted nor refused yet."""
    [(number,)] = connection.execute(
        "SELECT count(*) FROM connector.sync_requests"
        " WHERE accepted_at IS NULL AND refused_at IS NULL"
    ).fetchall()
    return int(number)


def _queued(
    connection: psycopg.Connection, request: SyncRequest, requested_at: datetime
) -> QueuedRequest:
    """The request as the queue takes it; registers its shop. Raises InvalidSyncRequest."""
    shop = request.shop(valid_domain)
    sync_type = request.requested_type()
    _register(connection, shop)
    return QueuedRequest(
        platform_name=shop.platform_name,
        domain=shop.domain,
        merchant_id=shop.merchant_id,
        sync_type=sync_type,
        sync_id=request.sync_id,
        correlation_id=request.usable_correlation_id,
        requested_at=requested_at,
    )


def _register(connection: psycopg.Connection, shop: Shop) -> None:
    found = connection.cursor(row_factory=dict_row).execute(
        _SHOP, (shop.platform_name, shop.domain)
    )
    row = found.fetchone()
    registered = None if row is None else RegisteredShop.model_validate(row)
    wanted = registration(shop, registered)
    if wanted == registered:
        return
    add_shop(connection, shop)
    connection.execute(
        "UPDATE connector.shops SET state = %s, updated_at = now()"
        " WHERE platform_name = %s AND domain = %s AND state = %s",
        (wanted.state, shop.platform_name, shop.domain, ShopState.DISCONNECTED),
    )


def _request(row: dict[str, Any]) -> SyncRequest:
    # Not validated: an SQL requester may write values that no message could bring. `shop` refuses
    # them, with the reason.
    return SyncRequest.model_construct(
        **{name: row[name] for name in SyncRequest.model_fields},
    )
