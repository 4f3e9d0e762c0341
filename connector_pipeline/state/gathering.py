"""Gathers the hints that wait in `connector.hints` into `connector.sync_queue`.

One waiting row of a shop gathers the tokens of its hints, and its sync asks for those alone. It
stands beside the rows of sweeps, backfills and requests and joins none: a hint must not bring a
sync of the whole shop forward, nor wait until one has read everything. More than MOST_HINTED
tokens, or a hint that names none, make it an ordinary increment.

A hint joins only a row whose sync has not begun. So each token is asked for by a sync that begins
after the hint came. Each function is part of the caller's transaction.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from connector_pipeline.model.hint import FINISHED_WORK, MOST_HINTED, HintedToken, HintSource
from connector_pipeline.model.queue import PRIORITIES, QueueReason
from connector_pipeline.model.shop_state import ShopState
from connector_pipeline.model.sync_type import RequestedSyncType
from connector_pipeline.state import sync_queue
from connector_pipeline.state.asked_again import read_tokens, stored_tokens

GATHERED_AT_ONCE: Final = 10_000

_IS_DUE: Final = "gathered_at IS NULL AND (not_before IS NULL OR not_before <= clock_timestamp())"

_GATHER: Final = f"""
    WITH due AS (
        SELECT id FROM connector.hints WHERE {_IS_DUE}
        ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    )
    UPDATE connector.hints AS hint SET gathered_at = clock_timestamp()
    FROM due WHERE hint.id = due.id
    RETURNING hint.platform_name, hint.domain, hint.source, hint.received_at,
        hint.token, hint.changed_at, hint.asked,
        greatest(clock_timestamp(), coalesce(hint.not_before, hint.received_at + %(pause)s))
"""  # noqa: S608  our own words

_NOT_BEGUN: Final = """
    row.state = 'waiting' AND row.relaunches = 0 AND NOT EXISTS (
        SELECT FROM connector.syncs AS sync
        WHERE sync.sync_id = row.sync_id AND sync.started_at IS NOT NULL)
"""

_SHOPS: Final = f"""
    SELECT given.platform_name, given.domain, shop.merchant_id,
        shop.high_water_mark IS NOT NULL AS has_mark,
        shop.full_sync_failed_at IS NOT NULL AS full_fails,
        hinted.id AS hinted, hinted.hints, whole.id AS whole
    FROM unnest(%s::text[], %s::text[]) AS given (platform_name, domain)
        JOIN connector.shops AS shop USING (platform_name, domain)
        LEFT JOIN LATERAL (
            SELECT row.id, row.hints FROM connector.sync_queue AS row
            WHERE row.platform_name = shop.platform_name AND row.domain = shop.domain
                AND row.hints IS NOT NULL AND {_NOT_BEGUN}
            ORDER BY row.id LIMIT 1
        ) AS hinted ON true
        LEFT JOIN LATERAL (
            SELECT row.id FROM connector.sync_queue AS row
            WHERE row.platform_name = shop.platform_name AND row.domain = shop.domain
                AND row.hints IS NULL AND {_NOT_BEGUN}
            ORDER BY row.priority, row.id LIMIT 1
        ) AS whole ON true
    WHERE shop.state = %s
    ORDER BY given.platform_name, given.domain
"""  # noqa: S608  the same

_JOIN_HINTED: Final = """
    UPDATE connector.sync_queue AS row
    SET hints = given.hints, not_before = least(row.not_before, given.not_before)
    FROM unnest(%s::bigint[], %s::jsonb[], %s::timestamptz[]) AS given (id, hints, not_before)
    WHERE row.id = given.id
"""

_JOIN_WHOLE: Final = """
    UPDATE connector.sync_queue AS row
    SET priority = least(row.priority, %(priority)s),
        reason = CASE WHEN %(priority)s < row.priority THEN %(reason)s ELSE row.reason END
    WHERE row.id = ANY(%(ids)s)
"""

_PUT: Final = """
    INSERT INTO connector.sync_queue
        (platform_name, domain, merchant_id, reason, priority, sync_type, hints, not_before)
    SELECT platform_name, domain, merchant_id, %s, %s, %s, hints, not_before
    FROM unnest(%s::text[], %s::text[], %s::text[], %s::jsonb[], %s::timestamptz[])
        AS given (platform_name, domain, merchant_id, hints, not_before)
"""


# Once a minute, so that a burst does not write the shop's row at each gathering. A row that a sync
# has locked is left to the next hint, because gathering must not wait for a sync.
_ARRIVED: Final = """
    UPDATE connector.shops AS shop SET last_hint_at = newest.received_at
    FROM (
        SELECT platform_name, domain, given.received_at FROM connector.shops
        JOIN unnest(%s::text[], %s::text[], %s::timestamptz[])
            AS given (platform_name, domain, received_at) USING (platform_name, domain)
        WHERE state = %s
            AND coalesce(last_hint_at < given.received_at - interval '1 minute', true)
        FOR NO KEY UPDATE OF shops SKIP LOCKED
    ) AS newest
    WHERE shop.platform_name = newest.platform_name AND shop.domain = newest.domain
