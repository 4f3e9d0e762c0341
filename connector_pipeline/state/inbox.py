"""The inbox, `connector.sync_requests`: each request goes into the queue once, or is refused.

An accepted request has a pending sync in `connector.syncs` and a row in `connector.sync_queue`.
Each function is part of the caller's transaction.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import psycopg
from psycopg.rows import dict_row

from connector_pipeline.model.errors import InvalidSyncRequest
from connector_pipeline.model.shop import RegisteredShop, Shop
from connector_pipeline.model.shop_state import ShopState
from connector_pipeline.model.sync_request import (
    LONGEST_FIELD,
    SyncRequest,
    paused_shop,
    registration,
)
from connector_pipeline.postgres.savepoint import OF_THE_DATA, savepoint
from connector_pipeline.state import queue_intake, sync_failure, sync_queue
from connector_pipeline.state.error_text import stored_text
from connector_pipeline.state.queue_intake import QueuedRequest
from connector_pipeline.state.registration import add_shop
from connector_pipeline.state.request_judging import JudgedRequest, judged

KEPT: Final = timedelta(days=30)
"""A request is kept for so long after it arrived. Its sync still shows up a later repeat."""

# A requester may write a megabyte into each column.
_TAKE: Final = """
    SELECT id, sync_id, requested_at, left(merchant_id, %(longest)s) AS merchant_id,
        left(platform_name, %(longest)s) AS platform_name,
        left(platform_shop_id, %(longest)s) AS platform_shop_id,
        left(domain, %(longest)s) AS domain, left(sync_type, %(longest)s) AS sync_type,
        left(correlation_id, %(longest)s) AS correlation_id
    FROM connector.sync_requests
    WHERE accepted_at IS NULL AND refused_at IS NULL
    ORDER BY id LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
"""

_PUT: Final = """
    INSERT INTO connector.sync_requests (merchant_id, platform_name, platform_shop_id,
        domain, sync_id, sync_type, correlation_id)
    SELECT %(merchant_id)s, %(platform_name)s, %(platform_shop_id)s, %(domain)s,
        %(sync_id)s, %(sync_type)s, %(correlation_id)s
    -- The sync of a request is kept longer than the request.
    WHERE NOT EXISTS (SELECT FROM connector.syncs WHERE sync_id = %(sync_id)s)
    ON CONFLICT DO NOTHING
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

# A requester may write a megabyte into each column, and the row is kept for KEPT.
_CLIP: Final = """
    merchant_id = left(merchant_id, %(longest)s), platform_name = left(platform_name, %(longest)s),
    platform_shop_id = left(platform_shop_id, %(longest)s), domain = left(domain, %(longest)s),
    sync_type = left(sync_type, %(longest)s), correlation_id = left(correlation_id, %(longest)s)
"""

_REFUSE: Final = f"""
    UPDATE connector.sync_requests
    SET refused_at = clock_timestamp(), refusal = %(refusal)s, {_CLIP}
    WHERE sync_id = ANY(%(sync_ids)s)
"""  # noqa: S608

_ACCEPTED: Final = f"""
    UPDATE connector.sync_requests SET accepted_at = clock_timestamp(), {_CLIP}
    WHERE sync_id = ANY(%(sync_ids)s)
"""  # noqa: S608

MOST_KEPT: Final = 100_000
"""Requests that ended and are kept. One that is repeated later is known by its sync."""

_DELETE_OLD: Final = """
    DELETE FROM connector.sync_requests
    WHERE (accepted_at IS NOT NULL OR refused_at IS NOT NULL) AND (
        requested_at < now() - %(kept)s
        OR id <= (SELECT max(id) FROM connector.sync_requests) - %(most_kept)s
    )
"""

_SHOP: Final = """
    SELECT merchant_id, platform_name, platform_shop_id, domain, currency, state
    FROM connector.shops WHERE platform_name = %s AND domain = %s
    FOR UPDATE
"""


def put(connection: psycopg.Connection, requests: Sequence[SyncRequest]) -> int:
    """Put requests into the inbox. Returns how many are new; an earlier one stays as it is.

    A request that the inbox cannot hold is refused, and the others are put in all the same.
    """
    try:
        with savepoint(connection):
            return _put(connection, requests)
    except OF_THE_DATA:
        return sum(_put_alone(connection, request) for request in requests)


