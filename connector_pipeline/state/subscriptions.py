"""What the registry remembers of the shops' webhooks: who has them, when they were looked at.

Each function is part of the caller's transaction.
"""

from datetime import timedelta
from typing import LiteralString

import psycopg

from connector_pipeline.model.shop import columns_of
from connector_pipeline.model.shop_state import ShopState


def due(connection: psycopg.Connection, *, every: timedelta, limit: int) -> list[str]:
    """The active shops with webhooks that were not looked at for so long, the longest first."""
    rows = connection.execute(
        """
        SELECT platform_name || '/' || domain FROM connector.shops
        WHERE state = %s AND subscribed IS NOT NULL
            AND (subscriptions_checked_at IS NULL OR subscriptions_checked_at < now() - %s)
        ORDER BY subscriptions_checked_at NULLS FIRST, platform_name, domain LIMIT %s
        """,
        (ShopState.ACTIVE, every, limit),
    )
    return [key for (key,) in rows]


def found(connection: psycopg.Connection, key: str, *, trouble: str | None) -> None:
    """Record that the shop has webhooks of ours, and what is wrong with them, if anything is."""
    _set(connection, key, "subscribed = %s, subscriptions_trouble = %s", trouble is None, trouble)


def unsubscribed(connection: psycopg.Connection, key: str) -> None:
    """Record that the shop has none and shall have none."""
    _set(connection, key, "subscribed = NULL, subscriptions_trouble = NULL")


def not_seen(connection: psycopg.Connection, key: str) -> None:
    """Record that the shop was asked and gave no answer: it is asked again when it is due again."""
    _set(connection, key, "subscribed = subscribed")


def _set(connection: psycopg.Connection, key: str, what: LiteralString, *values: object) -> None:
    [platform_name], [domain] = columns_of([key])
    connection.execute(
        f"UPDATE connector.shops SET {what}, subscriptions_checked_at = now()"  # noqa: S608
        " WHERE platform_name = %s AND domain = %s",
        (*values, platform_name, domain),
    )
