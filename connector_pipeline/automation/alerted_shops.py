"""Find the single shops that alerts are about."""

import psycopg
from psycopg.rows import class_row

from connector_pipeline.automation.alert import DisconnectedShop
from connector_pipeline.model.shop_state import ShopState
from connector_pipeline.state import shop_health


def disconnected(connection: psycopg.Connection) -> list[DisconnectedShop]:
    """The disconnected shops, in the order in which they became so."""
    cursor = connection.cursor(row_factory=class_row(DisconnectedShop))
    return cursor.execute(
        """
        SELECT platform_name || '/' || domain AS shop, merchant_id, last_error_message AS error,
            updated_at AS since
        FROM connector.shops WHERE state = %s ORDER BY updated_at, platform_name, domain
        """,
        (ShopState.DISCONNECTED,),
    ).fetchall()


def without_webhooks(connection: psycopg.Connection) -> list[DisconnectedShop]:
    """The active shops whose webhooks were lost and not restored."""
    cursor = connection.cursor(row_factory=class_row(DisconnectedShop))
    return cursor.execute(
        """
        SELECT platform_name || '/' || domain AS shop, merchant_id, subscriptions_trouble AS error,
            subscriptions_checked_at AS since
        FROM connector.shops
        WHERE state = %s AND NOT subscribed AND subscriptions_checked_at IS NOT NULL
        ORDER BY platform_name, domain
        """,
        (ShopState.ACTIVE,),
    ).fetchall()


def failing_long(connection: psycopg.Connection) -> list[DisconnectedShop]:
    """The active shops that have failed for a day, the longest first."""
    return [
        DisconnectedShop(
            shop=each.shop, merchant_id=each.merchant_id, error=each.error, since=each.since
        )
        for each in shop_health.failing_long(connection)
    ]