def accept(connection: psycopg.Connection, *, limit: int) -> tuple[int, int]:
    """Put requests that arrived into the queue, and refuse those that cannot be synced.

    Returns both numbers. The shops of accepted requests are registered. The sync of a refused
    request has failed, with its event. A request with the sync_id of an earlier sync is refused
    without an event: that sync has an event of its own. Each request is judged on its own, and one
    that the database refuses is refused alone.
    """
    connection.execute(_DELETE_OLD, {"kept": KEPT, "most_kept": MOST_KEPT})
    taken = connection.cursor(row_factory=dict_row).execute(
        _TAKE, {"longest": LONGEST_FIELD, "limit": limit}
    )
    requests = [judged(_request(row), row["requested_at"]) for row in taken]
    if not requests:
        return 0, 0
    try:
        with savepoint(connection):
            accepted = _accept(connection, requests)
    except OF_THE_DATA:
        accepted = sum(_accept_alone(connection, request) for request in requests)
    return accepted, len(requests) - accepted


def refuse(connection: psycopg.Connection, sync_id: str, error: InvalidSyncRequest) -> None:
    """Refuse a request for good. Its sync has failed."""
    _end(connection, [sync_id], refusal=stored_text(error))
    sync_failure.fail(connection, sync_id, error)


def refuse_paused(connection: psycopg.Connection) -> int:
    """Refuse accepted requests whose shop an operator has paused meanwhile. Returns how many."""
    sync_queue.lock(connection)
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


def _put(connection: psycopg.Connection, requests: Iterable[SyncRequest]) -> int:
    with connection.cursor() as cursor:
        return sum(cursor.execute(_PUT, request.model_dump()).rowcount for request in requests)


def _put_alone(connection: psycopg.Connection, request: SyncRequest) -> int:
    try:
        with savepoint(connection):
            return _put(connection, [request])
    except OF_THE_DATA as error:
        _accept(connection, [judged(request, datetime.now(UTC)).unstorable(error)])
        return 0


def _accept_alone(connection: psycopg.Connection, request: JudgedRequest) -> int:
    try:
        with savepoint(connection):
            return _accept(connection, [request])
    except OF_THE_DATA as error:
        return _accept(connection, [request.unstorable(error)])


def _accept(connection: psycopg.Connection, requests: Sequence[JudgedRequest]) -> int:
    """Put the sound requests into the queue, and refuse the others. Returns how many are in."""
    # Before the shops are locked.
    sync_queue.lock(connection)
    new = {
        sync_id
        for (sync_id,) in connection.execute(
            _EXPECT,
            {
                "sync_id": [request.sync_id for request in requests],
                "platform_name": [request.platform_name for request in requests],
                "domain": [request.domain for request in requests],
                "merchant_id": [request.merchant_id for request in requests],
                "status": ["pending"] * len(requests),
                "correlation_id": [request.correlation_id for request in requests],
                "requested_at": [request.requested_at for request in requests],
            },
        )
    }
    known = [request.sync_id for request in requests if request.sync_id not in new]
    if known:
        _end(
            connection,
            known,
            refusal="there is already a sync of this sync_id; it is not run again.",
        )
    accepted: dict[str, QueuedRequest] = {}
    # Sorted, so that two transactions that lock several shops cannot deadlock.
    for request in sorted(
        (request for request in requests if request.sync_id in new),
        key=lambda request: (request.platform_name, request.domain),
    ):
        try:
            accepted[request.sync_id] = _queued(connection, request)
        except InvalidSyncRequest as error:
            refuse(connection, request.sync_id, error)
    _end(connection, accepted)
    queue_intake.put_requests(
        connection,
        [accepted[request.sync_id] for request in requests if request.sync_id in accepted],
    )
    return len(accepted)


def _end(
    connection: psycopg.Connection, sync_ids: Iterable[str], *, refusal: str | None = None
) -> None:
    """Mark requests as refused, or without a refusal as accepted."""
    connection.execute(
        _ACCEPTED if refusal is None else _REFUSE,
        {"sync_ids": list(sync_ids), "refusal": refusal, "longest": LONGEST_FIELD},
    )


def _queued(connection: psycopg.Connection, request: JudgedRequest) -> QueuedRequest:
    """The request as the queue takes it; registers its shop. Raises InvalidSyncRequest."""
    wanted = request.verdict
    if isinstance(wanted, InvalidSyncRequest):
        raise wanted
    _register(connection, wanted.shop)
    return QueuedRequest(
        platform_name=wanted.shop.platform_name,
        domain=wanted.shop.domain,
        merchant_id=wanted.shop.merchant_id,
        sync_type=wanted.sync_type,
        sync_id=request.sync_id,
        correlation_id=request.correlation_id,
        requested_at=request.requested_at,
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
