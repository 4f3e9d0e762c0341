"""The disconnected shops: which to ask again, and what became of it.

A disconnected shop is asked again at growing distance, because a refusal may end without a word: a
frozen shop is paid for, a closed one opens, a scope is approved. Where the refusal was about the
credentials, other ones are a reason to ask at once. Each function is part of the caller's
transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg.rows import dict_row

from connector_pipeline.model.errors import ShopDisconnected
from connector_pipeline.model.queue import QueueReason
from connector_pipeline.model.shop import Shop
from connector_pipeline.model.shop_state import ShopState
from connector_pipeline.state import queue_intake
from connector_pipeline.state.refusals import DISTANCES, NEXT_DISTANCE, NOT_REFUSED, RefusedAbout

_UNCHANGED: Final = """
    platform_name = %(platform_name)s AND domain = %(domain)s AND state = %(disconnected)s
        AND refused_credential IS NOT DISTINCT FROM %(refused)s
        AND asked_again = %(asked_again)s
"""


@dataclass(frozen=True, slots=True)
class DisconnectedShop:
    """A disconnected shop. `refused` is the digest of the credential that it refused, or None.

    `due`: it is time to ask the shop again, whatever its credentials are.
    """

    shop: Shop
    refused: str | None
    asked_again: int
    due: bool


def next_after(connection: psycopg.Connection, key: str, *, limit: int) -> list[DisconnectedShop]:
    """At most `limit` disconnected shops after this partition key, sorted by theirs.

    They are those that are due, and those that other credentials may help.
    """
    rows = connection.cursor(row_factory=dict_row).execute(
        """
        SELECT * FROM (
            SELECT merchant_id, platform_name, platform_shop_id, domain, currency, path,
                refused_about, refused_credential, asked_again,
                coalesce(ask_again_at <= now(), true) AS due
            FROM connector.shops
            WHERE state = %s AND platform_name || '/' || domain > %s
        ) AS shop
        WHERE due OR refused_about IS DISTINCT FROM %s
        ORDER BY platform_name || '/' || domain
        LIMIT %s
        """,
        (ShopState.DISCONNECTED, key, RefusedAbout.SHOP, limit),
    )
    return [
        DisconnectedShop(
            refused=row.pop("refused_credential"),
            asked_again=row.pop("asked_again"),
            due=row.pop("due"),
            shop=Shop(**{name: value for name, value in row.items() if name != "refused_about"}),
        )
        for row in rows
    ]


def ask_soon(connection: psycopg.Connection, shops: Sequence[tuple[str, str]]) -> int:
    """Have those of these shops asked soon that are disconnected. Returns for how many that is new.

    A shop is due at once if its last hint that made it so, or that was gathered, is an hour old.
    Otherwise it is due when that hour is over, so that one that sends on and on is asked twice in
    an hour at most, and none that sent anything is left alone for a day. A row that somebody else
    has locked is left out, as the caller must not wait.
    """
    if not shops:
        return 0
    return connection.execute(
        """
        UPDATE connector.shops AS shop
        SET ask_again_at = due.at,
            last_hint_at = CASE WHEN due.at <= now() THEN now() ELSE last_hint_at END
        FROM (
            SELECT platform_name, domain, of.at FROM connector.shops
            JOIN unnest(%s::text[], %s::text[]) AS given (platform_name, domain)
                USING (platform_name, domain)
            CROSS JOIN LATERAL (
                SELECT greatest(now(), last_hint_at + interval '1 hour') AS at
            ) AS of
            WHERE state = %s AND ask_again_at > of.at
            FOR NO KEY UPDATE OF shops SKIP LOCKED
        ) AS due
        WHERE shop.platform_name = due.platform_name AND shop.domain = due.domain
        """,
        (
            [platform for platform, _ in shops],
            [domain for _, domain in shops],
            ShopState.DISCONNECTED,
        ),
    ).rowcount


def reconnect(connection: psycopg.Connection, found: DisconnectedShop) -> bool:
    """Make the shop active, and put it into the queue: its catalog is as old as the refusal.

    Returns False if the shop has changed since it was found. Nothing is changed then.
    """
    key = found.shop.partition_key
    with connection.transaction() as saved:
        # Rows of the queue are locked before those of shops.
        queue_intake.put_shops(connection, [key], reason=QueueReason.CHANGE)
        changed = connection.execute(
            f"""
            UPDATE connector.shops
            SET state = %(active)s, updated_at = now(), consecutive_failures = 0, {NOT_REFUSED}
            WHERE {_UNCHANGED}
            """,  # noqa: S608  our own words
            _values(found) | {"active": ShopState.ACTIVE},
        )
        if changed.rowcount == 0:
            raise psycopg.Rollback(saved)
    return changed.rowcount == 1


def still_refused(
    connection: psycopg.Connection,
    found: DisconnectedShop,
    error: ShopDisconnected,
    *,
    credential: str | None,
) -> None:
    """Record that the shop was asked again and refused these credentials, given by their digest."""
    connection.execute(
        f"""
        UPDATE connector.shops
        SET asked_again = asked_again + 1, refused_credential = %(credential)s,
            refused_about = %(about)s,
            ask_again_at = now() + {NEXT_DISTANCE.replace("asked_again", "asked_again + 1")}
        WHERE {_UNCHANGED}
        """,  # noqa: S608  our own words
        _values(found) | {"credential": credential, "about": RefusedAbout.of(error)},
    )


def not_answered(connection: psycopg.Connection, found: DisconnectedShop) -> None:
    """Record that the shop was asked again when it was due, and gave no proper answer."""
    connection.execute(
        f"""
        UPDATE connector.shops
        SET asked_again = asked_again + 1,
            ask_again_at = now() + {NEXT_DISTANCE.replace("asked_again", "asked_again + 1")}
        WHERE {_UNCHANGED}
        """,  # noqa: S608  our own words
        _values(found),
    )


def _values(found: DisconnectedShop) -> dict[str, object]:
    return {
        **DISTANCES,
        "platform_name": found.shop.platform_name,
        "domain": found.shop.domain,
        "disconnected": ShopState.DISCONNECTED,
        "refused": found.refused,
        "asked_again": found.asked_again,
    }
