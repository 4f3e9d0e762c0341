"""The inbox, `connector.sync_requests`: each request leads to exactly one run, or is refused.

An accepted request has a pending sync in `connector.syncs`. It is offered to Dagster, and launched
once its run is seen. Dagster may lose an offer: a request that was offered and has no run is
offered again, and Dagster recognizes the repeat by its run key. Each function is part of the
caller's transaction.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import psycopg
from psycopg.rows import dict_row

from connector_pipeline.model.errors import InvalidSyncRequest
from connector_pipeline.model.shop import RegisteredShop, Shop, ShopState
from connector_pipeline.model.sync import RequestedSyncType
from connector_pipeline.model.sync_request import SyncRequest, registration
from connector_pipeline.platforms.adapters import valid_domain
from connector_pipeline.state import sync_log
from connector_pipeline.state.registry import add_shop

KEPT: Final = timedelta(days=30)
"""A request is kept for so long after it arrived. Its sync still shows up a later repeat."""

AT_ONCE_PER_SHOP: Final = 2
"""At most so many requests of one shop are launched and unfinished.

The second run waits in Dagster's queue and starts as soon as the first has ended. More would only
fill that queue with runs that cannot start.
"""

MOST_RELAUNCHES: Final = 2
"""A request is launched again so many times after its run died.

Each of those runs had Dagster's own retries, so that by then the request itself kills its runs.
"""

_TAKE: Final = """
    SELECT id, merchant_id, platform_name, platform_shop_id, domain, sync_id, sync_type,
        correlation_id, requested_at
    FROM connector.sync_requests
    WHERE accepted_at IS NULL AND launched_at IS NULL AND refused_at IS NULL
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

# A request is under way by our own record of its sync, whatever state Dagster gives its run.
_NEXT: Final = """
    WITH under_way AS (
        SELECT request.platform_name, request.domain, count(*) AS runs
        FROM connector.syncs AS sync
        JOIN connector.sync_requests AS request USING (sync_id)
        WHERE sync.status IN ('pending', 'running') AND request.launched_at IS NOT NULL
        GROUP BY request.platform_name, request.domain
    ), waiting AS (
        SELECT *, row_number() OVER (PARTITION BY platform_name, domain ORDER BY id) AS nth
        FROM connector.sync_requests
        WHERE accepted_at IS NOT NULL AND launched_at IS NULL AND refused_at IS NULL
    )
    SELECT merchant_id, platform_name, platform_shop_id, domain, sync_id, sync_type,
        correlation_id, relaunches
    FROM waiting LEFT JOIN under_way USING (platform_name, domain)
    WHERE nth + coalesce(under_way.runs, 0) <= %(per_shop)s
    ORDER BY waiting.id
    LIMIT greatest(0, least(
        %(limit)s, %(at_once)s - (SELECT coalesce(sum(runs), 0) FROM under_way)
    ))
"""

_SHOP: Final = """
    SELECT merchant_id, platform_name, platform_shop_id, domain, currency, state
    FROM connector.shops WHERE platform_name = %s AND domain = %s
    FOR UPDATE
"""


@dataclass(frozen=True, slots=True)
class Launch:
    """A run to ask of Dagster for a request. Its `run_key` is the same however often we ask."""

    sync_id: str
    correlation_id: str
    shop: Shop
    sync_type: RequestedSyncType
    run_key: str


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
    """Accept requests that arrived, and refuse those that cannot be synced. Returns both numbers.

    The sync of a refused request has failed, with its event. A request with the sync_id of an
    earlier sync is refused without an event: that sync has an event of its own.
    """
    connection.execute(
        "DELETE FROM connector.sync_requests WHERE requested_at < now() - %s"
        " AND (launched_at IS NOT NULL OR refused_at IS NOT NULL)",
        (KEPT,),
    )
    taken = connection.cursor(row_factory=dict_row).execute(_TAKE, (limit,)).fetchall()
    if not taken:
        return 0, 0
    requests = {row["sync_id"]: _request(row) for row in taken}
    new = connection.execute(
        _EXPECT,
        {
            "sync_id": list(requests),
            "platform_name": [request.platform_name for request in requests.values()],
            "domain": [request.domain for request in requests.values()],
            "merchant_id": [request.merchant_id for request in requests.values()],
            "status": ["pending"] * len(requests),
            "correlation_id": [request.usable_correlation_id for request in requests.values()],
            "requested_at": [row["requested_at"] for row in taken],
        },
    ).fetchall()
    known = set(requests) - {sync_id for (sync_id,) in new}
    if known:
        connection.execute(
            _REFUSE, ("there is already a sync of this sync_id; it is not run again.", list(known))
        )
    connection.execute(
        "UPDATE connector.sync_requests SET accepted_at = clock_timestamp()"
        " WHERE sync_id = ANY(%s)",
        ([sync_id for (sync_id,) in new],),
    )
    refused = 0
    for (sync_id,) in new:
        try:
            requests[sync_id].shop(valid_domain)
            requests[sync_id].requested_type()
        except InvalidSyncRequest as error:
            refuse(connection, sync_id, error)
            refused += 1
    return len(new) - refused, refused + len(known)


