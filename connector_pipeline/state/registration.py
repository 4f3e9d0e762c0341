"""How a shop comes into the registry, or its registration is updated.

It is part of the caller's transaction.
"""

from typing import Final, Literal

import psycopg

from connector_pipeline.model.shop import Shop

Added = Literal["added", "updated", "unchanged"]

_ADD: Final = """
    INSERT INTO connector.shops AS shop
        (merchant_id, platform_name, platform_shop_id, domain, currency, path)
    VALUES (%(merchant_id)s, %(platform_name)s, %(platform_shop_id)s, %(domain)s, %(currency)s,
        coalesce(%(path)s, ''))
    ON CONFLICT (platform_name, domain) DO UPDATE SET
        merchant_id = excluded.merchant_id,
        platform_shop_id = excluded.platform_shop_id,
        currency = coalesce(excluded.currency, shop.currency),
        path = coalesce(%(path)s, shop.path),
        -- What was learned of the shop at another path is not of this one.
        learned = CASE WHEN coalesce(%(path)s, shop.path) = shop.path
            THEN shop.learned ELSE '{}' END,
        -- Catalog rows hold these values: only a full sync rewrites rows that did not change.
        high_water_mark = NULL,
        updated_at = now()
    WHERE (shop.merchant_id, shop.platform_shop_id, shop.currency, shop.path) IS DISTINCT FROM
        (excluded.merchant_id, excluded.platform_shop_id,
         coalesce(excluded.currency, shop.currency), coalesce(%(path)s, shop.path))
    -- xmax is 0 on a row that was inserted and not on one that was updated.
    RETURNING shop.xmax = 0
"""


def add_shop(connection: psycopg.Connection, shop: Shop) -> Added:
    """As ShopRegistry.add, for a registrable shop, as part of the caller's transaction."""
    row = connection.execute(_ADD, shop.model_dump(mode="json")).fetchone()
    if row is None:
        return "unchanged"
    return "added" if row[0] else "updated"
