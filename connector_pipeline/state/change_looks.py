"""Looks at the platforms' change feeds: which shops are due, and what a look found.

A sync reads what a look would have found, so it counts as one. Each function is part of the
caller's transaction.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import psycopg
from psycopg.rows import dict_row

from connector_pipeline.model.errors import RateLimited
from connector_pipeline.model.shop import Shop
from connector_pipeline.model.shop_state import ShopState
from connector_pipeline.state.look_distances import FIRST_RATE, wanted_rate
from connector_pipeline.state.sweeps import RUNNING_FOR

_LIVE: Final = timedelta(days=1)
"""A shop whose last webhook is older may have lost its subscriptions, or has nothing to say."""

# A shop without a catalog waits for its first sync, which a sweep begins.
_WATCHED: Final = """
    shop.state = %(active)s AND shop.refused_at IS NULL
    AND shop.last_successful_sync_at IS NOT NULL AND shop.platform_name = ANY(%(platforms)s)
"""

_HAS_WEBHOOKS: Final = "coalesce(shop.subscribed AND shop.last_hint_at > now() - %(live)s, false)"

# Due at different times from the first look on, so that they do not come all at once.
_BEGIN: Final = f"""
    INSERT INTO connector.change_looks (platform_name, domain, look_at, changes_an_hour)
    SELECT platform_name, domain, now() + random() * %(within)s::interval, %(rate)s
    FROM connector.shops AS shop
    WHERE {_WATCHED} AND NOT EXISTS (
        SELECT FROM connector.change_looks AS known
        WHERE known.platform_name = shop.platform_name AND known.domain = shop.domain
    )
    ON CONFLICT DO NOTHING
"""  # noqa: S608  our own words

_END: Final = """
    DELETE FROM connector.change_looks AS look
    WHERE NOT EXISTS (
        SELECT FROM connector.shops AS shop
        WHERE shop.platform_name = look.platform_name AND shop.domain = look.domain
    )
"""

_RATES: Final = f"""
    SELECT exp(round(ln(greatest(look.changes_an_hour, 0.001)) * 20) / 20) AS rate,
        {_HAS_WEBHOOKS} AS has_webhooks, count(*)::int
    FROM connector.change_looks AS look JOIN connector.shops AS shop USING (platform_name, domain)
    WHERE {_WATCHED} GROUP BY 1, 2
"""  # noqa: S608

# Left out are shops that wait for a sync or have one under way, whoever began it, and shops whose
# last sync the platform throttled.
_DUE: Final = f"""
    SELECT shop.merchant_id, platform_name, shop.platform_shop_id, domain, shop.currency, shop.path,
        look.cursor, look.looked_at, look.look_at, look.changes_an_hour, look.failures,
        shop.last_successful_sync_at AS synced_at, {_HAS_WEBHOOKS} AS has_webhooks,
        shop.last_error_code IS NOT DISTINCT FROM %(throttled)s AS throttled,
        read.changed AS sync_changed
    FROM connector.change_looks AS look JOIN connector.shops AS shop USING (platform_name, domain)
    LEFT JOIN LATERAL (
        SELECT started_at, status, progressed_at FROM connector.syncs AS sync
        WHERE sync.platform_name = shop.platform_name AND sync.domain = shop.domain
            AND sync.started_at IS NOT NULL
        ORDER BY sync.started_at DESC LIMIT 1
    ) AS last ON true
    LEFT JOIN LATERAL (
        SELECT inserted + updated + revived + deleted > 0 AS changed
        FROM connector.syncs AS sync
        WHERE sync.platform_name = shop.platform_name AND sync.domain = shop.domain
            AND sync.started_at >= shop.last_successful_sync_at
            AND sync.status = 'succeeded' AND sync.sync_type <> 'hinted'
        ORDER BY sync.started_at LIMIT 1
    ) AS read ON true
    WHERE {_WATCHED} AND look.look_at <= now()
        AND NOT coalesce(last.status = 'running'
            AND greatest(last.started_at, last.progressed_at) > now() - %(running_for)s, false)
        AND NOT EXISTS (
            SELECT FROM connector.sync_queue AS queued
            WHERE queued.platform_name = shop.platform_name AND queued.domain = shop.domain
                AND queued.state <> 'ended'
        )
        AND NOT EXISTS (
            SELECT FROM connector.hints AS hint
            WHERE hint.platform_name = shop.platform_name AND hint.domain = shop.domain
                AND hint.gathered_at IS NULL
        )
    ORDER BY look.look_at LIMIT %(limit)s