"""


@dataclass(slots=True)
class _OfShop:
    """The hints of a shop: `anything` if one names no token. `not_before`: the first one's time."""

    not_before: datetime
    tokens: dict[str, HintedToken] = field(default_factory=dict[str, HintedToken])
    anything: bool = False

    def add(self, token: str | None, hinted: HintedToken, not_before: datetime) -> None:
        self.not_before = min(self.not_before, not_before)
        if token is None:
            self.anything = True
        else:
            _merge(self.tokens, {token: hinted})


@dataclass(frozen=True, slots=True)
class _Shop:
    """An active shop, and its rows that hints may join: one with tokens, one of the whole shop."""

    platform_name: str
    domain: str
    merchant_id: str
    has_mark: bool
    full_fails: bool
    hinted: int | None
    hints: Mapping[str, Mapping[str, object]] | None
    whole: int | None


def gather(
    connection: psycopg.Connection,
    *,
    pause: timedelta,
    most_hinted: Mapping[str, int],
    limit: int = GATHERED_AT_ONCE,
) -> int:
    """Put the hints that are due into the queue, the oldest first. Returns how many there were.

    A shop's row is taken `pause` after its first hint at the earliest, so that it gathers more.
    `most_hinted` has how many tokens a sync asks for by platform; MOST_HINTED where it has none.
    Hints of shops that are not active, or not registered, are dropped. So are those of a shop
    without a high-water mark whose full syncs fail: what comes next reads all of it anyway, at
    its own distance.
    """
    if not are_due(connection):
        return 0
    sync_queue.lock(connection)
    rows = connection.execute(_GATHER, {"limit": limit, "pause": pause}).fetchall()
    shops: dict[tuple[str, str], _OfShop] = {}
    delivered: dict[tuple[str, str], datetime] = {}
    for platform_name, domain, source, received_at, token, changed_at, asked, not_before in rows:
        if source == HintSource.WEBHOOK:
            known = delivered.setdefault((platform_name, domain), received_at)
            delivered[platform_name, domain] = max(known, received_at)
        if token is not None and token.startswith(FINISHED_WORK):
            continue
        of_shop = shops.setdefault((platform_name, domain), _OfShop(not_before))
        of_shop.add(token, HintedToken(changed_at, asked), not_before)
    if shops:
        _put(connection, shops, most_hinted)
    if delivered:
        _note_arrival(connection, delivered)
    return len(rows)


def are_due(connection: psycopg.Connection) -> bool:
    """Whether hints wait that may be gathered."""
    found = connection.execute(f"SELECT FROM connector.hints WHERE {_IS_DUE} LIMIT 1")
    return found.fetchone() is not None


def _note_arrival(
    connection: psycopg.Connection, delivered: Mapping[tuple[str, str], datetime]
) -> None:
    """Remember that webhooks of these shops arrive: their change feeds are looked at rarer."""
    connection.execute(
        _ARRIVED,
        (
            [name for name, _ in delivered],
            [domain for _, domain in delivered],
            list(delivered.values()),
            ShopState.ACTIVE,
        ),
    )


def _put(
    connection: psycopg.Connection,
    shops: Mapping[tuple[str, str], _OfShop],
    most_hinted: Mapping[str, int],
) -> None:
    with connection.cursor(row_factory=class_row(_Shop)) as cursor:
        active = cursor.execute(
            _SHOPS, ([name for name, _ in shops], [domain for _, domain in shops], ShopState.ACTIVE)
        ).fetchall()
    joined: list[tuple[int, Jsonb | None, datetime]] = []
    put: list[tuple[_Shop, Jsonb | None, datetime]] = []
    raised: list[int] = []
    covered: list[int] = []
    for shop in active:
        of_shop = shops[shop.platform_name, shop.domain]
        if not shop.has_mark and shop.full_fails:
            continue
        tokens = read_tokens(shop.hints)
        _merge(tokens, of_shop.tokens)
        most = most_hinted.get(shop.platform_name, MOST_HINTED)
        whole = of_shop.anything or len(tokens) > most or not shop.has_mark
        hints = None if whole else Jsonb(stored_tokens(tokens))
        if whole and shop.whole is not None:
            raised.append(shop.whole)
            covered += [] if shop.hinted is None else [shop.hinted]
        elif shop.hinted is not None:
            joined.append((shop.hinted, hints, of_shop.not_before))
        else:
            put.append((shop, hints, of_shop.not_before))
    priority = PRIORITIES[QueueReason.CHANGE]
    if raised:
        connection.execute(
            _JOIN_WHOLE, {"ids": raised, "priority": priority, "reason": QueueReason.CHANGE}
        )
        connection.execute("DELETE FROM connector.sync_queue WHERE id = ANY(%s)", (covered,))
    if joined:
        connection.execute(_JOIN_HINTED, [list(column) for column in zip(*joined, strict=True)])
    if put:
        connection.execute(
            _PUT,
            (
                QueueReason.CHANGE,
                priority,
                RequestedSyncType.incremental.value,
                [shop.platform_name for shop, _, _ in put],
                [shop.domain for shop, _, _ in put],
                [shop.merchant_id for shop, _, _ in put],
                [hints for _, hints, _ in put],
                [not_before for _, _, not_before in put],
            ),
        )


def _merge(tokens: dict[str, HintedToken], others: Mapping[str, HintedToken]) -> None:
    for token, other in others.items():
        known = tokens.get(token)
        tokens[token] = other if known is None else known.and_of(other)