def refuse(connection: psycopg.Connection, sync_id: str, error: InvalidSyncRequest) -> None:
    """Refuse a request for good. Its sync has failed."""
    connection.execute(_REFUSE, (f"{error.message} {error.remedy}", [sync_id]))
    sync_log.fail(connection, sync_id, error)


def offered(connection: psycopg.Connection) -> Sequence[tuple[str, str]]:
    """Requests that were offered and whose run was not seen yet: their sync_ids and run keys."""
    rows = connection.execute(
        "SELECT sync_id, relaunches FROM connector.sync_requests"
        " WHERE offered_at IS NOT NULL AND launched_at IS NULL AND refused_at IS NULL ORDER BY id"
    )
    return [(sync_id, _run_key(sync_id, relaunches)) for sync_id, relaunches in rows]


def launched(connection: psycopg.Connection, runs: Iterable[tuple[str, str]]) -> None:
    """Record runs that were seen. `runs` are pairs of a sync_id and a run id."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "UPDATE connector.sync_requests SET launched_at = clock_timestamp(), run_id = %s"
            " WHERE sync_id = %s AND launched_at IS NULL",
            [(run_id, sync_id) for sync_id, run_id in runs],
        )


def relaunch(connection: psycopg.Connection, sync_id: str) -> bool:
    """Have a request launched again after its run died. The sync is pending again.

    Returns False if that was done MOST_RELAUNCHES times, and for a sync that nobody requested.
    """
    again = connection.execute(
        """
        UPDATE connector.sync_requests
        SET relaunches = relaunches + 1, offered_at = NULL, launched_at = NULL, run_id = NULL
        WHERE sync_id = %s AND launched_at IS NOT NULL AND relaunches < %s
        """,
        (sync_id, MOST_RELAUNCHES),
    )
    if again.rowcount == 0:
        return False
    connection.execute(
        "UPDATE connector.syncs SET status = 'pending', run_id = NULL WHERE sync_id = %s",
        (sync_id,),
    )
    return True


def offer(connection: psycopg.Connection, *, limit: int, at_once: int) -> list[Launch]:
    """The runs to ask of Dagster next, at most `limit`, oldest request first.

    The shops of these requests are registered. At most `at_once` requests are under way, and
    AT_ONCE_PER_SHOP of one shop; the others wait in the inbox. A request that its shop's
    registration forbids is refused instead.
    """
    rows = (
        connection.cursor(row_factory=dict_row)
        .execute(_NEXT, {"limit": limit, "at_once": at_once, "per_shop": AT_ONCE_PER_SHOP})
        .fetchall()
    )
    launches: list[Launch] = []
    # Sorted, so that two transactions that lock several shops cannot deadlock.
    for row in sorted(rows, key=lambda row: (row["platform_name"], row["domain"])):
        request = _request(row)
        try:
            # Checked again: other adapters may be installed than when it was accepted.
            shop = request.shop(valid_domain)
            _register(connection, shop)
        except InvalidSyncRequest as error:
            refuse(connection, request.sync_id, error)
            continue
        launches.append(
            Launch(
                sync_id=request.sync_id,
                correlation_id=request.usable_correlation_id,
                shop=shop,
                sync_type=request.requested_type(),
                run_key=_run_key(request.sync_id, row["relaunches"]),
            )
        )
    order = {row["sync_id"]: index for index, row in enumerate(rows)}
    launches.sort(key=lambda launch: order[launch.sync_id])
    connection.execute(
        "UPDATE connector.sync_requests SET offered_at = clock_timestamp() WHERE sync_id = ANY(%s)",
        ([launch.sync_id for launch in launches],),
    )
    return launches


def waiting(connection: psycopg.Connection) -> int:
    """How many requests are neither launched nor refused."""
    row = connection.execute(
        "SELECT count(*) FROM connector.sync_requests"
        " WHERE launched_at IS NULL AND refused_at IS NULL"
    ).fetchone()
    return int(row[0]) if row else 0


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


def _run_key(sync_id: str, relaunches: int) -> str:
    # A sync_id has no spaces, so no other request's key can be the same.
    return sync_id if relaunches == 0 else f"{sync_id} relaunch {relaunches}"


def _request(row: dict[str, Any]) -> SyncRequest:
    # Not validated: an SQL requester may write values that no message could bring. `shop` refuses
    # them, with the reason.
    return SyncRequest.model_construct(
        **{name: row[name] for name in SyncRequest.model_fields},
    )
