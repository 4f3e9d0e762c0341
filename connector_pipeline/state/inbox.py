"""`connector.sync_requests`: requests in, each on its way to exactly one run.

A request is accepted (its sync is pending in `connector.syncs`), offered to Dagster, and launched
once its run is seen to exist; or it is refused. Nothing here relies on what Dagster was told: a
request that was offered and has no run is offered again, and Dagster knows the repeat by its run
key. Each function is part of the caller's transaction.
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
"""How long a request is kept after it arrived: a repeat older than that is known by its sync."""

AT_ONCE_PER_SHOP: Final = 2
"""Launched and unfinished requests of one shop: the next one waits in Dagster's queue, and starts
as soon as the first has ended. More would only fill the queue with what cannot run."""

MOST_RELAUNCHES: Final = 2
"""Runs that die one after another, each with Dagster's own retries, die of the request."""

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

# The window counts what is unfinished by our own record, however Dagster calls it.
_NEXT: Final = """
    WITH under_way AS (
        SELECT request.platform_name, request.domain, count(*) AS runs
        FROM connector.syncs AS sync
        JOIN connector.sync_requests AS request USING (sync_id)
        WHERE sync.status IN ('pending', 'running') AND request.launched_at IS NOT NULL
        GROUP BY request.platform_name, request.domain
    ), waiting AS (
        SELECT *, row_number() OVER (PARTITION BY platform_name, domain ORDER BY id) AS place
        FROM connector.sync_requests
        WHERE accepted_at IS NOT NULL AND launched_at IS NULL AND refused_at IS NULL
    )
    SELECT merchant_id, platform_name, platform_shop_id, domain, sync_id, sync_type,
        correlation_id, relaunches
    FROM waiting LEFT JOIN under_way USING (platform_name, domain)
    WHERE place + coalesce(under_way.runs, 0) <= %(per_shop)s
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
    """A run to be asked of Dagster for a request; `run_key` names it, however often it is asked."""

    sync_id: str
    correlation_id: str
    shop: Shop
    sync_type: RequestedSyncType
    run_key: str


def put(connection: psycopg.Connection, requests: Iterable[SyncRequest]) -> int:
    """Put requests into the inbox; how many are new. One that arrived before is left as it is."""
    new = 0
    with connection.cursor() as cursor:
        for request in requests:
            new += cursor.execute(
                """
                INSERT INTO connector.sync_requests (merchant_id, platform_name, platform_shop_id,
                    domain, sync_id, sync_type, correlation_id)
                SELECT %(merchant_id)s, %(platform_name)s, %(platform_shop_id)s, %(domain)s,
                    %(sync_id)s, %(sync_type)s, %(correlation_id)s
                -- A request that is no longer kept has left its sync.
                WHERE NOT EXISTS (SELECT FROM connector.syncs WHERE sync_id = %(sync_id)s)
                ON CONFLICT DO NOTHING
                """,
                request.model_dump(),
            ).rowcount
    return new


def accept(connection: psycopg.Connection, *, limit: int) -> tuple[int, int]:
    """Accept what has arrived, or refuse what cannot be synced; how many of each.

    A refused sync has failed, with the event that says so; one whose sync_id is another sync's
    already is refused without, because that sync tells how it ended.
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
    """Refuse a request for good: its sync has failed."""
    connection.execute(_REFUSE, (f"{error.message} {error.remedy}", [sync_id]))
    sync_log.fail(connection, sync_id, error)


def offered(connection: psycopg.Connection) -> Sequence[tuple[str, str]]:
    """Requests that were offered and of which no run was seen yet: sync_ids with their run keys."""
    rows = connection.execute(
        "SELECT sync_id, relaunches FROM connector.sync_requests"
        " WHERE offered_at IS NOT NULL AND launched_at IS NULL AND refused_at IS NULL ORDER BY id"
    )
    return [(sync_id, _run_key(sync_id, relaunches)) for sync_id, relaunches in rows]


def launched(connection: psycopg.Connection, runs: Iterable[tuple[str, str]]) -> None:
    """Record the runs that were seen: pairs of sync_id and run id."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "UPDATE connector.sync_requests SET launched_at = clock_timestamp(), run_id = %s"
            " WHERE sync_id = %s AND launched_at IS NULL",
            [(run_id, sync_id) for sync_id, run_id in runs],
        )


def relaunch(connection: psycopg.Connection, sync_id: str) -> bool:
    """Have a request run again whose run died; False if that was done MOST_RELAUNCHES times.

    False as well of a sync that nobody requested. The sync is pending again, under its sync_id.
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
    """The requests whose turn it is, at most `limit`, oldest first; their shops are registered.

    At most `at_once` are under way, and AT_ONCE_PER_SHOP of one shop; the others wait in the inbox.
    One that its shop's registration forbids is refused instead.
    """
    rows = (
        connection.cursor(row_factory=dict_row)
        .execute(_NEXT, {"limit": limit, "at_once": at_once, "per_shop": AT_ONCE_PER_SHOP})
        .fetchall()
    )
    launches: list[Launch] = []
    # In one order, so that two transactions that lock several shops cannot deadlock.
    for row in sorted(rows, key=lambda row: (row["platform_name"], row["domain"])):
        request = _request(row)
        try:
            # Checked again: the adapters may be others than when it was accepted.
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
    order = {row["sync_id"]: place for place, row in enumerate(rows)}
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
    # Not validated: whoever inserts a row may write what no message could have brought, and is
    # told so by `shop`.
    return SyncRequest.model_construct(
        **{name: row[name] for name in SyncRequest.model_fields},
    )