"""  # noqa: S608

_RECORD: Final = """
    UPDATE connector.change_looks
    SET cursor = %(cursor)s, looked_at = %(looked_at)s, look_at = %(look_at)s,
        changed_at = CASE WHEN %(changed)s THEN %(looked_at)s ELSE changed_at END,
        changes_an_hour = %(rate)s, failures = %(failures)s
    WHERE platform_name = %(platform_name)s AND domain = %(domain)s
"""


@dataclass(frozen=True, slots=True)
class DueShop:
    """A shop whose look is due, with what is remembered of it.

    `looked_at` is when it was last looked at, or a sync that counted as a look began. `synced_at`
    is when the last published sync of the whole shop began, and `sync_changed` whether that sync
    changed any row; None: its record is gone. `throttled`: the platform throttled the last sync.
    """

    shop: Shop
    cursor: str | None
    looked_at: datetime | None
    look_at: datetime
    changes_an_hour: float
    failures: int
    synced_at: datetime
    has_webhooks: bool
    throttled: bool
    sync_changed: bool | None


@dataclass(frozen=True, slots=True)
class Look:
    """What is to be remembered after a look, or after a sync that counts as one."""

    due: DueShop
    looked_at: datetime
    look_at: datetime
    changes_an_hour: float
    cursor: str | None
    changed: bool = False
    failures: int = 0


def rates(
    connection: psycopg.Connection, *, platforms: Sequence[str], within: timedelta
) -> dict[float, int]:
    """The wanted rates of the shops that are looked at, rounded, each with the number of shops.

    A shop that is new here is due at some time `within` this; one that left the registry is
    forgotten.
    """
    values = _values(platforms) | {"within": within, "rate": FIRST_RATE}
    connection.execute(_BEGIN, values)
    connection.execute(_END)
    counts: Counter[float] = Counter()
    for rate, has_webhooks, shops in connection.execute(_RATES, values):
        counts[wanted_rate(rate, has_webhooks=has_webhooks)] += shops
    return counts


def due(connection: psycopg.Connection, *, platforms: Sequence[str], limit: int) -> list[DueShop]:
    """At most `limit` shops whose look is due, the longest due first."""
    rows = connection.cursor(row_factory=dict_row).execute(
        _DUE,
        _values(platforms)
        | {"throttled": RateLimited.__name__, "running_for": RUNNING_FOR, "limit": limit},
    )
    return [_due(row) for row in rows]


def holds(connection: psycopg.Connection, shop: Shop) -> bool:
    """Whether the shop is still active, and stays so until the transaction ends.

    A shop that is erased while it is looked at must leave nothing behind.
    """
    row = connection.execute(
        "SELECT FROM connector.shops WHERE platform_name = %s AND domain = %s AND state = %s"
        " FOR SHARE",
        (shop.platform_name, shop.domain, ShopState.ACTIVE),
    ).fetchone()
    return row is not None


def record(connection: psycopg.Connection, look: Look) -> None:
    """Remember a look, and when the next one is due."""
    connection.execute(
        _RECORD,
        {
            "platform_name": look.due.shop.platform_name,
            "domain": look.due.shop.domain,
            "cursor": look.cursor,
            "looked_at": look.looked_at,
            "look_at": look.look_at,
            "changed": look.changed,
            "rate": look.changes_an_hour,
            "failures": look.failures,
        },
    )


def _values(platforms: Sequence[str]) -> dict[str, Any]:
    return {"active": ShopState.ACTIVE, "live": _LIVE, "platforms": list(platforms)}


def _due(row: dict[str, Any]) -> DueShop:
    shop = Shop(
        **{name: row.pop(name) for name in Shop.model_fields if name in row},
    )
    return DueShop(shop=shop, **row)
